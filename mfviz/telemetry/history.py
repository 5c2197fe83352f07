"""Events folded into tables: what every plot, table and figure of a run is read from.

A :class:`History` is fed in any batches, from a live log or from a file, and always holds the same
tables after the same events. It knows neither solvers nor widgets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mfviz.telemetry.events import (
    Allocated,
    BlockTaken,
    Compiled,
    EpochEnded,
    Evaluated,
    Event,
    Freed,
    Measured,
    MemorySampled,
    Noticed,
    ParamChanged,
    RunEnded,
    RunStarted,
    Snapshot,
    Span,
)
from mfviz.telemetry.memory import PARTS

if TYPE_CHECKING:
    import pandas as pd

    from mfviz.telemetry.log import EventLog

__all__ = ["EPOCH_COLUMNS", "STOPS", "EpochRow", "History"]

EPOCH_COLUMNS = (
    "epoch", "updates", "solve_s", "eval_s", "wall_s", "train_rmse", "test_rmse", "objective"
)  # fmt: skip
STOPS = ("evaluate", "pause")  # waits that the run imposed: neither work nor idleness of a lane


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch of a run; times are cumulative seconds, NaN stands where nothing was evaluated."""

    epoch: int
    updates: int
    solve_s: float
    eval_s: float
    wall_s: float
    train_rmse: float = math.nan
    test_rmse: float = math.nan
    objective: float = math.nan


class History:
    """Tables of one run.

    Attributes
    ----------
    run, solver, title, backend, device, problem, fingerprint, determinism : str
        Identity from run-started; empty before.
    params, versions, shape, model : dict
        Settings, versions, sizes (users, items, train, test, set_aside), predicted bytes by part.
    seed : int
    reconstruction : bool
    status : str
        queued, warming (run-started), running (compiled), then that of run-ended. A pause is no
        event; ask the run for it.
    reason, fix : str
        From run-ended; ``fix`` is NAME=VALUE or empty.
    setup_s, compile_s, solve_s, eval_s, wall_s : float
        Seconds up to the last event.
    started_ns : int
        ``t_ns`` of compiled: the kernels are ready, and wall time counts from here.
    epochs : list of EpochRow
        A row an epoch from 0; replaced by a fuller one when its evaluation arrives.
    evaluated : list of EpochRow
        The rows that were evaluated, in order; only ever grows, so it can be streamed.
    spans, blocks, memory, measured, notices, changes, snapshots, unknown : list
        The events of that kind; ``notices`` is without details.
    lanes : list of str
        Lanes in order of appearance.
    ops : set of str
        Kinds of spans that there are.
    ledger : list of tuple
        ``(t_ns, place, name, part, delta_bytes)``.
    details : str
        Text that is too long for a sentence (a traceback).
    peak_by_place : dict
        Highest bytes held, by place.
    peak_by_part : dict
        Bytes by part at the moment when most was held in all.
    """

    def __init__(self) -> None:
        self.run = self.solver = self.title = self.backend = self.device = ""
        self.problem = self.fingerprint = self.determinism = ""
        self.params: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self.shape: dict[str, int] = {}
        self.model: dict[str, int] = {}
        self.seed = 0
        self.reconstruction = False
        self.status, self.reason, self.fix, self.details = "queued", "", "", ""
        self.setup_s = self.compile_s = self.solve_s = self.eval_s = self.wall_s = 0.0
        self.epochs: list[EpochRow] = []
        self.evaluated: list[EpochRow] = []
        self.spans: list[Span] = []
        self.lanes: list[str] = []
        self.ops: set[str] = set()
        self.blocks: list[BlockTaken] = []
        self.memory: list[MemorySampled] = []
        self.ledger: list[tuple[int, str, str, str, int]] = []
        self.measured: list[Measured] = []
        self.notices: list[Noticed] = []
        self.changes: list[ParamChanged] = []
        self.snapshots: list[Snapshot] = []
        self.unknown: list[Event] = []
        self.peak_by_place: dict[str, int] = {}
        self.peak_by_part: dict[str, int] = {}
        self._cursor = 0
        self.started_ns = 0
        self._held: dict[tuple[str, str], int] = {}  # (place, part) -> bytes
        self._peak_bytes = 0
        self._busy: dict[str, int] = {}  # lane -> ns of work in epochs that are over
        self._busy_open: dict[str, int] = {}  # the same in the epoch that goes on
        self._fold: dict[type[Event], Callable[[Any], None]] = {
            RunStarted: self._run_started,
            Compiled: self._compiled,
            EpochEnded: self._epoch_ended,
            Evaluated: self._evaluated,
            Span: self._span,
            BlockTaken: self.blocks.append,
            Allocated: self._allocated,
            Freed: self._freed,
            MemorySampled: self.memory.append,
            Measured: self.measured.append,
            Noticed: self._noticed,
            ParamChanged: self.changes.append,
            Snapshot: self.snapshots.append,
            RunEnded: self._run_ended,
        }

    def feed(self, events: Iterable[Event]) -> None:
        """Fold events in; any split of a run into batches gives the same tables."""
        fold = self._fold
        for event in events:
            fold.get(type(event), self.unknown.append)(event)

    def follow(self, log: EventLog, limit: int | None = None) -> list[Event]:
        """Pull what is new in ``log``, fold it in and return it.

        Parameters
        ----------
        log : EventLog
            Always the same one for a history.
        limit : int, optional
            Most events to pull.
        """
        events, self._cursor = log.read(self._cursor, limit)
        self.feed(events)
        return events

    @property
    def ended(self) -> bool:
        """Whether run-ended has arrived."""
        return self.status in ("done", "stopped", "diverged", "failed")

    @property
    def last(self) -> EpochRow | None:
        """Row of the last epoch, or None."""
        return self.epochs[-1] if self.epochs else None

    @property
    def updates(self) -> int:
        """Rating visits up to the last epoch."""
        return self.epochs[-1].updates if self.epochs else 0

    @property
    def best_test_rmse(self) -> float:
        """Lowest test RMSE so far, NaN if there is none."""
        found = [row.test_rmse for row in self.evaluated if not math.isnan(row.test_rmse)]
        return min(found, default=math.nan)

    @property
    def updates_per_s(self) -> float:
        """Rating visits a second of solve time, NaN before the first epoch is over."""
        return self.updates / self.solve_s if self.solve_s > 0 else math.nan

    def seconds_to(self, rmse: float, part: str = "test") -> float:
        """Solve seconds after which the RMSE was first at most ``rmse``; NaN if it never was.

        Parameters
        ----------
        rmse : float
        part : {"test", "train"}
        """
        for row in self.evaluated:
            if (row.test_rmse if part == "test" else row.train_rmse) <= rmse:
                return row.solve_s
        return math.nan

    def idle_share(self, lane: str | None = None) -> float:
        """Share of the solve time in which a lane did no work; the mean of all lanes for None.

        Notes
        -----
        Evaluation, pauses and the pace are outside solve time, so they never count as idle. Only
        epochs that are over count. NaN without an epoch or a lane.
        """
        if self.solve_s <= 0 or not self.lanes:
            return math.nan
        lanes = self.lanes if lane is None else [lane]
        busy = sum(self._busy.get(name, 0) for name in lanes) / len(lanes)
        return min(max(1.0 - busy / (self.solve_s * 1e9), 0.0), 1.0)

    @property
    def peak_bytes(self) -> int:
        """Most bytes that the ledger held at once, all places together."""
        return self._peak_bytes

    @property
    def rss_rise_bytes(self) -> int:
        """Highest resident memory of the process less the first sample; 0 without samples."""
        used = [sample.used_bytes for sample in self.memory if sample.place == "rss"]
        return max(used) - used[0] if used else 0

    def held_by_part(self) -> dict[str, int]:
        """Bytes held now by part, in the order of the memory parts, without the empty ones."""
        sums = dict.fromkeys(PARTS, 0)
        for (_, part), size in self._held.items():
            sums[part] = sums.get(part, 0) + size
        return {part: size for part, size in sums.items() if size}

    def frame(self) -> pd.DataFrame:
        """A pandas DataFrame with a row an epoch and the columns :data:`EPOCH_COLUMNS`."""
        import pandas as pd

        rows = [[getattr(row, name) for name in EPOCH_COLUMNS] for row in self.epochs]
        frame = pd.DataFrame(rows, columns=list(EPOCH_COLUMNS))
        return frame.astype({name: "float64" for name in EPOCH_COLUMNS[2:]})

    # --- one method a kind -----------------------------------------------------------------

    def _run_started(self, event: RunStarted) -> None:
        for name in (
            "run", "solver", "title", "params", "backend", "device", "problem", "fingerprint",
            "seed", "versions", "shape", "determinism", "reconstruction", "model",
        ):  # fmt: skip
            setattr(self, name, getattr(event, name))
        self.status = "warming"
        self.started_ns = event.t_ns

    def _compiled(self, event: Compiled) -> None:
        self.compile_s += event.seconds
        self.status = "running"
        self.started_ns = event.t_ns

    def _epoch_ended(self, event: EpochEnded) -> None:
        self.wall_s = self._wall(event)
        self.solve_s = event.solve_s
        if event.epoch == 0:
            self.setup_s = self.wall_s
        self.epochs.append(
            EpochRow(event.epoch, event.updates, event.solve_s, self.eval_s, self.wall_s)
        )
        for lane, busy in self._busy_open.items():
            self._busy[lane] = self._busy.get(lane, 0) + busy
        self._busy_open.clear()

    def _evaluated(self, event: Evaluated) -> None:
        self.wall_s = self._wall(event)
        self.eval_s = event.eval_s
        for at in range(len(self.epochs) - 1, -1, -1):
            if self.epochs[at].epoch == event.epoch:
                row = self.epochs[at] = replace(
                    self.epochs[at],
                    eval_s=event.eval_s,
                    train_rmse=event.train_rmse,
                    test_rmse=event.test_rmse,
                    objective=event.objective,
                )
                self.evaluated.append(row)
                return

    def _span(self, event: Span) -> None:
        self.spans.append(event)
        self.ops.add(event.op)
        if event.lane not in self.lanes:
            self.lanes.append(event.lane)
        if event.op != "wait" and event.epoch > 0:
            length = event.end_ns - event.start_ns
            self._busy_open[event.lane] = self._busy_open.get(event.lane, 0) + length

    def _allocated(self, event: Allocated) -> None:
        self._take(event, event.bytes)
        place = sum(size for (where, _), size in self._held.items() if where == event.place)
        self.peak_by_place[event.place] = max(self.peak_by_place.get(event.place, 0), place)
        total = sum(self._held.values())
        if total > self._peak_bytes:
            self._peak_bytes = total
            self.peak_by_part = self.held_by_part()

    def _freed(self, event: Freed) -> None:
        self._take(event, -event.bytes)

    def _take(self, event: Allocated | Freed, delta: int) -> None:
        self.ledger.append((event.t_ns, event.place, event.name, event.part, delta))
        key = (event.place, event.part)
        self._held[key] = self._held.get(key, 0) + delta

    def _noticed(self, event: Noticed) -> None:
        if event.level == "details":
            self.details = event.message
        else:
            self.notices.append(event)

    def _run_ended(self, event: RunEnded) -> None:
        self.run = self.run or event.run
        self.status, self.reason, self.fix = event.status, event.reason, event.fix
        self.setup_s, self.solve_s = event.setup_s, event.solve_s
        self.eval_s, self.wall_s = event.eval_s, event.wall_s

    def _wall(self, event: Event) -> float:
        return (event.t_ns - self.started_ns) / 1e9

"""One solver on one size of ratings, on a device or as its CPU form: what a row of the bench says.

A case is two runs. The first one is not evaluated: its epochs give times, rates and the overlap.
The second one is evaluated, and recorded; its memory on the device is compared with the model.
Where CUPTI can be loaded, a third one compares its records with the times of events. Where the
cost of timing is asked for, runs with and without events take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mfviz.backends import cupti
from mfviz.backends.cuda import devices, free_bytes
from mfviz.backends.device import using
from mfviz.data.problem import Problem
from mfviz.experiments.device_events import DEVICE_TIME
from mfviz.experiments.proposals import propose
from mfviz.experiments.run import Run
from mfviz.experiments.store import pack
from mfviz.solvers.base import Solver, solver_class
from mfviz.telemetry.agreement import agreement
from mfviz.telemetry.epoch import EpochSpans, epoch_facts
from mfviz.telemetry.events import Span
from mfviz.telemetry.history import History
from mfviz.telemetry.overlap import COPIES, overlap, together
from mfviz.theory.cost import epoch_cost, family_of
from mfviz.theory.memory import rounding_bytes

__all__ = ["LARGE", "Case", "Limit", "measure"]

LARGE = 5_000_000  # ratings from which not every epoch is evaluated
PROFILED = 3  # epochs of the run that CUPTI records
LOOKS = 6  # evaluations of such a run
CHECKS_OFF = {"cumf_ccd": {"check_residual": 0}}  # a check of it would count as solve time
PATIENCE_S = 30.0  # with a run that was told to stop
Row = dict[str, Any]


class Limit:
    """The time that is left.

    Parameters
    ----------
    minutes : float
    """

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    @property
    def left_s(self) -> float:
        """Seconds; 0 when the time is over."""
        return max(0.0, self.end - time.monotonic())


class Case:
    """A solver on a problem.

    Parameters
    ----------
    key : str
        Of the solver.
    problem : Problem
    rank, epochs : int
    settings : mapping
        Over those that are proposed.
    backend : str
    device : int

    Raises
    ------
    MfvizError
        If a setting is out of its bounds.
    """

    def __init__(
        self,
        key: str,
        problem: Problem,
        *,
        rank: int,
        epochs: int,
        settings: Mapping[str, Any],
        backend: str,
        device: int,
    ) -> None:
        self.problem, self.backend, self.device = problem, backend, device
        self.key, self.epochs = key, epochs
        self.chosen = {
            **propose(key, problem),
            "rank": rank,
            **CHECKS_OFF.get(key, {}),
            **settings,
        }
        self.solver = self.make(epochs)

    def make(self, epochs: int | None = None) -> Solver:
        """Make the solver, for as many epochs as are proposed if no number is given."""
        return solver_class(self.key).make(
            **{**self.chosen, **({"epochs": epochs} if epochs else {})}
        )

    @property
    def refusal(self) -> str:
        """Why it cannot run here; empty if it can."""
        with using(self.device):
            solver, _ = self.solver.fitted(self.problem, self.backend)
            return solver.supports(self.problem, self.backend) or ""

    def run(self, solver: Solver, limit_s: float, **options: Any) -> Run:
        """Run to the end, or until the time is over."""
        made = Run(self.problem, solver, backend=self.backend, device=self.device, **options)
        made.start()
        try:
            if not made.wait(limit_s):
                made.stop()
                made.wait(PATIENCE_S)
        except BaseException:
            made.stop()
            raise
        return made


def measure(case: Case, *, limit_s: float, rounds: int, triad: float, record: Path | None) -> Row:
    """Measure a case.

    Parameters
    ----------
    case : Case
    limit_s : float
        Seconds after which a run is stopped.
    rounds : int
        Pairs of runs with and without event timing; 0: that cost is not measured.
    triad : float
        10^9 bytes a second that memory gives, for the share.
    record : Path, optional
        Where the evaluated run is written to.

    Returns
    -------
    dict
        A row; what could not be measured is NaN or absent.
    """
    limit = Limit(limit_s / 60)
    speed = case.run(case.make(case.epochs), limit.left_s, evaluate_every=0)
    row = {**_identity(case, speed), **_speed(case, speed, triad)}
    if speed.status != "done":
        return row
    if rounds and case.backend != "cpu":
        row["event_cost"] = _event_cost(case, speed, rounds, limit)
    if case.backend != "cpu" and cupti.why_not() is None:
        told = case.run(case.make(PROFILED), limit.left_s, evaluate_every=0, profile=True)
        row["cupti"] = agreement(told.result().tables.measured)
    return {**row, **_quality(case, limit, record)}


def _identity(case: Case, run: Run) -> Row:
    problem, solver = case.problem, run.solver
    return {
        "solver": case.key,
        "backend": case.backend,
        "rank": solver.rank,
        "users": problem.n_users,
        "items": problem.n_items,
        "ratings": problem.train.nnz,
        "params": solver.settings(),
        "determinism": solver.determinism(case.backend),
        "status": run.status,
        "reason": run.reason,
    }


def epoch_times(history: History) -> list[float]:
    """Solve seconds of each epoch but the first, in which much happens for the first time."""
    spent = [b.solve_s - a.solve_s for a, b in pairwise(history.epochs)]
    return spent[1:] or spent


def device_times(history: History) -> list[float]:
    """Device seconds of the same epochs; empty on the CPU."""
    spent = [m.value for m in history.measured if m.name == DEVICE_TIME]
    return spent[1:] or spent


def _speed(case: Case, run: Run, triad: float) -> Row:
    """Times, rates and overlap of a run that was not evaluated."""
    history = run.result().tables
    spent = epoch_times(history)
    if not spent:
        return {}
    middle = statistics.median(spent)
    on_device = device_times(history)
    visits = history.updates / history.epochs[-1].epoch
    shape = (case.problem.n_users, case.problem.n_items, case.problem.train.nnz, run.solver.rank)
    family = family_of(case.key, case.backend, run.solver.settings())
    cost = epoch_cost(family, *shape, workers=run.solver.workers) if family else None
    rate = cost.bytes / middle / 1e9 if cost else float("nan")
    return {
        "setup_s": history.setup_s,
        "compile_s": history.compile_s,
        "epoch_s": middle,
        "epoch_s_all": spent,
        "device_epoch_s": statistics.median(on_device) if on_device else float("nan"),
        "updates_per_s": visits / middle,
        "gigabytes_per_s": rate,
        "share_of_bandwidth": rate / triad,
        "gigaflops_per_s": cost.flops / middle / 1e9 if cost else float("nan"),
        **_side_by_side(history),
    }


def _side_by_side(history: History) -> Row:
    """Overlap over all epochs, but for what the first copy begins; and idle time by reason."""
    spans = EpochSpans()
    spans.follow(history)
    epochs = range(1, history.epochs[-1].epoch + 1)
    everything: list[Span] = [span for epoch in epochs for span in spans.of(epoch)]
    first = min((s.end_ns for s in everything if s.op in COPIES), default=0)
    later = [span for span in everything if span.end_ns > first]
    waits: dict[str, float] = {}
    solve_ns = round(1e9 * history.epochs[-1].solve_s)
    for reason, ns in epoch_facts(0, history.lanes, solve_ns, everything).waits_ns.items():
        waits[reason] = ns / max(1, solve_ns * len(history.lanes))
    return {
        "overlap": overlap(later).share,
        "lanes_side_by_side": together(later).share,
        "waits": waits,
    }


def _event_cost(case: Case, timed: Run, rounds: int, limit: Limit) -> float:
    """Share that timing adds to the device's time of an epoch: medians of runs in turns."""
    found: dict[bool, list[float]] = {True: device_times(timed.result().tables), False: []}
    for at in range(2 * rounds - 1):
        how = at % 2 == 1
        run = case.run(case.make(case.epochs), limit.left_s, evaluate_every=0, timed=how)
        if run.status != "done":
            break
        found[how] += device_times(run.result().tables)
    if not all(found.values()):
        return float("nan")
    return statistics.median(found[True]) / statistics.median(found[False]) - 1


def _quality(case: Case, limit: Limit, record: Path | None) -> Row:
    """RMSE over time and memory of an evaluated run, which may be recorded."""
    solver = case.make()
    every = 1 if case.problem.train.nnz < LARGE else max(1, solver.epochs // LOOKS)
    total = next((d.total_bytes for d in devices() if d.index == case.device), 0)
    free = free_bytes(case.device) if case.backend != "cpu" else None
    with tempfile.TemporaryDirectory(prefix="mfviz-bench-") as scratch:
        folder = Path(scratch)
        run = case.run(solver, limit.left_s, evaluate_every=every, folder=folder)
        if record is not None and run.status == "done":
            record.parent.mkdir(parents=True, exist_ok=True)
            pack(folder, record, arrays=False)
    history = run.result().tables
    return {
        "quality_status": run.status,
        "quality_reason": run.reason,
        "trace": record.name if record is not None and run.status == "done" else "",
        "best_test_rmse": history.best_test_rmse,
        "curve": [
            (row.epoch, row.solve_s, row.train_rmse, row.test_rmse) for row in history.evaluated
        ],
        **_memory(case, solver, history, total - free if free is not None else None),
    }


def _memory(case: Case, solver: Solver, history: History, before: int | None) -> Row:
    """Most bytes on the device: as the device reports them, by the ledger, by the model."""
    shape = (case.problem.n_users, case.problem.n_items, case.problem.train.nnz)
    parts = solver.memory(*shape, case.backend).parts
    if case.backend == "cpu":
        total = sum(part.bytes for part in parts)
        return {"ledger_bytes": history.peak_by_place.get("host", 0), "model_bytes": total}
    place = f"cuda:{case.device}"
    sizes: Sequence[int] = [part.bytes for part in parts if part.place != "host"]
    own = [sample.used_bytes for sample in history.memory if sample.place == "device"]
    in_use = [sample.used_bytes for sample in history.memory if sample.place == place]
    return {
        "ledger_bytes": history.peak_by_place.get(place, 0),
        "model_bytes": sum(sizes) + rounding_bytes(sizes),
        "grown_bytes": max(in_use) - before if in_use and before is not None else None,
        "process_bytes": max(own, default=None),
    }

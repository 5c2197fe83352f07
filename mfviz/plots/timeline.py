"""What every lane did and when: one rectangle a span, waits hatched, pauses cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mfviz.plots import style
from mfviz.plots.base import Columns, Plot
from mfviz.plots.scale import nice
from mfviz.telemetry.events import Span
from mfviz.telemetry.history import STOPS, History

__all__ = [
    "CUT_MS",
    "STOPS",
    "BusyClock",
    "BusyTime",
    "Timeline",
    "span_words",
    "wait_words",
    "window_ms",
]

CUT_MS = 1.0  # gaps longer than this, in which no lane has a span, are cut out
NEVER = -1e9  # ms; before all others, and near enough to interpolate from without loss
SIDES = ("users", "items")
WAITS = {
    "barrier": "barrier",
    "no-free-block": "no free block",
    "transfer": "copy",
    "launch": "launch",
    "evaluate": "evaluation",
    "pause": "pause",
}
Floats = npt.NDArray[np.float64]


class Timeline(Plot):
    """A row a span; times in ms since the run was created, as they were recorded."""

    key = "timeline"
    title = "Timeline"
    explain = (
        "A lane is a worker, a stream or a copy engine; a rectangle is what it did, with its true "
        "length. Hatched grey is waiting, with its reason. Solid is measured, coloured hatch is "
        "modelled. Pauses and evaluations, in which nothing is solved, are cut out."
    )
    columns: ClassVar[dict[str, str]] = {
        "run": "object",
        "lane": "object",
        "op": "object",
        "start_ms": "float64",
        "end_ms": "float64",
        "name": "object",
        "epoch": "float64",
        "ratings": "float64",
        "bytes": "float64",
        "block": "object",
        "reason": "object",
        "measured": "object",
    }

    def sizes(self, history: History) -> tuple[int, ...]:
        """Length of the table of spans."""
        return (len(history.spans),)

    def rows(
        self, letter: str, history: History, since: tuple[int, ...] | None = None
    ) -> list[tuple[Any, ...]]:
        """One row a span."""
        return [
            (
                letter, s.lane, s.op, s.start_ns / 1e6, s.end_ns / 1e6, s.name, s.epoch, s.ratings,
                s.bytes, s.block, s.reason, s.clock != "model",
            )
            for s in history.spans[since[0] if since else 0 :]
        ]  # fmt: skip

    def element(self, frame: Columns, theme: str = "light") -> Any:
        """Rectangles of each run: work, waits and what is modelled, in that order, run by run.

        The x axis is the recorded time in ms, the y axis the lanes from the top.
        """
        import holoviews as hv
        import holoviews.plotting.bokeh  # registers the backend

        run = np.asarray(frame["run"], dtype=object)
        keys = list(zip(frame["run"], frame["lane"], strict=True))
        lanes = {key: y for y, key in enumerate(dict.fromkeys(keys))}
        y = np.array([lanes[key] for key in keys], dtype=float)
        op, measured = np.asarray(frame["op"], dtype=object), np.asarray(frame["measured"], bool)
        layers = []
        for letter in dict.fromkeys(frame["run"]):
            for layer, chosen in (
                ("work", measured & (op != "wait")),
                ("wait", measured & (op == "wait")),
                ("modelled", ~measured),
            ):
                mine = (run == letter) & chosen
                left, right = frame["start_ms"][mine], frame["end_ms"][mine]
                boxes = hv.Rectangles(
                    (left, y[mine] - 0.45, right, y[mine] + 0.45),
                    ["ms", "lane", "end", "top"],
                    label=f"{letter} {layer}",
                )
                layers.append(boxes.opts(backend="bokeh", **_look(layer, theme)))
        return hv.Overlay(layers).opts(
            backend="bokeh", show_legend=False, responsive=True, min_height=80, invert_yaxis=True,
            default_tools=[], title="",
        )  # fmt: skip


def _look(layer: str, theme: str) -> dict[str, Any]:
    token = style.TOKENS[theme]
    if layer == "work":
        return {"fill_color": style.OPS[theme]["kernel"], "line_color": token["surface"]}
    fill = token["hatch_bg"] if layer == "wait" else token["surface"]
    return {"fill_color": fill, "line_color": token["hatch"] if layer == "modelled" else None}


@dataclass(frozen=True, slots=True)
class BusyTime:
    """A map from recorded time to time without the pauses, for one run.

    Attributes
    ----------
    recorded, busy : (k,) float64
        Corners of a piecewise linear, rising map, in ms; busy time ends at 0 = now.
    """

    recorded: Floats
    busy: Floats

    def at(self, ms: npt.ArrayLike) -> Floats:
        """Busy time of recorded times, in ms before now (negative)."""
        return np.interp(np.asarray(ms, dtype=np.float64), self.recorded, self.busy)

    def recorded_at(self, busy: float) -> float:
        """Recorded ms, the earliest, of a busy time before now."""
        return float(np.interp(busy, self.busy, self.recorded))


class BusyClock:
    """Tells busy time while spans arrive, at a cost that does not grow with their number.

    Time is busy while any lane has a span that is not one of :data:`STOPS`, and in gaps that are
    not longer than ``cut_ms``: those belong to the solver's own overhead.

    Parameters
    ----------
    cut_ms : float
        Longer gaps are cut out.
    keep : int
        Busy intervals to remember; before them nothing is cut out.

    Attributes
    ----------
    epoch_ends : dict of int to float
        Recorded ms at which each epoch did its last work, in order of epochs.
    """

    def __init__(self, cut_ms: float = CUT_MS, keep: int = 100) -> None:
        self._cut_ms, self._keep = cut_ms, keep
        self._start = self._stop = np.empty(0)
        self._seen = 0
        self.epoch_ends: dict[int, float] = {}

    def follow(self, spans: Sequence[Span]) -> bool:
        """Take in what was appended to ``spans``; return whether anything was."""
        if len(spans) < self._seen:  # the run was scrubbed back: begin anew
            self._start = self._stop = np.empty(0)
            self._seen = 0
            self.epoch_ends.clear()
        fresh = [s for s in spans[self._seen :] if s.reason not in STOPS]
        changed = len(spans) > self._seen
        self._seen = len(spans)
        if fresh:
            self._take(np.array([(s.start_ns, s.end_ns) for s in fresh], dtype=np.float64) / 1e6)
        for span in fresh:
            if span.op != "wait":
                end = max(self.epoch_ends.get(span.epoch, 0.0), span.end_ns / 1e6)
                self.epoch_ends[span.epoch] = end
        for epoch in sorted(self.epoch_ends)[: -self._keep]:
            del self.epoch_ends[epoch]
        return changed

    def _take(self, times: Floats) -> None:
        """Join spans to the intervals; the order in which they come does not matter."""
        start = np.concatenate([self._start, times[:, 0]])
        order = np.argsort(start, kind="stable")
        start = start[order]
        reach = np.maximum.accumulate(np.concatenate([self._stop, times[:, 1]])[order])
        opens = np.flatnonzero(start[1:] - reach[:-1] > self._cut_ms) + 1
        self._start = np.concatenate([start[:1], start[opens]])[-self._keep :]
        self._stop = np.concatenate([reach[opens - 1], reach[-1:]])[-self._keep :]

    def busy_time(self) -> BusyTime:
        """Return the map as it is now."""
        if not len(self._start):
            return BusyTime(np.array([NEVER, 0.0]), np.array([NEVER, 0.0]))
        length = np.cumsum(self._stop - self._start)
        recorded = np.column_stack([self._start, self._stop]).ravel()
        busy = np.column_stack([length - (self._stop - self._start), length]).ravel() - length[-1]
        early = NEVER - recorded[0] + busy[0]
        return BusyTime(np.concatenate([[NEVER], recorded]), np.concatenate([[early], busy]))


def window_ms(busy: Sequence[float], epochs: Sequence[float]) -> float:
    """Choose how much busy time to show: a few epochs of the fast runs, one of the slow ones.

    Parameters
    ----------
    busy : sequence of float
        Busy ms that each run has.
    epochs : sequence of float
        Busy ms of a typical epoch of each run.

    Returns
    -------
    float
        A round number of ms.
    """
    found = [e for e in epochs if e > 0]
    longest = max(busy, default=0.0)
    if not found:
        return nice(longest or 1.0)
    wanted = max(2.5 * min(found), min(1.1 * max(found), 5.0 * min(found)))
    return nice(min(wanted, longest) if longest > 0 else wanted)


def span_words(name: str, block: str, reason: str = "") -> tuple[str, ...]:
    """What may stand in a rectangle, longest first.

    Parameters
    ----------
    name, block, reason : str
        Of the span; half-sweeps are named after their side and their blocks are ranges of rows,
        the end excluded.
    """
    if reason:
        return (wait_words(reason),)
    if block and name in SIDES:
        start, _, end = block.partition(",")
        rows = f"{int(start) + 1}–{end}" if start.isdigit() and end else block
        return (f"{name} {rows}", rows)
    return (block or name,)


def wait_words(reason: str) -> str:
    """Reason of a wait, in words."""
    return WAITS.get(reason, reason)

"""Memory over time: what the ledger held, stacked by purpose, in steps; and samples of the system.

The stack is exact, since it is made of every allocation and release; samples are points, since
between them nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.plots import style
from mfviz.plots.scale import nice
from mfviz.telemetry.history import History
from mfviz.telemetry.memory import PARTS
from mfviz.telemetry.sampler import DEVICE
from mfviz.theory.memory import MIB

__all__ = ["MemorySteps", "element", "memory_steps"]

POINTS = 20  # samples that are drawn at most
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MemorySteps:
    """What a run held over time.

    Attributes
    ----------
    t_s : (k,) float64
        When something changed, in seconds from the first allocation; the last is the end.
    levels : dict of str to (k,) float64
        Bytes of each part from that time on.
    samples : (s, 2) float64
        Seconds, and what the process (on a device, too) grew by or a device had in use, in bytes.
    place : str
        Where the samples are from: "rss", "device", one by its name, or "" without any.
    epochs : list of (float, int)
        Seconds and number of the first and the last epoch.
    freed_s : float
        When all was given back; NaN before.
    model_bytes : float
        What the memory model predicts.
    """

    t_s: Floats
    levels: dict[str, Floats]
    samples: Floats
    place: str = ""
    epochs: list[tuple[float, int]] = field(default_factory=list)
    freed_s: float = float("nan")
    model_bytes: float = 0.0

    @property
    def held(self) -> Floats:
        """Bytes of all parts together from each time on, (k,) float64."""
        return np.sum([np.zeros_like(self.t_s), *self.levels.values()], axis=0, dtype=np.float64)

    @property
    def peak_bytes(self) -> float:
        """Most bytes held at once."""
        return float(self.held.max(initial=0.0))

    @property
    def end_s(self) -> float:
        """Last time that is known of."""
        return float(max([*self.t_s[-1:], *self.samples[-1:, 0]], default=0.0))

    @property
    def top_bytes(self) -> float:
        """Upper end of an axis for the stack and the prediction; samples may lie beyond it."""
        most = max(self.peak_bytes, self.model_bytes, 1.0)
        near = self.samples[self.samples[:, 1] <= 1.5 * most, 1]
        return MIB * nice(1.2 * max([most, *near]) / MIB)

    def polygons(self) -> dict[str, tuple[Floats, Floats]]:
        """Outline (x in seconds, y in bytes) of each part in the stack, from the bottom."""
        x = np.repeat(self.t_s, 2)[1:]
        below = np.zeros(max(len(x), 0))
        found = {}
        for part, level in self.levels.items():
            above = below + np.repeat(level, 2)[: len(x)]
            found[part] = (np.concatenate([x, x[::-1]]), np.concatenate([above, below[::-1]]))
            below = above
        return found


def memory_steps(history: History) -> MemorySteps:
    """Fold the ledger of a run into steps.

    Parameters
    ----------
    history : History
    """
    ledger = history.ledger
    if not ledger:
        return MemorySteps(np.empty(0), {}, np.empty((0, 2)), model_bytes=_model(history))
    first = ledger[0][0]
    times = np.array([row[0] for row in ledger], dtype=np.float64)
    samples, place = _samples(history, first)
    end = max([times[-1], *(first + 1e9 * samples[-1:, 0])])
    held = {}
    for part in PARTS:
        delta = np.array([row[4] if row[3] == part else 0.0 for row in ledger])
        if delta.any():
            level = np.cumsum(delta)
            held[part] = np.concatenate([[0.0], level, level[-1:]])
    t_s = np.concatenate([[first], times, [end]]) / 1e9 - first / 1e9
    over = not sum(level[-1] for level in held.values())
    return MemorySteps(
        t_s, held, samples, place, _epochs(history, first),
        float(t_s[-2]) if over else float("nan"), _model(history),
    )  # fmt: skip


def element(theme: str = "light") -> Any:
    """A stack of areas, one a part, as a HoloViews element; its outlines are filled in later."""
    import holoviews as hv
    import holoviews.plotting.bokeh  # registers the backend

    layers = [
        hv.Area(([0.0, 1.0], [0.0, 0.0]), "seconds", "bytes", label=part).opts(
            backend="bokeh", fill_color=style.MEMORY[theme][part], line_width=1,
            line_color=style.TOKENS[theme]["surface"],
        )
        for part in PARTS
    ]  # fmt: skip
    return hv.Overlay(layers).opts(
        backend="bokeh", show_legend=False, responsive=True, min_height=120, default_tools=[],
        title="",
    )  # fmt: skip


def _model(history: History) -> float:
    return float(sum(history.model.values()))


def _epochs(history: History, first_ns: int) -> list[tuple[float, int]]:
    """When the first and the last epoch ended, since the first allocation."""
    rows = [row for row in history.epochs if row.epoch > 0]
    offset = (history.started_ns - first_ns) / 1e9
    chosen = rows[:1] + rows[1:][-1:]
    return [(row.wall_s + offset, row.epoch) for row in chosen]


def _samples(history: History, first_ns: int) -> tuple[Floats, str]:
    """Samples of the device, where there are any; else what the process grew by.

    A device's own thread samples what was used before the run, too; those at the ends of epochs,
    which are all that a fake or an old file has, do not.
    """
    places = {sample.place for sample in history.memory}
    others = sorted(places - {"rss", DEVICE})
    place = DEVICE if DEVICE in places else next(iter([*others, *places]), "")
    found = [(s.t_ns, s.used_bytes) for s in history.memory if s.place == place]
    if not found:
        return np.empty((0, 2)), ""
    rows = np.array(found, dtype=np.float64)
    base = rows[0, 1] if place in ("rss", DEVICE) else 0.0
    rows = np.column_stack([(rows[:, 0] - first_ns) / 1e9, rows[:, 1] - base])
    rows = rows[rows[:, 0] >= 0]
    if len(rows) > POINTS:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, POINTS).round().astype(int))]
    return rows, place

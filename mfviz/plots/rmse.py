"""Test and training RMSE of runs: over epochs, updates, solve seconds or wall seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mfviz.plots import style
from mfviz.plots.base import Columns, Plot, Track
from mfviz.plots.scale import grow, rmse_text, span_range
from mfviz.telemetry.history import EpochRow, History

__all__ = ["AXES", "End", "RMSECurves", "View", "ends", "start_note", "view"]

AXES = {
    "epoch": "epoch",
    "updates": "updates",
    "solve_s": "solve time (s)",
    "wall_s": "wall time (s)",
}
WIDTHS = {"test_rmse": 3.0, "train_rmse": 1.25}


class RMSECurves(Plot):
    """Two curves a run, a row an evaluated epoch; the initial state is epoch 0."""

    key = "rmse"
    title = "RMSE"
    explain = (
        "Root mean squared error in the units of the ratings; lower is better. The thick line is "
        "measured on held-out test ratings, the thin one on the training ratings; where they "
        "part, the model learns the training ratings by heart."
    )
    columns: ClassVar[dict[str, str]] = {
        "run": "object",
        "epoch": "float64",
        "updates": "float64",
        "solve_s": "float64",
        "wall_s": "float64",
        "train_rmse": "float64",
        "test_rmse": "float64",
    }

    def sizes(self, history: History) -> tuple[int, ...]:
        """Length of the table of evaluated epochs."""
        return (len(history.evaluated),)

    def rows(
        self, letter: str, history: History, since: tuple[int, ...] | None = None
    ) -> list[tuple[Any, ...]]:
        """One row an evaluated epoch; an RMSE that is not finite is NaN and ends the line."""
        return [
            (
                letter, row.epoch, row.updates, row.solve_s, row.wall_s,
                _finite(row.train_rmse), _finite(row.test_rmse),
            )
            for row in history.evaluated[since[0] if since else 0 :]
        ]  # fmt: skip

    def element(
        self,
        frame: Columns,
        theme: str = "light",
        *,
        x: str = "epoch",
        log_x: bool = False,
        log_y: bool = False,
    ) -> Any:
        """Overlay of curves, test before train, run by run.

        Parameters
        ----------
        frame, theme
            See :meth:`Plot.element`.
        x : {"epoch", "updates", "solve_s", "wall_s"}
        log_x, log_y : bool
            Logarithmic axes; epoch 0 has no place on a logarithmic x axis.
        """
        import holoviews as hv
        import holoviews.plotting.bokeh  # registers the backend

        run = np.asarray(frame["run"], dtype=object)
        curves = []
        for letter in dict.fromkeys(frame["run"]):
            mine = run == letter
            for column, width in WIDTHS.items():
                points = (np.asarray(frame[x])[mine], np.asarray(frame[column])[mine])
                label = f"{letter} {column.removesuffix('_rmse')}"
                curve = hv.Curve(points, AXES[x], "RMSE", label=label)
                curves.append(
                    curve.opts(
                        backend="bokeh", color=style.run_colour(letter, theme), line_width=width
                    )
                )
        return hv.Overlay(curves).opts(
            backend="bokeh", show_legend=False, logx=log_x, logy=log_y, responsive=True,
            min_height=120, default_tools=[], title="",
        )  # fmt: skip


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


@dataclass(frozen=True, slots=True)
class End:
    """Where a run's curve stands now.

    Attributes
    ----------
    letter, part : str
        Run, and "test" or "train".
    x, y : float
        Last finite point.
    text : str
        Direct label.
    final : bool
        The run is over and its line may be extended.
    diverged : bool
    """

    letter: str
    part: str
    x: float
    y: float
    text: str
    final: bool
    diverged: bool


def ends(tracks: Sequence[Track], x: str = "epoch", log_x: bool = False) -> list[End]:
    """Last finite point and label of each curve, test curves first.

    Parameters
    ----------
    tracks : sequence of (letter, History)
    x : str
        One of :data:`AXES`.
    log_x : bool
        Leave out points at x = 0.
    """
    found: list[End] = []
    for column in WIDTHS:
        part = column.removesuffix("_rmse")
        for letter, history in tracks:
            row = _last(history.evaluated, column, x, log_x)
            if row is None or (part == "train" and history.status == "diverged" and found):
                continue
            y = getattr(row, column)
            has_test = any(math.isfinite(e.test_rmse) for e in history.evaluated[:3])
            found.append(
                End(
                    letter, part, float(getattr(row, x)), y,
                    _label(letter, history, part, y, lead=part == "test" or not has_test),
                    history.ended and history.status != "diverged",
                    history.status == "diverged",
                )
            )  # fmt: skip
    return found


def _last(rows: Sequence[EpochRow], column: str, x: str, log_x: bool) -> EpochRow | None:
    for row in reversed(rows):
        if math.isfinite(getattr(row, column)) and not (log_x and getattr(row, x) <= 0):
            return row
    return None


def _label(letter: str, history: History, part: str, value: float, lead: bool) -> str:
    name = history.title or history.solver
    if not lead:
        return f"{letter} {part} {rmse_text(value)}"
    if history.status == "diverged" and history.last is not None:
        return f"{letter} {name} diverged at epoch {history.last.epoch}"
    text = f"{letter} {name} {part} {rmse_text(value)}"
    if history.ended and history.last is not None:
        count = history.last.epoch
        text += f" final, {count} epoch{'' if count == 1 else 's'}"
    return text


@dataclass(frozen=True, slots=True)
class View:
    """Ends of both axes, as rounded numbers that move in steps."""

    x0: float
    x1: float
    y0: float
    y1: float


def view(
    tracks: Sequence[Track], x: str = "epoch", log_x: bool = False, log_y: bool = False
) -> View:
    """Choose the frame: what was learned fills it, the initial point need not be in it.

    Epoch 0 stands far above the rest, and a diverging run shoots off; neither may flatten the
    others. A run counts up to its own initial value, and its first point only if it has no other.
    """
    xs, ys = [0.0], []
    smallest = math.inf
    for _, history in tracks:
        first, rest = history.evaluated[:1], history.evaluated[1:]
        roof = first[0].test_rmse if first else math.nan
        roof = roof if math.isfinite(roof) else (first[0].train_rmse if first else math.inf)
        for row in rest or first:
            values = [v for v in (row.test_rmse, row.train_rmse) if math.isfinite(v)]
            ys += [min(v, 1.02 * roof) if rest and math.isfinite(roof) else v for v in values]
        for row in history.evaluated:
            xs.append(getattr(row, x))
            if getattr(row, x) > 0:
                smallest = min(smallest, getattr(row, x))
    planned = max((float(h.params.get("epochs", 0)) for _, h in tracks), default=0.0)
    x1 = grow(max(xs), planned if x == "epoch" else 0.0)
    x0 = (smallest if math.isfinite(smallest) else x1 / 10) if log_x else 0.0
    y0, y1 = span_range(ys)
    if y0 <= 0:
        y0 = min(ys, default=1.0) / 1.5 if log_y else 0.0
    return View(x0 if x0 < x1 else x1 / 10, x1, y0, y1)


def start_note(tracks: Sequence[Track], y1: float) -> str:
    """Say where runs start whose initial point is above the frame; empty if none is."""
    starts = []
    for letter, history in tracks:
        if history.evaluated:
            row = history.evaluated[0]
            value = row.test_rmse if math.isfinite(row.test_rmse) else row.train_rmse
            if row.epoch == 0 and value > y1:
                starts.append((letter, rmse_text(value)))
    if not starts:
        return ""
    values = {text for _, text in starts}
    if len(starts) > 1 and len(values) == 1:
        who = "both" if len(starts) == 2 else "all"
        return f"↑ {who} start at {starts[0][1]}"
    return "↑ " + ", ".join(f"{letter} starts at {text}" for letter, text in starts)

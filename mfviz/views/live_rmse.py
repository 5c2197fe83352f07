"""The RMSE figure: curves of every run with their labels at the line ends."""

from __future__ import annotations

import math
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
from bokeh.core.properties import expr
from bokeh.models import (
    BasicTicker,
    CustomJSExpr,
    CustomJSHover,
    CustomJSTickFormatter,
    FixedTicker,
    HoverTool,
    Scatter,
)

from mfviz.plots import style
from mfviz.plots.rmse import AXES, WIDTHS, RMSECurves, View, ends, view
from mfviz.plots.scale import log_ticks, rmse_text
from mfviz.telemetry.history import History
from mfviz.views.live import LiveFigure
from mfviz.views.live_ends import LineEnds, Sheet
from mfviz.views.live_parts import copies, equip, put_source, seed, tip
from mfviz.views.live_scripts import AT_X, COUNTS, EVEN, OF_RUN, PLAIN

__all__ = ["LiveRMSE"]


class LiveRMSE(LiveFigure):
    """Test (thick) and train (thin) RMSE, live.

    Attributes
    ----------
    x_axis : {"epoch", "updates", "solve_s", "wall_s"}
        May be set at any time.
    log_x, log_y : bool
        May be set at any time; another figure takes the place of the present one.
    """

    plot = RMSECurves()
    nominal = (640, 210)
    invitation = "Press Run: the curves appear here."

    def __init__(self, theme: str = "light", *, x_axis: str = "epoch", **pane: Any) -> None:
        self._x_axis, self._log = x_axis, (False, False)
        super().__init__(theme, **pane)

    @property
    def x_axis(self) -> str:
        """Column that is the x axis."""
        return self._x_axis

    @x_axis.setter
    def x_axis(self, name: str) -> None:
        if name not in AXES:
            raise ValueError(f"{name!r} is no x axis; choose {', '.join(AXES)}")
        if name == self._x_axis:
            return
        self._x_axis = name
        self._choose_columns()
        self._hits.glyph.x = name
        self._aims.clear()
        self._label_axes()
        self._refresh()

    @property
    def log_x(self) -> bool:
        """Whether the x axis is logarithmic."""
        return self._log[0]

    @log_x.setter
    def log_x(self, on: bool) -> None:
        self._set_log(on, self._log[1])

    @property
    def log_y(self) -> bool:
        """Whether the y axis is logarithmic."""
        return self._log[1]

    @log_y.setter
    def log_y(self, on: bool) -> None:
        self._set_log(self._log[0], on)

    @property
    def summary(self) -> str:
        """Last test RMSE of each run, in a sentence."""
        parts = []
        for letter, history in self.tracks:
            rows = (r for r in reversed(history.evaluated) if math.isfinite(r.train_rmse))
            row = next(rows, None)
            if row is not None:
                what = "test" if math.isfinite(row.test_rmse) else "train"
                value = row.test_rmse if what == "test" else row.train_rmse
                name = history.title or history.solver
                parts.append(f"{letter} {name}: {what} {rmse_text(value)} at epoch {row.epoch}")
        return "RMSE over " + AXES[self._x_axis] + ": " + ("; ".join(parts) or "no run yet") + "."

    @property
    def caption(self) -> str:
        """How to read the lines."""
        return "lower is better · thick: test, thin: train"

    # --- drawing ----------------------------------------------------------------------------

    def _build(self) -> Any:
        log_x, log_y = self._log
        element = self.plot.element(
            seed(self.plot), self.theme, x=self._x_axis, log_x=log_x, log_y=log_y
        )
        figure = hv.render(element, backend="bokeh")
        equip(figure, "stretch_both")
        self._drawn = list(figure.renderers)
        put_source(self._drawn, self.source)
        self._lines: dict[str, list[Any]] = {}
        self._ends = LineEnds(figure)
        self._add_hover(figure)
        figure.add_tools(self._hover)
        self._label_axes(figure)
        return figure

    def _add_run(self, letter: str) -> None:
        lines = self._drawn if letter == "A" else copies(self.figure, self._drawn)
        for renderer in lines:
            renderer.glyph.line_join = "round"
        self._lines[letter] = lines
        self._choose_columns()

    def _choose_columns(self) -> None:
        """Have each line read its run's rows of the source."""
        for letter, lines in self._lines.items():
            for renderer, column in zip(lines, WIDTHS, strict=True):
                renderer.glyph.update(x=_of_run(letter, self._x_axis), y=_of_run(letter, column))

    def _add_hover(self, figure: Any) -> None:
        hit = Scatter(x=self._x_axis, y="train_rmse", size=12, fill_alpha=0, line_alpha=0)
        self._hits = figure.add_glyph(self.source, hit)
        at_x = CustomJSHover(args={"source": self.source, "hit": hit}, code=AT_X)
        self._hover = HoverTool(
            renderers=[self._hits], mode="vline", limit=1, formatters={"@run": at_x},
            point_policy="follow_mouse", attachment="horizontal", show_arrow=False,
        )  # fmt: skip

    def _paint(self) -> None:
        for letter, lines in self._lines.items():
            for renderer in lines:
                renderer.glyph.line_color = style.run_colour(letter, self.theme)
        self._ends.paint(self.theme)
        told = "".join(
            f'<div style="color:{style.run_colour(letter, self.theme)}">@run{{{letter}}}</div>'
            for letter in style.LETTERS
        )
        self._hover.tooltips = tip(told, self.theme)

    def _label_axes(self, figure: Any = None) -> None:
        figure = figure or self.figure
        x_axis, y_axis = figure.xaxis[0], figure.yaxis[0]
        code = COUNTS if self._x_axis == "updates" else PLAIN
        x_axis.update(axis_label=AXES[self._x_axis], formatter=CustomJSTickFormatter(code=code))
        x_axis.ticker = FixedTicker(ticks=[]) if self._log[0] else BasicTicker(desired_num_ticks=6)
        y_axis.update(axis_label=None, formatter=CustomJSTickFormatter(code=EVEN))
        y_axis.ticker = BasicTicker(desired_num_ticks=6)
        for axis, grid in ((x_axis, figure.xgrid[0]), (y_axis, figure.ygrid[0])):
            grid.ticker = axis.ticker

    def _set_log(self, log_x: bool, log_y: bool) -> None:
        if (log_x, log_y) != self._log:
            self._log = (log_x, log_y)
            self._aims.clear()
            self.canvas.object = self._make()
            self._refresh()

    # --- what is not streamed ---------------------------------------------------------------

    def _share(self, letter: str, history: History, room: int) -> list[tuple[Any, ...]]:
        """All of the curve, thinned evenly; the first and the last row stay."""
        rows = self.plot.rows(letter, history)
        stride = -(-len(rows) // max(room, 1))
        return rows if stride <= 1 else [*rows[:-1:stride], rows[-1]]

    def _refresh(self) -> None:
        found = ends(self.tracks, self._x_axis, self._log[0])
        self._set_empty(not found)
        self._hover.visible = bool(found)
        if not found:
            self._ends.clear()
            return
        frame = self._with_margin(view(self.tracks, self._x_axis, *self._log))
        self._aim("x", frame.x0, frame.x1)
        self._aim("y", frame.y0, frame.y1)
        self._tell_tips({letter: f"{letter} {h.title or h.solver}" for letter, h in self.tracks})
        sheet = Sheet(frame, *self._frame_size(), *self._log)
        self._ends.write(self.tracks, found, sheet, self._x_axis, self.theme)

    def _with_margin(self, frame: View) -> View:
        """Leave room for the marks at both ends of the x axis."""
        left, right = 6 / self._frame_size()[0], 8 / self._frame_size()[0]
        if self._log[0]:
            ratio = frame.x1 / frame.x0
            x0, x1 = frame.x0 / ratio**left, frame.x1 * ratio**right
            self.figure.xaxis[0].ticker.ticks = log_ticks(frame.x0, frame.x1)
        else:
            wide = frame.x1 - frame.x0
            x0, x1 = frame.x0 - left * wide, frame.x1 + right * wide
        return View(x0, x1, frame.y0, frame.y1)


def _of_run(letter: str, column: str) -> Any:
    return expr(CustomJSExpr(args={"letter": letter, "column": column}, code=OF_RUN))

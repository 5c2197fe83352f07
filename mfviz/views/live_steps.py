"""The figure of memory over time: a stack by purpose, the prediction, samples of the system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np
import panel as pn
from bokeh.core.properties import value
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJSTickFormatter,
    HoverTool,
    Label,
    Scatter,
    Span,
    Text,
)

from mfviz.plots import style
from mfviz.plots.base import Track
from mfviz.plots.labels import text_width
from mfviz.plots.memory_steps import MemorySteps, element, memory_steps
from mfviz.plots.scale import mib_text, nice
from mfviz.telemetry.memory import PARTS
from mfviz.theory.memory import MIB
from mfviz.views.live_parts import dress, equip, frame_size, put_source, refill, tip

__all__ = ["MemorySteps", "StepsFigure"]

DOT = 4  # px, radius of a sample
NOMINAL = (600.0, 200.0)  # frame in pixels until the browser tells it
BLANK = (math.nan, 0.0, "", "black", "normal", "center")  # a word that is not shown
AMOUNT = "return Number(tick.toPrecision(4)).toLocaleString('en') + (tick === 0 ? '' : ' MiB')"
SECONDS = "return Number(tick.toPrecision(4)) + (tick === 0 ? ' s' : '')"


class StepsFigure:
    """Memory of one run over time.

    Parameters
    ----------
    letter : str
        Run that it shows.
    theme : {"light", "dark"}

    Attributes
    ----------
    figure : bokeh.plotting.figure
    canvas : panel object
    steps : MemorySteps
    period : float
        Seconds between two updates, at least.
    """

    period = 0.5

    def __init__(self, letter: str, theme: str = "light") -> None:
        self.letter, self.theme = letter, theme
        self.steps = MemorySteps(*_nothing())
        self._state: Any = None
        self._track: Track | None = None
        self.figure = self._build()
        self.canvas = pn.pane.Bokeh(
            self.figure, sizing_mode="stretch_both", min_height=150, margin=0
        )
        self.set_theme(theme)

    def show(self, tracks: Sequence[Track]) -> None:
        """Show the run of this letter, if it is among these."""
        self._track = next((track for track in tracks if track[0] == self.letter), None)
        self.update()

    def update(self) -> bool:
        """Bring the stack up to date; return whether anything came."""
        history = self._track[1] if self._track else None
        state = history and (
            history.run, len(history.ledger), len(history.memory), len(history.epochs)
        )  # fmt: skip
        if state == self._state:
            return False
        self._state = state
        self.steps = memory_steps(history) if history else MemorySteps(*_nothing())
        self._draw()
        return True

    @property
    def empty(self) -> bool:
        """Whether nothing was held yet."""
        return not self.steps.levels

    def settle(self) -> None:
        """Nothing moves any more; there is nothing left to do."""

    def set_theme(self, theme: str) -> None:
        """Set the colours on the existing models."""
        self.theme = theme
        token = style.TOKENS[theme]
        dress(self.figure, theme)
        for part, renderer in self._areas.items():
            renderer.glyph.update(
                fill_color=style.MEMORY[theme][part], line_color=token["surface"]
            )
        self._dots.glyph.update(fill_color=token["ink"], line_color=token["surface"])
        self._model.line_color = token["ink2"]
        self._model_label.update(text_color=token["ink2"], background_fill_color=token["surface"])
        for line, label in self._marks:
            line.line_color, label.text_color = token["ink3"], token["ink2"]
        self._hover.tooltips = tip("<div>@amount</div><div>@where</div>", theme)
        self._write_words()

    # --- drawing ----------------------------------------------------------------------------

    def _build(self) -> Any:
        figure = hv.render(element(self.theme), backend="bokeh")
        equip(figure, "stretch_both")
        self._areas = dict(zip(PARTS, figure.renderers, strict=True))
        for part, renderer in self._areas.items():
            source = ColumnDataSource({"x": [], "y": []}, name=f"steps-{self.letter}-{part}")
            put_source([renderer], source)
            renderer.glyph.update(x="x", y="y")
        columns = ("x", "y", "amount", "where")
        samples = ColumnDataSource({c: [] for c in columns}, name=f"steps-{self.letter}-samples")
        self._dots = figure.add_glyph(samples, Scatter(x="x", y="y", size=2 * DOT, line_width=1.5))
        self._hover = HoverTool(renderers=[self._dots], show_arrow=False)
        figure.add_tools(self._hover)
        self.words = ColumnDataSource(
            {n: [] for n in ("x", "y", "text", "color", "weight", "align")}
        )
        figure.add_glyph(self.words, Text(
            x="x", y="y", text="text", text_color="color", text_font_style="weight",
            text_align="align", text_baseline="middle", text_font=value(style.FONT),
            text_font_size=style.SIZES["tick"],
        ))  # fmt: skip
        self._model = Span(dimension="width", line_dash=[6, 4], line_width=1.5, visible=False)
        self._model_label = _label(y_offset=3)
        self._marks = [
            (Span(dimension="height", line_dash=[2, 3], line_width=1, visible=False), _label())
            for _ in range(3)
        ]
        for item in (*(m for pair in self._marks for m in pair), self._model, self._model_label):
            figure.add_layout(item)
        for axis, script in ((figure.xaxis[0], SECONDS), (figure.yaxis[0], AMOUNT)):
            axis.update(
                ticker=BasicTicker(desired_num_ticks=5), axis_label=None,
                formatter=CustomJSTickFormatter(code=script),
            )  # fmt: skip
        for name in ("inner_width", "inner_height"):
            figure.on_change(name, self._resized)
        return figure

    def _draw(self) -> None:
        steps = self.steps
        outlines = steps.polygons()
        for part, renderer in self._areas.items():
            x, y = outlines.get(part, ([], []))
            renderer.data_source.data = {"x": list(x), "y": [v / MIB for v in y]}
        top, end = steps.top_bytes / MIB, nice(1.02 * max(steps.end_s, 1e-3))
        self.figure.x_range.update(start=0.0, end=end, reset_start=0.0, reset_end=end)
        self.figure.y_range.update(start=0.0, end=top, reset_start=0.0, reset_end=top)
        near = steps.samples[steps.samples[:, 1] <= steps.top_bytes]
        grown = {"rss": "process grew by", "device": "device memory grew by"}
        kind = grown.get(steps.place, f"{steps.place} in use")
        self._dots.data_source.data = {
            "x": near[:, 0].tolist(), "y": (near[:, 1] / MIB).tolist(),
            "amount": [f"{kind} {mib_text(b)} MiB" for b in near[:, 1]],
            "where": [f"sampled at {t:.2f} s" for t in near[:, 0]],
        }  # fmt: skip
        self._model.update(location=steps.model_bytes / MIB, visible=steps.model_bytes > 0)
        self._model_label.update(
            x=end, y=steps.model_bytes / MIB, text_align="right", visible=steps.model_bytes > 0,
            text=f"model {mib_text(steps.model_bytes)} MiB", x_offset=-4,
        )  # fmt: skip
        self._mark()
        for item in (*self.figure.axis, *self.figure.grid):
            item.visible = bool(steps.levels)
        self._write_words()

    def _resized(self, attr: str, old: int, new: int) -> None:
        if old != new:
            self._mark()
            self._write_words()

    def _mark(self) -> None:
        """Mark the first and the last epoch, and the end of all."""
        end, top = float(self.figure.x_range.end), float(self.figure.y_range.end)
        marks = [(at, f"epoch {epoch}") for at, epoch in self.steps.epochs]
        if math.isfinite(self.steps.freed_s):
            marks.append((self.steps.freed_s, "freed"))
        wide, room = self._frame_size()[0], -1.0
        for at, (line, label) in enumerate(self._marks):
            seen = at < len(marks)
            line.visible = label.visible = seen
            if not seen:
                continue
            x, words = marks[at]
            line.location = x
            px = wide * x / end
            left = px + text_width(words, 12) + 8 > wide
            begin = px - text_width(words, 12) - 8 if left else px
            label.visible = begin >= room
            room = begin + text_width(words, 12) + 10 if label.visible else room
            label.update(
                x=x, y=top, text=words, y_offset=-8, x_offset=-4 if left else 4,
                text_align="right" if left else "left",
            )  # fmt: skip

    def _write_words(self) -> None:
        """Name the bands that have room for it, in their middle, and no sample on it."""
        wide, high = self._frame_size()
        top, end = self.steps.top_bytes, float(self.figure.x_range.end or 1.0)
        rows: list[tuple[Any, ...]] = []
        levels, t_s = self.steps.levels, self.steps.t_s
        if levels:
            at = int(self.steps.held.argmax())
            over = [k for k in range(at, len(t_s)) if any(v[k] < v[at] for v in levels.values())]
            left, right = float(t_s[at]), float(t_s[over[0] if over else -1])
            room, below = wide * (right - left) / end, 0.0
            for part, level in levels.items():
                size = float(level[at])
                names = [f"{part} {mib_text(size)}", *style.MEMORY_LABELS[part]]
                fitting = (name for name in names if text_width(name, 12) + 8 <= room)
                text = next(fitting, "") if size * high / top >= 16 else ""
                x, y = (left + right) / 2, below + size / 2
                if text and not self._dotted(x, y, text_width(text, 12)):
                    ink = style.readable(style.MEMORY[self.theme][part])
                    rows.append((x, y / MIB, text, ink, "normal", "center"))
                below += size
        refill(self.words, rows, BLANK)

    def _dotted(self, x: float, y: float, words: float) -> bool:
        """Tell whether a sample lies on words, so many pixels wide, at seconds and bytes."""
        wide, high = self._frame_size()
        off = np.abs(self.steps.samples - (x, y))
        near = (off * (wide / float(self.figure.x_range.end), high / self.steps.top_bytes)).T
        return bool(((near[0] < words / 2 + DOT) & (near[1] < 6 + DOT)).any())

    def _frame_size(self) -> tuple[float, float]:
        return frame_size(self.figure, NOMINAL)


def _label(**settings: Any) -> Label:
    return Label(
        x=0, y=0, text="", text_font=style.FONT, text_font_size=style.SIZES["tick"],
        text_baseline="bottom" if settings else "top", visible=False, **settings,
    )  # fmt: skip


def _nothing() -> tuple[Any, Any, Any]:
    return np.empty(0), {}, np.empty((0, 2))

"""The memory figure: a stacked bar of what each run held, over a hatched one of the prediction."""

from __future__ import annotations

import math
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np
import panel as pn
from bokeh.core.properties import value
from bokeh.models import (
    CDSView,
    ColumnDataSource,
    Dodge,
    FactorRange,
    FixedTicker,
    HoverTool,
    IndexFilter,
    LinearAxis,
    LinearInterpolator,
    Scatter,
    Text,
)
from bokeh.transform import transform

from mfviz.plots import style
from mfviz.plots.labels import text_width
from mfviz.plots.memory import Memory, Segment, segments
from mfviz.plots.scale import bytes_text
from mfviz.telemetry.history import History
from mfviz.views.live import LiveFigure
from mfviz.views.live_parts import RunNames, equip, put_source, refill, seed, tip

__all__ = ["LiveMemory"]

LEFT = 100  # px for the names of the runs
ROW, BAR, MODEL = 48, (0, 18), (20, 28)  # px of a run; of its bars within that
FAR = 1e15  # bytes
BLANK = (math.nan, 0.0, "", "black", "12px", 0)  # a row of words that shows nothing


class LiveMemory(LiveFigure):
    """Ledger by part (solid), prediction (hatched) and growth of the process (circle), live.

    The figure sets its own height, which follows the number of runs. The circle is drawn from the
    source of samples; the bars, which are few, from a small source of their own.
    """

    plot = Memory()
    rollover = 1200
    period = 0.5
    nominal = (190, 92)
    invitation = "Press Run: memory appears here."

    def __init__(self, theme: str = "light", **pane: Any) -> None:
        self._names = RunNames(LEFT)
        self._told: Any = None  # what the bars and words were written for
        settings = {"sizing_mode": "stretch_width", "height": ROW, "min_height": ROW} | pane
        super().__init__(theme, **settings)

    @property
    def summary(self) -> str:
        """Peak and prediction of each run, in a sentence."""
        parts = [
            f"{letter} {h.title or h.solver}: {', '.join(_facts(h))}"
            for letter, h in self.tracks
            if h.run
        ]
        return f"Memory: {'; '.join(parts) or 'no run yet'}."

    @property
    def caption(self) -> str:
        """Say what is measured."""
        return "measured, ledger; hatched: model"

    # --- drawing ----------------------------------------------------------------------------

    def _frame(self) -> Any:
        return pn.Row(self._names.pane, self.canvas, sizing_mode="stretch_width", margin=0)

    def _build(self) -> Any:
        figure = hv.render(self.plot.element(seed(self.plot), self.theme), backend="bokeh")
        equip(figure, "stretch_width")
        figure.toolbar_location = None
        columns = ("left", "right", "top", "bottom", "color", "part", "size", "kind")
        self._bars = []
        for renderer, kind in zip(list(figure.renderers), ("measured", "model"), strict=True):
            source = ColumnDataSource({name: [] for name in columns}, name=f"memory-{kind}")
            put_source([renderer], source)
            renderer.glyph.update(
                left="left", right="right", top="top", bottom="bottom", fill_alpha=1.0,
                line_width=1,
            )  # fmt: skip
            self._bars.append(renderer)
        solid, hatched = (renderer.glyph for renderer in self._bars)
        solid.update(fill_color="color", border_radius=2)
        hatched.update(
            fill_color="color", hatch_pattern="\\", hatch_weight=2, hatch_scale=6,
            line_color="color", line_dash=[3, 2],
        )  # fmt: skip
        self._add_words(figure)
        self._runs = FactorRange(factors=[])
        self._samples: dict[str, tuple[Any, Any, Any]] = {}
        self._hover = HoverTool(
            renderers=self._bars, point_policy="follow_mouse", attachment="horizontal",
            show_arrow=False, limit=1,
        )  # fmt: skip
        figure.add_tools(self._hover)
        return figure

    def _add_words(self, figure: Any) -> None:
        columns = ("x", "y", "text", "color", "font", "dx")
        self.words = ColumnDataSource({name: [] for name in columns}, name="memory-labels")
        text = Text(
            x="x", y="y", text="text", text_color="color", text_font_size="font", x_offset="dx",
            text_baseline="middle", text_font=value(style.FONT),
        )  # fmt: skip
        figure.add_glyph(self.words, text)
        figure.yaxis[0].visible = figure.xaxis[0].visible = False
        self._totals = LinearAxis(ticker=FixedTicker(ticks=[]), major_label_text_align="right")
        figure.add_layout(self._totals, "right")

    def _add_run(self, letter: str) -> None:
        """Draw the largest sample of the process from the source, less what was in use before."""
        base = LinearInterpolator(x=[0.0, FAR], y=[0.0, FAR], clip=False)
        row = Dodge(value=0.0, range=self._runs)
        mark = Scatter(
            x=transform("bytes", base), y=transform("run", row), size=9, marker="circle"
        )
        view = CDSView(filter=IndexFilter(indices=[]))
        renderer = self.figure.add_glyph(self.source, mark, view=view)
        self._samples[letter] = (renderer, base, row)

    def _paint(self) -> None:
        token = style.TOKENS[self.theme]
        self._bars[0].glyph.line_color = token["surface"]
        self._bars[1].glyph.hatch_color = token["surface"]
        for renderer, _, _ in self._samples.values():
            renderer.glyph.update(fill_color=token["ink"], line_color=token["surface"])
        self.figure.ygrid.grid_line_color = None
        self._totals.update(
            major_label_text_color=token["ink"], major_label_text_font_style="bold",
            major_label_text_font_size=style.SIZES["label"],
        )  # fmt: skip
        self._hover.tooltips = tip("<div><b>@part</b> @size</div><div>@kind</div>", self.theme)

    def _never_visible(self) -> Any:
        return (self.figure.xaxis[0], self.figure.yaxis[0])

    def _reload(self, room: int) -> None:
        for renderer, _, _ in self._samples.values():
            renderer.view.filter.indices = []  # BokehJS would look for rows that are gone
        super()._reload(room)

    # --- what is not streamed ---------------------------------------------------------------

    def _refresh(self) -> None:
        shown = [(letter, h) for letter, h in self.tracks if h.model or h.ledger]
        self._set_empty(not shown)
        stacks = segments(shown)
        rises = [h.rss_rise_bytes for _, h in shown]
        names = [(letter, h.title or h.solver) for letter, h in shown]
        state = (stacks, rises, names, self.theme, self._frame_size(), self._settled)
        if state != self._told:
            self._told = state
            width = max((s.end for s in stacks), default=1.0)
            width = max([width, *(r for r in rises if r <= 1.5 * width)]) * 1.02
            rows = {letter: at * ROW for at, (letter, _) in enumerate(shown)}
            height = self._set_height(max(len(self.tracks), 1) * ROW)
            self._aim("x", 0.0, width)
            self._aim("y", height, 0.0)
            for renderer, measured in zip(self._bars, (True, False), strict=True):
                renderer.data_source.data = self._bar_columns(stacks, rows, measured)
            self._write_words(shown, stacks, rows, width)
            self._names.write({k: (name, rows[k] + 9.0) for k, name in names}, height, self.theme)
        self._write_samples(shown)

    def _bar_columns(
        self, stacks: list[Segment], rows: dict[str, int], measured: bool
    ) -> dict[str, list[Any]]:
        top, bottom = BAR if measured else MODEL
        mine = [s for s in stacks if s.measured == measured]
        return {
            "left": [s.start for s in mine],
            "right": [s.end for s in mine],
            "top": [rows[s.letter] + top for s in mine],
            "bottom": [rows[s.letter] + bottom for s in mine],
            "color": [style.MEMORY[self.theme][s.part] for s in mine],
            "part": [s.part for s in mine],
            "size": [bytes_text(s.end - s.start) for s in mine],
            "kind": ["measured, ledger at its peak" if measured else "modelled"] * len(mine),
        }

    def _write_words(
        self,
        shown: list[tuple[str, History]],
        stacks: list[Segment],
        rows: dict[str, int],
        width: float,
    ) -> None:
        """Name the segments that are wide enough, and say the other numbers below the bars."""
        scale = self._frame_size()[0] / width
        found: list[tuple[Any, ...]] = []
        for s in stacks:
            for text in style.MEMORY_LABELS[s.part] if s.measured else ():
                if text_width(text, 12) + 8 <= (s.end - s.start) * scale:
                    ink = style.readable(style.MEMORY[self.theme][s.part])
                    found.append((s.start, rows[s.letter] + 9.5, text, ink, "12px", 5))
                    break
        ink3 = style.TOKENS[self.theme]["ink3"]
        for letter, history in shown:
            text = _fitting(_facts(history, peak=False), self._frame_size()[0])
            found.append((0.0, rows[letter] + 38, text, ink3, "12px", 0))
        refill(self.words, found, BLANK)
        totals = {rows[k] + 9.0: bytes_text(h.peak_bytes) for k, h in shown if h.peak_bytes}
        self._totals.ticker.ticks = list(totals)
        self._totals.major_label_overrides = totals

    def _write_samples(self, shown: list[tuple[str, History]]) -> None:
        letters = [letter for letter, _ in shown]
        if self._runs.factors != letters:
            self._runs.factors = letters
        run, place = (np.array(self.source.data[name], object) for name in ("run", "place"))
        used = self.source.data["bytes"]
        known = dict(shown)
        for letter, (renderer, base, row) in self._samples.items():
            mine = np.flatnonzero((run == letter) & (place == "rss"))
            samples = known[letter].memory if letter in known else []
            first = next((s.used_bytes for s in samples if s.place == "rss"), 0)
            at = [int(mine[np.argmax(used[mine])])] if len(mine) and letter in known else []
            if at and used[at[0]] - first < 0.01 * self.figure.x_range.end:
                at = []  # no growth to speak of: the number below the bar says it
            if renderer.view.filter.indices != at:
                renderer.view.filter.indices = at
            if base.x[0] != first:
                base.update(x=[float(first), FAR], y=[0.0, FAR - first])
            if at:  # level with the prediction, where it covers no label
                row.value = (ROW - 1) * self._runs.factors.index(letter) + sum(MODEL) / 2 - 0.5


def _facts(history: History, peak: bool = True) -> list[str]:
    """Say what was held, predicted and taken from the system."""
    parts = [f"{bytes_text(history.peak_bytes)} held at the peak"] if peak else []
    if history.model:
        parts.append(f"model {bytes_text(sum(history.model.values()))}")
    if history.rss_rise_bytes:
        mark = "" if peak else "● "
        parts.append(f"{mark}process +{bytes_text(history.rss_rise_bytes)}")
    return parts


def _fitting(parts: list[str], room: float) -> str:
    """Join the parts in so many pixels: all of them, in fewer words, or else the first alone."""
    whole = " · ".join(parts)
    for words in (whole, whole.replace("process ", "")):
        if text_width(words, 12) <= 1.1 * room:  # which is rather too wide, here by a tenth
            return words
    return "".join(parts[:1])

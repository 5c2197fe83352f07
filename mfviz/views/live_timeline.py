"""The timeline figure: lanes of every run, each run on its own clock, pauses cut out.

The source holds recorded times only. Where a rectangle stands is left to transforms in the
browser: a piecewise linear map of each run takes its pauses out and counts back from its last
span, and a dodge over the run's lanes gives the row. So a growing timeline sends its new spans and
a few corners of that map, never the old spans again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np
import panel as pn
from bokeh.core.properties import value
from bokeh.models import (
    BasicTicker,
    CategoricalColorMapper,
    CDSView,
    ColumnDataSource,
    CustomJSFilter,
    CustomJSHover,
    CustomJSTickFormatter,
    CustomJSTransform,
    Dodge,
    FactorRange,
    FixedTicker,
    GlyphRenderer,
    HoverTool,
    LinearAxis,
    Scatter,
    Span,
    Text,
)
from bokeh.transform import transform

from mfviz.plots import style
from mfviz.plots.base import Track
from mfviz.plots.scale import number_text
from mfviz.plots.spans import span_labels, wait_words
from mfviz.plots.timeline import (
    STOPS,
    BusyClock,
    BusyTime,
    Timeline,
    window_ms,
)
from mfviz.telemetry.events import OPS
from mfviz.telemetry.history import History
from mfviz.views.live import LiveFigure
from mfviz.views.live_parts import (
    RunNames,
    copies,
    equip,
    place_tools,
    put_source,
    refill,
    seed,
    tip,
)
from mfviz.views.live_scripts import AGO, BUSY, FACT, OF_LAYER

__all__ = ["LiveTimeline"]

LEFT = 112  # px for the names of the runs
LAYERS = ("work", "wait", "modelled")
LANE, HEAD, FOOT = 21.0, 8.0, 26  # px of a lane, above the lanes of a run, for the axis
BLANK = (math.nan, 0.0, "", "black", "white")  # a word that is not shown
MOST_PX = 380.0  # of all lanes together; more lanes become thinner


class LiveTimeline(LiveFigure):
    """Lanes of workers, streams and copy engines, live.

    The figure sets its own height, which follows the number of lanes.
    """

    plot = Timeline()
    rollover = 2400
    period = 0.25  # it is the dearest to paint; the curves come sooner without it
    nominal = (880, 92)
    invitation = "Press Run: a lane for each worker appears here."

    def __init__(self, theme: str = "light", **pane: Any) -> None:
        self._window = 100.0
        self._time: dict[str, BusyClock] = {}
        self._busy: dict[str, BusyTime] = {}
        self._laid_out: Any = None  # what the rows were laid out for
        self._told_at = 0.0
        self._rows: dict[str, float] = {}  # run -> row of its first lane
        self._lane_px = LANE
        self._names = RunNames(LEFT)
        settings = {"sizing_mode": "stretch_width", "height": 120, "min_height": 60} | pane
        super().__init__(theme, **settings)

    def _frame(self) -> Any:
        return pn.Row(self._names.pane, self.canvas, sizing_mode="stretch_width", margin=0)

    @property
    def summary(self) -> str:
        """Lanes and idleness of each run, in a sentence."""
        parts = []
        for letter, history in self.tracks:
            idle = history.idle_share()
            count = len(history.lanes)
            words = f"{letter} {history.title or history.solver}: {count} lane"
            words += "" if count == 1 else "s"
            parts.append(words + (f", idle {100 * idle:.0f} %" if math.isfinite(idle) else ""))
        return f"Timeline of the last {self._window_text()}: {'; '.join(parts) or 'no run yet'}."

    @property
    def caption(self) -> str:
        """Window, clocks, and how many older spans are not drawn."""
        if self.empty:
            return "what every worker does, and what it waits for"
        text = f"last {self._window_text()} of each run, pauses and evaluation cut out; "
        text += "▾ end of an epoch"
        missing = sum(len(h.spans) for _, h in self.tracks) - len(self.source.data["run"])
        return text + (f"; {missing:,} older spans not drawn" if missing > 0 else "")

    def _window_text(self) -> str:
        wide = self._window
        return f"{number_text(wide / 1000)} s" if wide >= 2000 else f"{number_text(wide)} ms"

    # --- drawing ----------------------------------------------------------------------------

    def _build(self) -> Any:
        figure = hv.render(self.plot.element(seed(self.plot), self.theme), backend="bokeh")
        equip(figure, "stretch_width")
        *self._drawn, modelled = figure.renderers
        put_source(self._drawn, self.source)
        self._model_glyph = modelled.glyph
        figure.renderers = list(self._drawn)  # the third comes when something is modelled
        self._fill = CategoricalColorMapper(factors=list(OPS), palette=["#000000"] * len(OPS))
        self._quads: dict[str, list[Any]] = {}
        self._corners: dict[str, Any] = {}
        self._lanes: dict[str, Any] = {}
        self._tops: dict[str, Any] = {}
        self._bottoms: dict[str, Any] = {}
        for layer, glyph in zip(
            LAYERS, (*(r.glyph for r in self._drawn), self._model_glyph), strict=True
        ):
            self._hatch(glyph, layer)
        self._add_words(figure)
        self._add_hover(figure)
        figure.x_range.on_change("start", self._panned)
        return figure

    def _add_run(self, letter: str) -> None:
        """Give a run its map of time, its lanes, and views of its rows of the source."""
        self._quads[letter] = self._drawn if letter == "A" else copies(self.figure, self._drawn)
        self._corners[letter] = ColumnDataSource({"x": [0.0, 1.0], "y": [0.0, 1.0]})
        self._lanes[letter] = lanes = FactorRange(factors=[])
        self._tops[letter] = Dodge(value=0.0, range=lanes)
        self._bottoms[letter] = Dodge(value=0.0, range=lanes)
        self._time[letter] = BusyClock()
        for renderer, layer in zip(self._quads[letter], LAYERS, strict=False):
            self._bind(renderer, letter, layer)

    def _add_modelled(self, letter: str) -> None:
        """Add the layer of what a model predicts, once there is such a span."""
        model = GlyphRenderer(data_source=self.source, glyph=self._model_glyph.clone())
        below = self._quads[letter][-1]
        at = self.figure.renderers.index(below) + 1
        self.figure.renderers = [
            *self.figure.renderers[:at], model, *self.figure.renderers[at:]
        ]  # fmt: skip
        self._quads[letter] = [*self._quads[letter], model]
        self._bind(model, letter, "modelled")
        self._paint()

    def _bind(self, renderer: Any, letter: str, layer: str) -> None:
        args = {"letter": letter, "layer": layer}  # Bokeh adds the source
        renderer.view = CDSView(filter=CustomJSFilter(args=args, code=OF_LAYER))
        clock = CustomJSTransform(args={"corners": self._corners[letter]}, v_func=BUSY)
        renderer.glyph.update(
            left=transform("start_ms", clock),
            right=transform("end_ms", clock),
            top=transform("lane", self._tops[letter]),
            bottom=transform("lane", self._bottoms[letter]),
        )
        self._hover.renderers = [r for run in self._quads.values() for r in run]

    def _hatch(self, glyph: Any, layer: str) -> None:
        """Give work a solid fill, waits a thin hatch, what is modelled stripes of its kind.

        Stripes are cut into the colour of the kind by a hatch in the colour of the ground: for a
        hatch whose own colour varies, Bokeh makes an image a row at every change of the source.
        """
        if layer == "work":
            glyph.update(fill_color=transform("op", self._fill), line_width=1, border_radius=2)
        elif layer == "wait":
            glyph.update(hatch_pattern="/", hatch_weight=1, hatch_scale=8, line_color=None)
        else:
            glyph.update(
                hatch_pattern="\\", hatch_weight=3, hatch_scale=8, line_dash=[4, 3],
                fill_color=transform("op", self._fill), line_color=transform("op", self._fill),
            )  # fmt: skip

    def _add_words(self, figure: Any) -> None:
        columns = ("x", "y", "text", "color", "plate")
        self.words = ColumnDataSource({name: [] for name in columns}, name="timeline-labels")
        text = Text(
            x="x", y="y", text="text", text_color="color", text_align="center",
            text_baseline="middle", text_font=value(style.FONT),
            text_font_size=style.SIZES["span"], background_fill_color="plate", padding=(3, 1),
        )  # fmt: skip
        figure.add_glyph(self.words, text)
        self.marks = ColumnDataSource({"x": [], "y": []}, name="timeline-epochs")
        mark = Scatter(x="x", y="y", marker="inverted_triangle", size=7, line_color=None)
        self._mark = figure.add_glyph(self.marks, mark)
        self._now = Span(location=0, dimension="height", line_width=2, visible=False)
        figure.add_layout(self._now)
        self._zero = ColumnDataSource({"now": ["now"]}, name="timeline-zero")
        for place, axis in (("left", figure.yaxis[0]), ("right", LinearAxis())):
            axis.update(ticker=FixedTicker(ticks=[]), axis_label=None, major_tick_out=0)
            if place == "right":
                figure.add_layout(axis, "right")
        figure.xaxis[0].update(
            ticker=BasicTicker(desired_num_ticks=6), axis_label=None,
            formatter=CustomJSTickFormatter(args={"words": self._zero}, code=AGO),
        )  # fmt: skip

    def _add_hover(self, figure: Any) -> None:
        reasons = {reason: wait_words(reason) for reason in (*STOPS, "barrier", "no-free-block")}
        facts = CustomJSHover(args={"source": self.source, "reasons": reasons}, code=FACT)
        self._hover = HoverTool(
            renderers=[], formatters={"@run": facts}, limit=1,
            point_policy="follow_mouse", attachment="horizontal", show_arrow=False,
        )  # fmt: skip
        figure.add_tools(self._hover)

    def _paint(self) -> None:
        token, theme = style.TOKENS[self.theme], self.theme
        self._fill.palette = [style.OPS[theme][op] for op in OPS]
        for work, wait, *modelled in self._quads.values():
            work.glyph.line_color = token["surface"]
            wait.glyph.update(fill_color=token["hatch_bg"], hatch_color=token["hatch"])
            for renderer in modelled:
                renderer.glyph.hatch_color = token["surface"]
        self._mark.glyph.fill_color = token["ink"]
        self._now.line_color = token["accent"]
        self.figure.ygrid.grid_line_color = None
        lines = "".join(
            f'<div style="color:{token[ink]}">@run{{{fact}}}</div>'
            for fact, ink in (
                ("title", "ink"), ("lane", "ink2"), ("time", "ink2"), ("work", "ink2"),
                ("clock", "ink3"),
            )
        )  # fmt: skip
        self._hover.tooltips = tip(lines, theme)

    # --- what is not streamed ---------------------------------------------------------------

    def show(self, tracks: Sequence[Track]) -> None:
        """See :meth:`LiveFigure.show`."""
        self._laid_out = None
        self._time = {letter: BusyClock() for letter in self._time}
        super().show(tracks)

    def _share(self, letter: str, history: History, room: int) -> list[tuple[Any, ...]]:
        return self.plot.rows(letter, history, (max(len(history.spans) - room, 0),))

    def _prepare(self) -> None:
        """Lay out the rows, and map recorded time to busy time, before spans are sent."""
        shown = [(letter, h) for letter, h in self.tracks if h.lanes]
        self._lay_out(shown)
        for letter, history in shown:
            clock = self._time[letter]
            if clock.follow(history.spans):
                self._busy[letter] = busy = clock.busy_time()
                corners = {"x": busy.recorded.tolist(), "y": busy.busy.tolist()}
                self._corners[letter].data = corners
            if clock.modelled and len(self._quads[letter]) < len(LAYERS):
                self._add_modelled(letter)

    def _refresh(self) -> None:
        shown = [(letter, h) for letter, h in self.tracks if h.lanes]
        self._set_empty(not shown)
        if not shown:
            refill(self.words, [], BLANK)
            self.marks.data = {name: [] for name in self.marks.data}
            return
        self._tell_idleness(shown)
        self._mark_epochs(shown)
        self._aim("x", -self._window, 0.0)
        names = {letter: f"{letter} {h.title or h.solver}" for letter, h in shown}
        clocks = {letter: f"{h.spans[-1].clock} clock" for letter, h in shown}
        self._tell_tips(names, clocks)
        running = any(not h.ended for _, h in shown)
        self._now.visible = running
        word = {"now": ["now" if running else "end"]}
        if dict(self._zero.data) != word:
            self._zero.data = word
        self._write_words()

    def _lay_out(self, shown: list[tuple[str, History]]) -> None:
        """Give each run its rows, and the figure its height; both seldom change."""
        lanes = [(letter, h.title or h.solver, tuple(h.lanes)) for letter, h in shown]
        layout = (lanes, self.theme, self._settled)
        if layout != self._laid_out:
            self._laid_out = layout
            count = sum(len(h.lanes) for _, h in shown)
            self._lane_px = max(min(LANE, MOST_PX / max(count, 1)), 4.0)
            row, ticks, runs = 0.0, {}, {}
            self._rows = {}
            for letter, title, names in lanes:
                row += HEAD / self._lane_px
                self._rows[letter] = row
                self._lanes[letter].factors = list(names)
                self._tops[letter].value = row - 0.46  # a factor's own place is its index + 0.5
                self._bottoms[letter].value = row + 0.46
                for at in range(0, len(names), math.ceil(14 / self._lane_px)):
                    ticks[row + at + 0.5] = names[at]
                runs[letter] = (title, (row + 0.5) * self._lane_px)
                row += len(names)
            for axis in self.figure.yaxis:
                axis.ticker.ticks = list(ticks)
            self.figure.yaxis[0].major_label_overrides = ticks
            # without lanes it stays as high as it was: others are about to come
            wanted = round(row * self._lane_px) + 1 + FOOT if shown else self.canvas.height
            height = self._set_height(wanted)
            self._aim("y", (height - FOOT) / self._lane_px, 0.0)
            self._names.write(runs, height, self.theme)
            place_tools(self.figure, self.theme, height - FOOT)  # clear of the lanes

    def _tell_idleness(self, shown: list[tuple[str, History]]) -> None:
        """Write the shares beside the lanes; at most once a second, as it lays out the page."""
        texts = {}
        for letter, history in shown:
            for at, lane in enumerate(history.lanes):
                share = history.idle_share(lane)
                text = f"idle {100 * share:.0f} %" if math.isfinite(share) else ""
                texts[self._rows[letter] + at + 0.5] = text
        told, now = self.figure.yaxis[1].major_label_overrides, time.monotonic()
        over = all(history.ended for _, history in shown)
        if texts != told and (over or texts.keys() != told.keys() or now > self._told_at + 1.0):
            self.figure.yaxis[1].major_label_overrides = texts
            self._told_at = now

    def _mark_epochs(self, shown: list[tuple[str, History]]) -> None:
        """Mark where epochs end, and choose the window."""
        marks: dict[str, list[float]] = {"x": [], "y": []}
        lengths = []
        for letter, _ in shown:
            at = self._busy[letter].at(list(self._time[letter].epoch_ends.values()))
            marks["x"] += at[:-1].tolist()
            marks["y"] += [self._rows[letter] - 0.5 * HEAD / self._lane_px] * (len(at) - 1)
            steps = np.diff(at)[-8:]
            lengths.append(float(np.median(steps)) if len(steps) else 0.0)
        if marks != dict(self.marks.data):
            self.marks.data = marks
        self._window = window_ms([-self._busy[k].busy[1] for k, _ in shown], lengths)

    def _panned(self, attr: str, old: float, new: float) -> None:
        if self.tracks and old != new and self._up_to_date:
            self._write_words()

    def _write_words(self) -> None:
        """Name the rectangles that are wide enough for it, in the part that is looked at."""
        start, end = self.figure.x_range.start, self.figure.x_range.end
        rows: list[tuple[Any, ...]] = []
        if self._lane_px >= 13 and end > start:
            px_per_ms = self._frame_size()[0] / (end - start)
            for letter, history in self.tracks:
                if letter in self._rows:
                    lanes = {
                        name: self._rows[letter] + at + 0.5
                        for at, name in enumerate(history.lanes)
                    }
                    first = self._time[letter].epoch_at(self._busy[letter].recorded_at(start))
                    newest = history.spans[-(self.rollover // len(self.tracks)) :]
                    spans = [span for span in newest if span.epoch >= first]
                    found = span_labels(spans, self._busy[letter], start, end, px_per_ms)
                    rows += [self._word(span, x, text, lanes) for span, x, text in found]
        refill(self.words, rows, BLANK)

    def _word(self, span: Any, x: float, text: str, lanes: dict[str, float]) -> tuple[Any, ...]:
        """One row of the source of words, in the order of its columns."""
        plate = style.TOKENS[self.theme]["surface"] if span.op == "wait" else "rgba(0,0,0,0)"
        return (x, lanes[span.lane], text, style.OPS_TEXT[self.theme][span.op], plate)

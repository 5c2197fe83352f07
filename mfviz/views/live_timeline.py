"""The timeline figure: lanes of every run, each run on its own clock, pauses cut out.

The source holds recorded times only. Where a rectangle stands is left to transforms in the
browser: a piecewise linear map of each run takes its pauses out and counts back from its last
span, and a dodge over the run's lanes gives the row. So a growing timeline sends its new spans and
a few corners of that map, never the old spans again.
"""

from __future__ import annotations

import math
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np
import panel as pn
from bokeh.core.properties import value
from bokeh.models import (
    BasicTicker,
    CategoricalColorMapper,
    ColumnDataSource,
    CustomJSHover,
    CustomJSTickFormatter,
    Dodge,
    FactorRange,
    FixedTicker,
    GroupFilter,
    HoverTool,
    LinearAxis,
    LinearInterpolator,
    Scatter,
    Span,
    Text,
)
from bokeh.transform import transform

from mfviz.plots import style
from mfviz.plots.labels import text_width
from mfviz.plots.scale import number_text
from mfviz.plots.timeline import (
    STOPS,
    BusyTime,
    Timeline,
    busy_time,
    epoch_ends,
    span_words,
    wait_words,
    window_ms,
)
from mfviz.telemetry.events import OPS
from mfviz.telemetry.history import History
from mfviz.views.live import LiveFigure
from mfviz.views.live_parts import (
    RunNames,
    copies,
    equip,
    only,
    place_tools,
    put_source,
    seed,
    tip,
)

__all__ = ["LiveTimeline"]

LEFT = 112  # px for the names of the runs
LANE, HEAD, FOOT = 21.0, 8.0, 26  # px of a lane, above the lanes of a run, for the axis
MOST_PX = 380.0  # of all lanes together; more lanes become thinner

AGO = """
const a = Math.abs(tick)
if (a === 0) return word
const [size, unit] = wide >= 2000 ? [1e3, "s"] : wide >= 2 ? [1, "ms"] : [1e-3, "µs"]
return "−" + Number((a / size).toPrecision(4)) + " " + unit
"""
# Each line of the tool tip is one of these; an empty one takes no room.
FACT = """
const row = (name) => source.data[name][special_vars.index]
const ms = row("end_ms") - row("start_ms")
const time = (t) => t >= 1000 ? (t / 1000).toPrecision(4) + " s"
  : t >= 1 ? t.toPrecision(4) + " ms" : (1000 * t).toPrecision(3) + " µs"
const many = (v) => v >= 1e9 ? (v / 1e9).toPrecision(3) + " G"
  : v >= 1e6 ? (v / 1e6).toPrecision(3) + " M"
  : v >= 1e3 ? (v / 1e3).toPrecision(3) + " K" : String(Math.round(v))
const wait = row("op") === "wait"
const block = (name, text) => {
  if (!text || !["users", "items"].includes(name)) return text ? `, block ${text}` : ""
  const [start, end] = text.split(",")
  return ` ${Number(start) + 1}–${end}`
}
switch (format) {
  case "title": return wait ? "wait: " + (reasons[row("reason")] ?? row("reason"))
    : `${row("op")} ${row("name")}` + block(row("name"), row("block"))
  case "lane":
    return `${names[row("run")] ?? row("run")}, lane ${row("lane")}, epoch ${row("epoch")}`
  case "time": return `${time(ms)}, from ${row("start_ms").toFixed(2)} ms of the run`
  case "work": return row("ratings") > 0
    ? `${Math.round(row("ratings")).toLocaleString("en")} ratings, `
      + `${many(row("ratings") / ms * 1e3)} updates/s`
    : row("bytes") > 0
    ? `${many(row("bytes"))}B, ${(row("bytes") / ms / 1e6).toPrecision(3)} GB/s` : ""
  default: return row("measured") ? `measured, ${clocks[row("run")] ?? "host clock"}` : "modelled"
}
"""


class LiveTimeline(LiveFigure):
    """Lanes of workers, streams and copy engines, live.

    The figure sets its own height, which follows the number of lanes.
    """

    plot = Timeline()
    rollover = 5000
    nominal = (880, 92)
    invitation = "Press Run: a lane for each worker appears here."

    def __init__(self, theme: str = "light", **pane: Any) -> None:
        self._window = 100.0
        self._busy: dict[str, BusyTime] = {}
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
        if not self.tracks:
            return "what every worker does, and what it waits for"
        text = f"last {self._window_text()}, each run on its own clock; ▾ end of an epoch; "
        text += "pauses and evaluation cut out"
        missing = sum(len(h.spans) for _, h in self.tracks) - len(self.source.data["run"])
        return text + (f"; {missing:,} older spans not drawn" if missing > 0 else "")

    def _window_text(self) -> str:
        wide = self._window
        return f"{number_text(wide / 1000)} s" if wide >= 2000 else f"{number_text(wide)} ms"

    # --- drawing ----------------------------------------------------------------------------

    def _build(self) -> Any:
        figure = hv.render(self.plot.element(seed(self.plot), self.theme), backend="bokeh")
        equip(figure, "stretch_width")
        self._drawn = list(figure.renderers)
        put_source(self._drawn, self.source)
        self._fill = CategoricalColorMapper(factors=list(OPS), palette=["#000000"] * len(OPS))
        self._quads: dict[str, list[Any]] = {}
        self._clock: dict[str, Any] = {}
        self._lanes: dict[str, Any] = {}
        self._tops: dict[str, Any] = {}
        self._bottoms: dict[str, Any] = {}
        for layer, renderer in enumerate(self._drawn):
            self._hatch(renderer.glyph, layer)
        self._add_words(figure)
        self._add_hover(figure)
        figure.x_range.on_change("start", self._panned)
        return figure

    def _add_run(self, letter: str) -> None:
        """Give a run its map of time, its lanes, and views of its rows of the source."""
        quads = self._drawn if letter == "A" else copies(self.figure, self._drawn)
        self._quads[letter] = quads
        clock = LinearInterpolator(x=[0.0, 1.0], y=[0.0, 1.0], clip=False)
        lanes = FactorRange(factors=[])
        top, bottom = Dodge(value=0.0, range=lanes), Dodge(value=0.0, range=lanes)
        waiting = GroupFilter(column_name="op", group="wait")
        measured = GroupFilter(column_name="measured", group=True)
        layers = ((measured, ~waiting), (measured, waiting), (~measured,))
        for renderer, chosen in zip(quads, layers, strict=True):
            renderer.view = only(letter, *chosen)
            renderer.glyph.update(
                left=transform("start_ms", clock),
                right=transform("end_ms", clock),
                top=transform("lane", top),
                bottom=transform("lane", bottom),
            )
        self._clock[letter], self._lanes[letter] = clock, lanes
        self._tops[letter], self._bottoms[letter] = top, bottom
        self._hover.renderers = [r for run in self._quads.values() for r in run]

    def _hatch(self, glyph: Any, layer: int) -> None:
        """Give work a solid fill, waits a thin hatch, what is modelled a hatch of its kind."""
        if layer == 0:
            glyph.update(fill_color=transform("op", self._fill), line_width=1, border_radius=2)
        elif layer == 1:
            glyph.update(hatch_pattern="/", hatch_weight=1, hatch_scale=8, line_color=None)
        else:
            glyph.update(
                hatch_pattern="\\", hatch_weight=3, hatch_scale=8, line_dash=[4, 3],
                hatch_color=transform("op", self._fill), line_color=transform("op", self._fill),
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
        for place, axis in (("left", figure.yaxis[0]), ("right", LinearAxis())):
            axis.update(ticker=FixedTicker(ticks=[]), axis_label=None, major_tick_out=0)
            if place == "right":
                figure.add_layout(axis, "right")
        figure.xaxis[0].update(
            ticker=BasicTicker(desired_num_ticks=6), formatter=CustomJSTickFormatter(code=AGO),
            axis_label=None,
        )  # fmt: skip

    def _add_hover(self, figure: Any) -> None:
        reasons = {reason: wait_words(reason) for reason in (*STOPS, "barrier", "no-free-block")}
        self._facts = CustomJSHover(
            args={"source": self.source, "names": {}, "clocks": {}, "reasons": reasons}, code=FACT
        )
        self._hover = HoverTool(
            renderers=[], formatters={"@run": self._facts}, limit=1,
            point_policy="follow_mouse", attachment="horizontal", show_arrow=False,
        )  # fmt: skip
        figure.add_tools(self._hover)

    def _paint(self) -> None:
        token, theme = style.TOKENS[self.theme], self.theme
        self._fill.palette = [style.OPS[theme][op] for op in OPS]
        for work, wait, modelled in self._quads.values():
            work.glyph.line_color = modelled.glyph.fill_color = token["surface"]
            wait.glyph.update(fill_color=token["hatch_bg"], hatch_color=token["hatch"])
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

    def _share(self, letter: str, history: History, room: int) -> list[tuple[Any, ...]]:
        return self.plot.rows(letter, history, (max(len(history.spans) - room, 0),))

    def _refresh(self) -> None:
        shown = [(letter, h) for letter, h in self.tracks if h.lanes]
        self._set_empty(not shown)
        self._lay_out(shown)
        self._read_clocks(shown)
        if not shown:
            for source in (self.words, self.marks):
                source.data = {name: [] for name in source.data}
            return
        self._aim("x", -self._window, 0.0)
        names = {letter: f"{letter} {h.title or h.solver}" for letter, h in shown}
        clocks = {letter: f"{h.spans[-1].clock} clock" for letter, h in shown}
        if names != self._facts.args["names"] or clocks != self._facts.args["clocks"]:
            self._facts.args = {**self._facts.args, "names": names, "clocks": clocks}
        running = any(not h.ended for _, h in shown)
        self._now.visible = running
        code = f'const word = "{"now" if running else "end"}", wide = {self._window}\n{AGO}'
        if self.figure.xaxis[0].formatter.code != code:
            self.figure.xaxis[0].formatter.code = code
        self._write_words()

    def _lay_out(self, shown: list[tuple[str, History]]) -> None:
        """Give each run its rows, and the figure its height."""
        count = sum(len(h.lanes) for _, h in shown)
        self._lane_px = max(min(LANE, MOST_PX / max(count, 1)), 4.0)
        head = HEAD / self._lane_px
        every = math.ceil(14 / self._lane_px)
        row, lanes, idle = 0.0, {}, {}
        self._rows = {}
        for letter, history in shown:
            row += head
            self._rows[letter] = row
            self._lanes[letter].factors = list(history.lanes)
            self._tops[letter].value = row - 0.46  # a factor's own place is its index + 0.5
            self._bottoms[letter].value = row + 0.46
            for at in range(0, len(history.lanes), every):
                lane = history.lanes[at]
                share = history.idle_share(lane)
                lanes[row + at + 0.5] = lane
                idle[row + at + 0.5] = f"idle {100 * share:.0f} %" if share == share else ""
            row += len(history.lanes)
        for axis, words in zip(self.figure.yaxis, (lanes, idle), strict=True):
            axis.ticker.ticks = list(words)
            axis.major_label_overrides = words
        if shown:
            self._aim("y", row + 1.0 / self._lane_px, 0.0)
            height = round(row * self._lane_px) + 1 + FOOT
            names = {
                letter: (h.title or h.solver, (self._rows[letter] + 0.5) * self._lane_px)
                for letter, h in shown
            }
            self._names.write(names, height, self.theme)
            self._set_height(height)
            place_tools(self.figure, self.theme, height - FOOT)  # clear of the lanes

    def _read_clocks(self, shown: list[tuple[str, History]]) -> None:
        """Bring the maps from recorded to busy time up to date, and choose the window."""
        data = self.source.data
        run, op = np.array(data["run"], object), np.array(data["op"], object)
        reason = np.array(data["reason"], object)
        stopped = (reason == STOPS[0]) | (reason == STOPS[1])
        found: dict[str, BusyTime] = {}
        marks: dict[str, list[float]] = {"x": [], "y": []}
        lengths = []
        for letter, _ in shown:
            mine = (run == letter) & ~stopped
            busy = busy_time(data["start_ms"][mine], data["end_ms"][mine])
            found[letter] = busy
            corners = {"x": busy.recorded.tolist(), "y": busy.busy.tolist()}
            self._clock[letter].update(**corners)
            mine &= op != "wait"
            at = busy.at(epoch_ends(data["end_ms"][mine], data["epoch"][mine]))
            marks["x"] += at[:-1].tolist() if len(at) else []
            marks["y"] += [self._rows[letter] - 0.5 * HEAD / self._lane_px] * max(len(at) - 1, 0)
            steps = np.diff(at)[-8:]
            lengths.append(float(np.median(steps)) if len(steps) else 0.0)
        self._busy = found
        self.marks.data = marks
        self._window = window_ms([-b.busy[1] for b in found.values()], lengths)

    def _panned(self, attr: str, old: float, new: float) -> None:
        if self.tracks and old != new:
            self._write_words()

    def _write_words(self) -> None:
        """Name the rectangles that are wide enough for it, in the part that is looked at."""
        width, _ = self._frame_size()
        start, end = self.figure.x_range.start, self.figure.x_range.end
        rows: list[tuple[Any, ...]] = []
        if self._lane_px >= 13 and end > start:
            for letter, history in self.tracks:
                if letter in self._rows:
                    rows += self._words_of(letter, history, start, end, width / (end - start))
        columns = zip(*rows, strict=True) if rows else [()] * 5
        self.words.data = {
            name: list(column) for name, column in zip(self.words.data, columns, strict=True)
        }

    def _words_of(
        self, letter: str, history: History, start: float, end: float, px_per_ms: float
    ) -> list[tuple[Any, ...]]:
        """Labels of one run as (x, y, text, colour, plate), newest spans first."""
        busy, row, found = self._busy[letter], self._rows[letter], []
        lanes = {lane: row + at + 0.5 for at, lane in enumerate(history.lanes)}
        spans = history.spans[-(self.rollover // len(self.tracks)) :]
        edges = busy.at([[s.start_ns / 1e6, s.end_ns / 1e6] for s in spans])
        edges = np.clip(edges, start, end)
        wide = (edges[:, 1] - edges[:, 0]) * px_per_ms
        for at in np.flatnonzero(wide > 16):
            span = spans[at]
            waits = span.op == "wait"
            block = "" if span.op == "host" else span.block
            for text in span_words(span.name, block, span.reason if waits else ""):
                if text_width(text, 11) + (14 if waits else 4) <= wide[at]:
                    ink = style.OPS_TEXT[self.theme][span.op]
                    plate = style.TOKENS[self.theme]["surface"] if waits else "rgba(0,0,0,0)"
                    found.append((float(edges[at].mean()), lanes[span.lane], text, ink, plate))
                    break
        return found

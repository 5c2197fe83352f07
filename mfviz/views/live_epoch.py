"""The figure of the Timeline tab: one epoch of each run in full height, lane by lane.

Its sources are filled anew when another epoch is shown, which is a few hundred rows at most a few
times a second. Times count from the start of each run's epoch, so that two runs are compared on
one scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
from bokeh.events import Reset, SelectionGeometry

from mfviz.plots import style
from mfviz.plots.base import Track
from mfviz.plots.epoch import EpochBoxes, duration_text
from mfviz.plots.timeline import Timeline
from mfviz.telemetry.epoch import EpochSpans, epoch_facts
from mfviz.telemetry.history import History
from mfviz.views.epoch_canvas import EpochCanvas
from mfviz.views.epoch_parts import Shown, box_columns, box_words, lane_names
from mfviz.views.live_parts import place_tools, refill
from mfviz.views.theme import sheet

__all__ = ["EpochFigure"]

BLANK = (math.nan, 0.0, "", "black", "white", "12px", "normal")  # a word that is not shown
HEAD, LANE, GAP = 0.5, 1.0, 0.1  # rows of a run's title and of a lane, and below a run
THICK, FOOT = 68.0, 30  # px of a lane at most, and of the axis below the frame


class EpochFigure:
    """Lanes of one epoch of each run, with zoom, hover and a brush.

    It is fed by a session's drawing as the live figures are.

    Parameters
    ----------
    theme : {"light", "dark"}

    Attributes
    ----------
    figure : bokeh.plotting.figure
    pane : panel object
        What a page shows.
    pointer : bokeh.models.Div
        Facts of the rectangle that was last under the pointer.
    epoch : int
        The epoch that is asked for; 0 follows the last one that is over.
    only : str
        Letter of the one run to show; "" shows all.
    brush : (float, float) or None
        Selected ms of the epoch.
    shown : list of Shown
    on_change : callable
        Called when something else is shown or selected.
    period : float
        Seconds between two updates, at least.
    """

    plot = Timeline()
    period = 0.5

    def __init__(self, theme: str = "light") -> None:
        self.theme = theme
        self.epoch, self.only = 0, ""
        self.brush: tuple[float, float] | None = None
        self.tracks: list[Track] = []
        self.shown: list[Shown] = []
        self.on_change: Callable[[], None] = lambda: None
        self._spans: dict[str, EpochSpans] = {}
        self._state: Any = None
        self._aimed: tuple[float, float] | None = None
        self._tops: dict[tuple[str, str], float] = {}
        self.drawn = EpochCanvas(theme)
        self.figure, self.pointer = self.drawn.figure, self.drawn.pointer
        self._listen()
        self._names = pn.pane.HTML(
            "", width=118, margin=0, sizing_mode="stretch_height",
            stylesheets=[sheet("html", "lanes")],
        )  # fmt: skip
        self.canvas = pn.pane.Bokeh(
            self.figure, sizing_mode="stretch_both", min_height=200, margin=0
        )
        self.pane = pn.Row(self._names, self.canvas, sizing_mode="stretch_both", margin=0)
        self._tint_titles()
        self._refresh()

    # --- what a session calls ---------------------------------------------------------------

    def show(self, tracks: Sequence[Track]) -> None:
        """Show these runs instead of those before."""
        if [h for _, h in self.tracks] != [h for _, h in tracks]:
            self._spans = {letter: EpochSpans() for letter, _ in tracks}
        self.tracks = list(tracks)
        self._refresh()

    def update(self) -> bool:
        """Show what came since; return whether that is another epoch."""
        return self._refresh()

    def settle(self) -> None:
        """Nothing moves any more; there is nothing left to do."""

    def set_theme(self, theme: str) -> None:
        """Set the colours on the existing models."""
        self.theme = theme
        self.drawn.paint(theme)
        self._tint_titles()
        self._write_names()
        self._write_words()

    def look_at(self, epoch: int) -> None:
        """Show an epoch, or follow the last one with 0."""
        self.epoch, self.brush = epoch, None
        self._refresh()

    def choose(self, letter: str) -> None:
        """Show one run, or all with ""."""
        self.only = letter
        self._refresh()

    @property
    def empty(self) -> bool:
        """Whether no epoch is over yet."""
        return not self.shown

    @property
    def summary(self) -> str:
        """One sentence that says what the figure shows."""
        parts = [
            f"{s.letter} {s.history.title or s.history.solver}, epoch {s.facts.epoch}: "
            f"{len(s.facts.lanes)} lanes, idle {100 * s.facts.idle_share:.0f} %"
            for s in self.shown
        ]
        return f"Timeline: {'; '.join(parts) or 'no epoch is over yet'}."

    # --- what is shown ----------------------------------------------------------------------

    def _refresh(self) -> bool:
        """Bring everything up to date; return whether something else is shown."""
        wanted = [
            (letter, history, at)
            for letter, history in self.tracks
            if self.only in ("", letter) and (at := _place(history, self.epoch)) > 0
        ]
        state = [(letter, h.run, at, len(h.lanes), self.epoch) for letter, h, at in wanted]
        if state == self._state:
            return False
        self._state = state
        self.shown = [self._look(*each) for each in wanted]
        self._lay_out()
        self._fill_boxes()
        self._write_words()
        self.on_change()
        return True

    def _look(self, letter: str, history: History, at: int) -> Shown:
        spans = self._spans[letter]
        spans.follow(history)
        row, before = history.epochs[at], history.epochs[at - 1]
        found = spans.of(row.epoch)
        solve_ns = round(1e9 * (row.solve_s - before.solve_s))
        facts = epoch_facts(row.epoch, history.lanes, solve_ns, found)
        return Shown(letter, history, facts, EpochBoxes(found))

    def _lay_out(self) -> None:
        """Give each lane its row, and aim the axes."""
        row, ticks = 0.0, {}
        self._tops.clear()
        for label in self.drawn.titles.values():
            label.visible = False
        for s in self.shown:
            self._title(s, row)
            row += HEAD
            for lane in s.facts.lanes:
                self._tops[s.letter, lane] = row
                share = s.facts.idle_share_of(lane)
                ticks[row + LANE / 2] = f"idle {100 * share:.0f} %" if share == share else ""
                row += LANE
            row += GAP
        self._rows = row
        self.drawn.idle.ticker.ticks = list(ticks)
        self.drawn.idle.major_label_overrides = ticks
        self._aim_y()
        length = max((s.drawn.length for s in self.shown), default=1.0)
        self._aim_x(-0.01 * length, 1.02 * length)
        empty = not self.shown
        self.drawn.invite.update(
            visible=empty, text="The lanes appear here when the first epoch is over."
        )
        for item in (self.figure.xaxis[0], *self.figure.xgrid, self.drawn.idle):
            item.visible = not empty
        self._write_names()

    def _title(self, s: Shown, row: float) -> None:
        """Write the run's letter, solver and epoch above its lanes."""
        title = s.history.title or s.history.solver
        length = duration_text(s.facts.solve_ns / 1e6)
        words = f"{s.letter}  {title}, epoch {s.facts.epoch}: {length}"
        unseen = s.facts.solve_ns / 1e6 - s.drawn.length
        if unseen > 0.05 * s.facts.solve_ns / 1e6:
            words += f", {duration_text(unseen)} of it without a span and cut out"
        if s.drawn.merged:
            words += f" ({s.drawn.merged:,} short spans are drawn joined)"
        self.drawn.titles[s.letter].update(
            text=words, y=row + 0.55 * HEAD, visible=True,
        )  # fmt: skip

    def _aim_y(self) -> None:
        """Lanes fill the frame, up to a thickness."""
        high = self.drawn.frame_size()[1]
        end = max(getattr(self, "_rows", 1.0), high / THICK)
        if (self.figure.y_range.start, self.figure.y_range.end) != (end, 0.0):
            self.figure.y_range.update(start=end, end=0.0)

    def _aim_x(self, start: float, end: float) -> None:
        """Show the whole epoch, unless the reader has zoomed into the one before."""
        axis = self.figure.x_range
        followed = self._aimed is None or all(
            abs(now - aimed) <= 1e-6 * abs(end - start)
            for now, aimed in zip((axis.start, axis.end), self._aimed, strict=True)
        )
        self._aimed = (start, end)
        axis.update(reset_start=start, reset_end=end)
        if followed:
            axis.update(start=start, end=end)

    def _fill_boxes(self) -> None:
        length = max((s.drawn.length for s in self.shown), default=0.0)
        thin = 4.0 * length / self.drawn.frame_size()[0]  # 4 pixels
        columns = box_columns(self.shown, self._tops, thin)
        for layer, renderer in self.drawn.layers.items():
            renderer.data_source.data = columns[layer]

    def _write_names(self) -> None:
        """Name the lanes beside the frame, at the heights of their rows."""
        rows = self.figure.y_range.start or 1.0
        self._names.object = lane_names(
            self.shown, self._tops, rows, self.drawn.frame_size()[1] / rows, FOOT
        )

    def _write_words(self) -> None:
        """Name the rectangles that are wide enough for it, in the part that is looked at."""
        start, end = self.figure.x_range.start, self.figure.x_range.end
        wide, high = self.drawn.frame_size()
        lane_px = high / (self.figure.y_range.start or 1.0)
        rows: list[tuple[Any, ...]] = []
        if lane_px >= 14 and end > start:
            for s in self.shown:
                for box in s.drawn.boxes:
                    left, right = max(box.left, start), min(box.right, end)
                    room = (right - left) * wide / (end - start)
                    if room > 14:
                        y = self._tops[s.letter, box.span.lane] + LANE / 2
                        rows += box_words(box, (left + right) / 2, y, room, lane_px, self.theme)
        refill(self.drawn.words, rows, BLANK)

    def _tint_titles(self) -> None:
        for letter, label in self.drawn.titles.items():
            label.text_color = style.run_colour(letter, self.theme)

    # --- what the browser tells -------------------------------------------------------------

    def _listen(self) -> None:
        self.figure.on_event(SelectionGeometry, self._brushed)
        self.figure.on_event(Reset, lambda event: self._brush(None))
        self.figure.x_range.on_change("start", self._panned)
        for name in ("inner_width", "inner_height"):
            self.figure.on_change(name, self._resized)

    def _brushed(self, event: Any) -> None:
        if event.final and event.geometry.get("type") == "rect":
            self._brush(sorted((event.geometry["x0"], event.geometry["x1"])))

    def _brush(self, edges: Sequence[float] | None) -> None:
        self.brush = (float(edges[0]), float(edges[1])) if edges else None
        self.on_change()

    def _panned(self, attr: str, old: float, new: float) -> None:
        if self.shown and old != new:
            self._write_words()

    def _resized(self, attr: str, old: int, new: int) -> None:
        if old != new and self.shown:
            self._aim_y()
            self._write_names()
            self._write_words()
            place_tools(self.figure, self.theme)


def _place(history: History, epoch: int) -> int:
    """Place of an epoch in the table of a run; its last one where it has fewer, or for 0."""
    last = len(history.epochs) - 1
    return last if epoch == 0 else min(epoch, last)

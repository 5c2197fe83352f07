"""What stands at the ends of curves: marks, direct labels, dotted extensions, notes.

There is no legend: each curve carries its name and its value. The labels are placed in pixels, so
they are placed anew when the browser tells the size of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, Label, Scatter, Segment, Span, Text

from mfviz.plots import style
from mfviz.plots.base import Track
from mfviz.plots.labels import Box, Item, place, text_width
from mfviz.plots.rmse import WIDTHS, End, View, start_note
from mfviz.views.live_parts import refill

__all__ = ["LineEnds", "Sheet"]

COLUMNS = ("x", "y", "x1", "color", "size", "marker", "text", "dx", "dy", "align", "weight")
BLANK = (math.nan, 0.0, 0.0, "black", 0, "circle", "", 0, 0, "left", "normal")
LINE = 18  # px of a line of notes
STEP = 6.0  # px between points along a curve


@dataclass(frozen=True, slots=True)
class Sheet:
    """The frame of a figure: what its axes span, and its size in pixels."""

    view: View
    width: float
    height: float
    log_x: bool = False
    log_y: bool = False

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies, in pixels from the upper left corner."""
        right = _share(x, self.view.x0, self.view.x1, self.log_x)
        up = _share(y, self.view.y0, self.view.y1, self.log_y)
        return self.width * right, self.height * (1.0 - up)

    def points(self, tracks: Sequence[Track], x_axis: str) -> npt.NDArray[np.float64]:
        """Return (k, 2) points along all curves, in pixels: what labels had better not cover."""
        found = [np.empty((0, 2))]
        for _, history in tracks:
            rows = history.evaluated[:: max(len(history.evaluated) // 80, 1)]
            for column in WIDTHS:
                xy = [(getattr(row, x_axis), getattr(row, column)) for row in rows]
                corners = np.array([self.pixels(x, y) for x, y in xy if math.isfinite(y)])
                if len(corners) > 1:  # a fall from far above the frame is finely divided, too
                    steps = np.hypot(*np.diff(corners.T)).clip(max=1000.0)
                    at = np.concatenate(([0.0], np.cumsum(steps)))
                    fine = np.arange(0.0, at[-1] + STEP, STEP)
                    found.append(np.column_stack([np.interp(fine, at, c) for c in corners.T]))
        return np.concatenate(found)


class LineEnds:
    """Marks, labels and notes of a figure of curves.

    Parameters
    ----------
    figure : bokeh.plotting.figure

    Attributes
    ----------
    source : ColumnDataSource
        A row an end; named "rmse-ends".
    """

    def __init__(self, figure: Any) -> None:
        self.source = ColumnDataSource({name: [] for name in COLUMNS}, name="rmse-ends")
        extension = Segment(
            x0="x", y0="y", x1="x1", y1="y", line_color="color", line_width=2, line_dash=[2, 3]
        )
        figure.add_glyph(self.source, extension)
        marks = Scatter(
            x="x", y="y", marker="marker", size="size", fill_color="color", line_color=None
        )
        self._marks = figure.add_glyph(self.source, marks)
        words = Text(
            x="x", y="y", text="text", x_offset="dx", y_offset="dy", text_align="align",
            text_baseline="middle", text_color="color", text_font=value(style.FONT),
            text_font_size=style.SIZES["label"], text_font_style="weight",
        )  # fmt: skip
        figure.add_glyph(self.source, words)
        font = {"text_font": style.FONT, "text_font_size": style.SIZES["tick"], "y": 0,
                "y_units": "screen", "text_baseline": "top"}  # fmt: skip
        self._start = Label(x=12, x_units="screen", **font)
        self._now = Span(dimension="height", line_dash=[2, 3], line_width=1.25, visible=False)
        self._now_text = Label(x=0, **font)
        for item in (self._now, self._start, self._now_text):
            figure.add_layout(item)

    def paint(self, theme: str) -> None:
        """Set the colours of the theme; those of the runs come with :meth:`write`."""
        token = style.TOKENS[theme]
        self._marks.glyph.line_color = token["surface"]
        self._start.text_color = token["ink3"]
        self._now.line_color = self._now_text.text_color = token["accent"]

    def clear(self) -> None:
        """Show nothing."""
        refill(self.source, [], BLANK)
        self._start.text = self._now_text.text = ""
        self._now.visible = False

    def write(
        self, tracks: Sequence[Track], found: Sequence[End], sheet: Sheet, x_axis: str, theme: str
    ) -> None:
        """Bring everything up to date.

        Parameters
        ----------
        tracks : sequence of (str, History)
        found : sequence of End
            The most important first.
        sheet : Sheet
        x_axis : str
            Column of the x axis.
        theme : str
        """
        curves = sheet.points(tracks, x_axis)
        taken = self._write_now(tracks, found, sheet, x_axis)
        taken += self._write_start(tracks, sheet, curves, taken)
        view = sheet.view
        # what is off the frame is marked at its edge
        inset = (view.y1 - view.y0) * 8 / sheet.height
        shown = [(end, min(max(end.y, view.y0), view.y1 - inset)) for end in found]
        points, items = [curves], []
        if self._now.visible:
            down = np.arange(0.0, sheet.height, 16.0)  # sparse: to be crossed if need be
            left = sheet.pixels(self._now.location, view.y1)[0]
            points.append(np.column_stack([np.full(len(down), left), down]))
        for end, y in shown:
            px, py = sheet.pixels(end.x, y)
            extended = end.final and end.part == "test" and sheet.width - px > 24
            if extended:
                along = np.arange(px, sheet.width, 6.0)
                points.append(np.column_stack([along, np.full(len(along), py)]))
            size = text_width(end.text, 13, bold=end.part == "test")
            items.append(Item(px, py, size, extended=extended))
        boxes = place(items, sheet.width, sheet.height, np.concatenate(points), taken)
        rows = [
            _row(end, y, item, box, view.x1, theme)
            for (end, y), item, box in zip(shown, items, boxes, strict=True)
        ]
        refill(self.source, rows, BLANK)

    def _write_now(
        self, tracks: Sequence[Track], found: Sequence[End], sheet: Sheet, x_axis: str
    ) -> list[Box]:
        """Draw the line of now, if a run goes on; return the room that its word takes."""
        active = {letter for letter, history in tracks if not history.ended}
        now = max((end.x for end in found if end.letter in active), default=None)
        self._now.visible = now is not None
        self._now_text.text = ""
        if now is None:
            return []
        text = f"now: epoch {now:.0f}" if x_axis == "epoch" else "now"
        left, size = sheet.pixels(now, sheet.view.y1)[0], text_width(text, 12)
        flip = left + size + 8 > sheet.width
        self._now.location = now
        self._now_text.update(
            text=text, x=now, y=sheet.height - 2, x_offset=-6 if flip else 6,
            text_align="right" if flip else "left",
        )  # fmt: skip
        start = left - size - 8 if flip else left
        return [Box(start, 0, start + size + 8, LINE)]

    def _write_start(
        self,
        tracks: Sequence[Track],
        sheet: Sheet,
        curves: npt.NDArray[np.float64],
        taken: Sequence[Box],
    ) -> list[Box]:
        """Say where the runs start, at the top, where no curve and no other note is."""
        text = start_note(tracks, sheet.view.y1)
        size = text_width(text, 12)
        high = curves[(curves[:, 1] > -30) & (curves[:, 1] < 26)][:, 0]
        for left in np.arange(12.0, sheet.width - size - 8, 8.0) if text else ():
            clear = not ((high > left - 8) & (high < left + size + 8)).any()
            if clear and all(left > b.x1 + 4 or left + size < b.x0 - 4 for b in taken):
                self._start.update(text=text, x=float(left), y=sheet.height - 2)
                return [Box(left, 0, left + size, LINE)]
        self._start.text = ""
        return []


def _row(end: End, y: float, item: Item, box: Box, edge: float, theme: str) -> tuple[Any, ...]:
    """One row of the source, in the order of its columns."""
    from_right = box.x1 < item.x or item.extended
    dx = (box.x1 if from_right else box.x0) - item.x
    test = end.part == "test"
    colour = style.TOKENS[theme]["bad"] if end.diverged else style.run_colour(end.letter, theme)
    return (
        end.x, y, edge if item.extended else end.x, colour,
        (13 if end.diverged else 10) if test else 6,
        "triangle" if end.diverged else style.MARKERS.get(end.letter, "circle"),
        end.text, dx, (box.y0 + box.y1) / 2 - item.y,
        "right" if from_right else "left", "bold" if test else "normal",
    )  # fmt: skip


def _share(value: float, start: float, end: float, log: bool) -> float:
    """Place of a value on an axis, 0 at its start and 1 at its end."""
    if log:
        value = max(value, start * 1e-3)
        return math.log(value / start) / math.log(end / start)
    return (value - start) / (end - start)

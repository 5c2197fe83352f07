"""Parts that the live figures share: looks, tools, filters, tool tips, the names of runs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CustomJS,
    InlineStyleSheet,
    Legend,
    PanTool,
    Range1d,
    ResetTool,
    SaveTool,
    WheelZoomTool,
)

from mfviz.plots import style
from mfviz.plots.base import Columns, Plot
from mfviz.views.live_scripts import CLEAN_EDGE

__all__ = [
    "RunNames",
    "brief",
    "dress",
    "equip",
    "copies",
    "frame_size",
    "place_tools",
    "put_source",
    "refill",
    "refuse_echoes",
    "seed",
    "tip",
]
FEW = 64  # rows
# Small, at the right, and on a ground of its own: by default it dims the whole width of the frame.
TOOLBAR = """
:host(.bk-inner) {
  width: 206px !important; margin-left: auto; position: relative; top: %dpx; height: 26px;
  background: %s; border: 1px solid %s; border-radius: 6px; opacity: 1;
}
"""


def place_tools(figure: Any, theme: str, top: int = 0) -> None:
    """Put the toolbar (seen while the pointer is in the figure) ``top`` px into the frame."""
    token = style.TOKENS[theme]
    css = TOOLBAR % (top, token["surface"], token["border"])
    figure.toolbar.stylesheets[0].css = css


def dress(figure: Any, theme: str) -> None:
    """Set what all figures share: fonts, axes, grid, background."""
    token = style.TOKENS[theme]
    figure.update(
        background_fill_color=token["surface"],
        border_fill_color=token["surface"],
        outline_line_color=None,
    )  # fmt: skip
    for axis in figure.axis:
        axis.update(
            axis_line_color=token["axis"], major_tick_line_color=token["axis"],
            minor_tick_line_color=None, major_label_text_color=token["ink3"],
            major_label_text_font=style.FONT, major_label_text_font_size=style.SIZES["tick"],
            axis_label_text_color=token["ink2"], axis_label_text_font=style.FONT,
            axis_label_text_font_size=style.SIZES["tick"], axis_label_text_font_style="normal",
            axis_label_standoff=4, major_tick_in=0, major_tick_out=4,
        )  # fmt: skip
    for axis in figure.yaxis:
        axis.update(axis_line_color=None, major_tick_line_color=None)
    for grid in figure.ygrid:
        grid.update(grid_line_color=token["grid"], minor_grid_line_color=None)
    for grid in figure.xgrid:
        grid.update(grid_line_color=None, minor_grid_line_color=None)
    if figure.toolbar_location is not None:
        place_tools(figure, theme)


def equip(figure: Any, sizing: str) -> None:
    """Give a figure its tools; the wheel zooms only with Ctrl, so that a page still scrolls."""
    zoom = WheelZoomTool(dimensions="width", modifiers="ctrl")
    tools = [PanTool(dimensions="width"), zoom, BoxZoomTool(), ResetTool(), SaveTool()]
    # Material dresses toolbars and legends in the browser. Told of the former, the server would
    # walk all of the page's models; the latter, which HoloViews leaves here empty, cost a layout.
    figure.toolbar.update(
        tools=tools, autohide=True, logo=None, active_scroll=zoom, syncable=False,
        stylesheets=[InlineStyleSheet(css="")],
    )  # fmt: skip
    figure.center = [item for item in figure.center if not isinstance(item, Legend)]
    figure.update(
        toolbar_location="above", toolbar_inner=True, min_border=0, min_border_left=0,
        min_border_right=0, min_border_top=0, min_border_bottom=0, sizing_mode=sizing, title=None,
        min_width=None, min_height=None, output_backend="canvas",
    )  # fmt: skip
    figure.js_on_change("border_fill_color", CustomJS(code=CLEAN_EDGE))
    figure.x_range = Range1d(0.0, 1.0)
    figure.y_range = Range1d(0.0, 1.0)


def seed(plot: Plot) -> dict[str, Any]:
    """One row of nothing, of run A: HoloViews needs a row to choose its mappers."""
    blank = {"float64": np.nan, "object": ""}
    row = tuple("A" if name == "run" else blank[dtype] for name, dtype in plot.columns.items())
    return plot.as_columns([row])


def refuse_echoes(source: ColumnDataSource) -> None:
    """Take streamed rows from this process only.

    In a notebook the browser reports every row that it was sent as if it were news. Applied, such
    an echo would double the rows here and be sent once more.
    """
    stream = source._stream

    def from_here(rows: Any, rollover: int | None = None, setter: Any = None) -> None:
        if setter is None:
            stream(rows, rollover)

    source._stream = from_here


def brief(columns: Columns) -> Columns:
    """Turn columns of few rows into lists, which travel inside the message.

    Bokeh sends each array behind it, as two messages more; a dozen of them take the browser longer
    to receive than the numbers of a few rows take to be read from text.

    Parameters
    ----------
    columns : dict
        Arrays or lists of one length.
    """
    if len(next(iter(columns.values()))) > FEW:
        return columns
    return {n: c.tolist() if isinstance(c, np.ndarray) else c for n, c in columns.items()}


def refill(
    source: ColumnDataSource, rows: Sequence[tuple[Any, ...]], blank: tuple[Any, ...]
) -> None:
    """Replace the rows of a source of words, never by fewer.

    BokehJS gives the words their new colours before it counts them anew; with fewer colours than
    words it fails. So what is too many becomes blank.

    Parameters
    ----------
    source : ColumnDataSource
    rows : sequence of tuple
        In the order of the columns.
    blank : tuple
        A row that shows nothing: its place is not a number.
    """
    spare = len(next(iter(source.data.values()))) - len(rows)
    columns = list(zip(*rows, *[blank] * spare, strict=True)) or [()] * len(blank)
    fresh = {name: list(column) for name, column in zip(source.data, columns, strict=True)}
    if fresh != dict(source.data):
        source.data = fresh


def put_source(renderers: Sequence[Any], source: ColumnDataSource) -> None:
    """Put a source under what HoloViews drew."""
    for renderer in renderers:
        renderer.update(
            data_source=source, selection_glyph="auto", nonselection_glyph="auto",
            muted_glyph="auto", hover_glyph=None,
        )  # fmt: skip


def copies(figure: Any, drawn: Sequence[Any]) -> list[Any]:
    """Add the same renderers once more, below everything else but those drawn before.

    Drawing every run through HoloViews would cost a tenth of a second each.

    Parameters
    ----------
    figure : bokeh.plotting.figure
    drawn : sequence of GlyphRenderer
        What HoloViews drew for run A.
    """
    before = list(figure.renderers)
    found = [figure.add_glyph(r.data_source, r.glyph.clone()) for r in drawn]
    last = max(before.index(renderer) for renderer in drawn)
    figure.renderers = [*before[: last + 1], *found, *before[last + 1 :]]
    return found


def tip(lines: str, theme: str) -> str:
    """HTML of a tool tip in the colours of the theme."""
    token = style.TOKENS[theme]
    font = style.FONT.replace('"', "'")
    return (
        f'<div style="font:12px/17px {font};white-space:pre;padding:2px 4px;color:{token["ink"]};'
        f'font-variant-numeric:tabular-nums"><style>:host{{--tooltip-color:{token["surface"]};'
        f"--tooltip-border:{token['axis']};border-radius:6px;opacity:1}}</style>{lines}</div>"
    )


class RunNames:
    """The letter of each run in its colour and the name of its solver, left of a figure.

    A figure clips what is drawn outside its frame, so the names stand in a pane of their own.

    Parameters
    ----------
    width : int
        Pixels.
    """

    def __init__(self, width: int) -> None:
        self.pane = pn.pane.HTML("", width=width, margin=0)  # as high as its text: no layout anew

    def write(self, rows: dict[str, tuple[str, float]], height: int, theme: str) -> None:
        """Show these runs: letter -> (title, pixels from the top to the middle of the line)."""
        ink, font = style.TOKENS[theme]["ink"], style.FONT.replace('"', "'")
        parts = []
        for letter, (title, y) in rows.items():
            colour = style.run_colour(letter, theme)
            parts.append(
                f'<div style="position:absolute;top:{y - 9:.0f}px;left:0;right:0;height:18px;'
                f'white-space:nowrap;overflow:hidden;text-overflow:ellipsis">'
                f'<span style="display:inline-block;width:18px;height:18px;margin-right:8px;'
                f"border-radius:4px;text-align:center;font-size:11px;background:{colour};"
                f'color:{style.readable(colour)}">{letter}</span>{escape(title)}</div>'
            )
        text = "".join(parts)
        self.pane.object = (
            f'<div style="position:relative;height:{height}px;'
            f'font:600 12px/18px {font};color:{ink}">{text}</div>'
        )


def frame_size(figure: Any, nominal: tuple[float, float]) -> tuple[float, float]:
    """Width and height of a figure's frame in pixels; ``nominal`` until the browser tells them."""
    size = []
    for name, otherwise in zip(("inner_width", "inner_height"), nominal, strict=True):
        try:
            told = getattr(figure, name)
        except Exception:  # bokeh raises UnsetValueError until the browser has drawn
            told = 0
        size.append(float(told or otherwise))
    return size[0], size[1]

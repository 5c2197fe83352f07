"""The models of the Timeline tab's figure: rectangles, words, axes and tools, drawn once.

HoloViews draws the rectangles with the element of the live timeline; sources of their own are put
under them, and everything that changes later is set on these models.
"""

from __future__ import annotations

from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
from bokeh.core.properties import value
from bokeh.models import (
    BasicTicker,
    BoxSelectTool,
    CategoricalColorMapper,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    Div,
    FixedTicker,
    HoverTool,
    Label,
    LinearAxis,
    Text,
)
from bokeh.transform import transform

from mfviz.plots import style
from mfviz.plots.epoch import LAYERS
from mfviz.plots.timeline import Timeline
from mfviz.telemetry.events import OPS
from mfviz.views.epoch_parts import COLUMNS, KEEP, SINCE
from mfviz.views.live_parts import dress, equip, frame_size, put_source, seed, tip
from mfviz.views.theme import sheet

__all__ = ["EpochCanvas"]

NOMINAL = (900.0, 330.0)  # frame in pixels until the browser tells it


class EpochCanvas:
    """What the figure is made of.

    Parameters
    ----------
    theme : {"light", "dark"}

    Attributes
    ----------
    figure : bokeh.plotting.figure
    layers : dict of str to GlyphRenderer
        Rectangles by layer, each with a source of its own, named ``epoch-<layer>``.
    words : ColumnDataSource
        Text in the rectangles.
    titles : dict of str to Label
        The line above the lanes of each run.
    idle : LinearAxis
        At the right, for the idle share of each lane.
    invite : Label
        Shown where there is nothing else.
    pointer : Div
        Facts of the rectangle that was last under the pointer.
    """

    def __init__(self, theme: str) -> None:
        self.pointer = Div(text="", stylesheets=[sheet("html", "facts")], sizing_mode="fixed")
        self.figure = self._build(theme)
        self._add_tools(self.figure)
        self.paint(theme)

    def _build(self, theme: str) -> Any:
        figure = hv.render(Timeline().element(seed(Timeline()), theme), backend="bokeh")
        equip(figure, "stretch_both")
        self.layers = dict(zip(LAYERS, figure.renderers, strict=True))
        self._fill = CategoricalColorMapper(factors=list(OPS), palette=["#000000"] * len(OPS))
        kind = transform("op", self._fill)
        for name, renderer in self.layers.items():
            source = ColumnDataSource({c: [] for c in COLUMNS}, name=f"epoch-{name}")
            put_source([renderer], source)
            renderer.update(selection_glyph=None, nonselection_glyph=None)
            renderer.glyph.update(left="left", right="right", top="top", bottom="bottom")
        work, wait, modelled = (self.layers[name].glyph for name in LAYERS)
        work.update(fill_color=kind, line_width=1, line_alpha="edge", border_radius=2)
        wait.update(hatch_pattern="/", hatch_weight=1, hatch_scale=8, line_color=None)
        modelled.update(
            hatch_pattern="\\", hatch_weight=3, hatch_scale=8, line_dash=[4, 3], fill_color=kind,
            line_color=kind,
        )  # fmt: skip
        self._add_words(figure)
        return figure

    def _add_words(self, figure: Any) -> None:
        self.words = ColumnDataSource(
            {n: [] for n in ("x", "y", "text", "color", "plate", "size", "weight")},
            name="epoch-words",
        )
        text = Text(
            x="x", y="y", text="text", text_color="color", text_align="center",
            text_baseline="middle", text_font=value(style.FONT), text_font_size="size",
            text_font_style="weight", background_fill_color="plate", padding=(3, 1),
        )  # fmt: skip
        figure.add_glyph(self.words, text)
        figure.yaxis[0].update(ticker=FixedTicker(ticks=[]), axis_label=None, visible=False)
        self.idle = LinearAxis(ticker=FixedTicker(ticks=[]), major_tick_out=0)
        figure.add_layout(self.idle, "right")
        figure.xaxis[0].update(
            ticker=BasicTicker(desired_num_ticks=8), axis_label=None,
            formatter=CustomJSTickFormatter(code=SINCE),
        )  # fmt: skip
        self.invite = Label(
            x=0.5, y=0.5, text="", text_font=style.FONT, text_align="center",
            text_font_size=style.SIZES["label"],
        )  # fmt: skip
        figure.add_layout(self.invite)
        # A layout that is added later has no view for a moment, in which the browser asks for it.
        self.titles = {letter: Label(
            x=4, y=0, x_units="screen", text="", text_font=style.FONT, text_font_size="13px",
            text_font_style="bold", text_baseline="middle", visible=False,
        ) for letter in style.LETTERS}  # fmt: skip
        for label in self.titles.values():
            figure.add_layout(label)

    def _add_tools(self, figure: Any) -> None:
        self._hover = HoverTool(
            renderers=list(self.layers.values()), point_policy="follow_mouse", limit=1,
            attachment="horizontal", show_arrow=False,
            callback=CustomJS(args={"div": self.pointer}, code=KEEP),
        )  # fmt: skip
        brush = BoxSelectTool(
            dimensions="width", persistent=True, description="Add up what lies in a selection",
            renderers=[self.layers["work"]],
        )  # fmt: skip
        figure.add_tools(brush, self._hover)
        self._overlay = brush.overlay

    def paint(self, theme: str) -> None:
        """Set the colours of a theme on the existing models."""
        dress(self.figure, theme)
        token = style.TOKENS[theme]
        self._fill.palette = [style.OPS[theme][op] for op in OPS]
        work, wait, modelled = (self.layers[name].glyph for name in LAYERS)
        work.line_color = modelled.hatch_color = token["surface"]
        wait.update(fill_color=token["hatch_bg"], hatch_color=token["hatch"])
        self._overlay.update(
            fill_color=token["accent"], fill_alpha=0.12, line_color=token["accent"],
            line_alpha=1.0, line_dash="solid", line_width=1,
        )  # fmt: skip
        self.invite.text_color = token["ink3"]
        self.figure.ygrid.grid_line_color = None
        self.figure.xgrid.grid_line_color = token["grid"]
        self.idle.update(axis_line_color=None, major_tick_line_color=None)
        lines = "".join(
            f'<div style="color:{token[ink]}">@{column}</div>'
            for column, ink in (
                ("title", "ink"), ("where", "ink2"), ("time", "ink2"), ("work", "ink2"),
                ("clock", "ink3"),
            )
        )  # fmt: skip
        self._hover.tooltips = tip(lines, theme)

    def frame_size(self) -> tuple[float, float]:
        """Width and height of the frame in pixels, as far as the browser has told them."""
        return frame_size(self.figure, NOMINAL)

"""Building blocks of the page: HTML panes, cards and layouts with their part of the style."""

from __future__ import annotations

from typing import Any

import panel as pn

from mfviz.views.theme import sheet

__all__ = ["Html", "box", "card", "heading", "html"]


class Html:
    """A pane of HTML that is sent to the browser only when its text differs."""

    def __init__(self, text: str = "", *parts: str, **settings: Any) -> None:
        self.pane = html(text, *parts, **settings)

    def set(self, text: str) -> None:
        """Show another text."""
        if self.pane.object != text:
            self.pane.object = text


def html(text: str, *parts: str, **settings: Any) -> Any:
    """Return a pane of HTML with the named parts of the style sheet."""
    settings = {"margin": 0, "sizing_mode": "stretch_width"} | settings
    return pn.pane.HTML(text, stylesheets=[sheet("html", *parts)], sanitize_html=False, **settings)


def box(layout: Any, *children: Any, parts: tuple[str, ...] = (), **settings: Any) -> Any:
    """Return a layout without margins, with the named parts of the style sheet."""
    settings = {"margin": 0, "sizing_mode": "stretch_width"} | settings
    return layout(*children, stylesheets=[sheet(*parts)] if parts else [], **settings)


def heading(title: str, caption: str = "") -> str:
    """Return the header of a card as HTML."""
    words = f'<span class="caption">{caption}</span>' if caption else ""
    return f'<div class="head"><h2>{title}</h2>{words}</div>'


def card(kind: str, *children: Any, **settings: Any) -> Any:
    """Return a card: surface, edge and padding around a column; ``kind`` names its style."""
    return box(pn.Column, *children, parts=("card", kind), css_classes=["card", kind], **settings)

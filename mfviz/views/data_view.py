"""The Data tab: what the chosen ratings are, who rates how much, and what is held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import panel as pn
from bokeh.core.properties import value
from bokeh.models import Text

from mfviz.data import catalog
from mfviz.data.portrait import Portrait
from mfviz.data.problem import Problem
from mfviz.plots.portrait import DRAWINGS
from mfviz.plots.style import FONT
from mfviz.views.downloads import Downloads
from mfviz.views.live_parts import dress
from mfviz.views.parts import Html, box, card, heading
from mfviz.views.session import Session
from mfviz.views.split_choice import SplitChoice
from mfviz.views.upload import Upload

__all__ = ["DataView"]

# Drawing -> title of its card, and how to read it.
CARDS = {
    "popularity": ("Popularity", "a few rate, and are rated, far more than the rest"),
    "values": ("Values", "how often each rating is given"),
    "cells": ("Sparsity", "the stronger the colour, the more of these cells are rated"),
}


class DataView:
    """The page of the Data tab.

    Parameters
    ----------
    session : Session
    theme : str
        "light" or "dark".

    query : mapping
        Settings of the address, of which none concerns this page.

    Attributes
    ----------
    view : Panel object
    figures : tuple
        What a session draws while the tab is shown: nothing that changes with a run.
    changed : callable
        Never called.
    """

    def __init__(self, session: Session, theme: str, query: Mapping[str, str]) -> None:
        self.session, self.theme = session, theme
        self.figures = ()
        self.changed: Callable[[], None] = lambda: None
        self._asked: Problem | None = None
        self._portrait: Portrait | None = None
        self.title, self.facts, self.terms = Html("", "cardhead"), Html("", "versus"), Html("")
        self.canvas = {
            name: pn.pane.Bokeh(None, sizing_mode="stretch_both", min_height=180, margin=0)
            for name in DRAWINGS
        }
        self.upload, self.downloads = Upload(session), Downloads(session)
        self.split = SplitChoice(session)
        self.view = self._layout()
        session.watch(self.refresh, 0.5)
        self.refresh()

    def refresh(self) -> None:
        """Look at the ratings of the desk, if they are others than before."""
        desk = self.session.desk
        problem = desk.problem
        if problem is None:
            self._asked = None
            self._describe(desk.about_data())
        elif problem is not self._asked:
            self._asked = problem
            self._describe(*problem.notices)
            desk.loaded.look(lambda found: self.session.host.later(lambda: self._show(found)))

    def query(self) -> dict[str, str]:
        """Nothing is chosen here that is not on the desk."""
        return {}

    def set_theme(self, theme: str) -> None:
        """Draw everything in the colours of the other theme."""
        self.theme = theme
        self._draw()

    def _describe(self, *sentences: str) -> None:
        """Title and description of the ratings (of a file, its path); then what else to know."""
        data = self.session.desk.data
        entry = next((found for found in catalog.entries() if found.name == data), None)
        title = entry.title if entry else data.rsplit("/", 1)[-1]
        self.title.set(heading(escape(title)) + _small(entry.description if entry else data))
        self.terms.set(_small(*sentences, entry.licence if entry else ""))

    def _show(self, portrait: Portrait) -> None:
        problem = self.session.desk.problem
        if problem is not None:  # others may have been chosen meanwhile
            self._portrait = portrait
            self.facts.set(_facts(portrait, problem))
            self._draw()

    def _draw(self) -> None:
        from holoviews import render

        if self._portrait is None:
            return
        with self.session.host.hold():
            for name, draw in DRAWINGS.items():
                figure = render(draw(self._portrait, self.theme), backend="bokeh")
                figure.output_backend = "canvas"  # of WebGL a browser has only a few
                for words in figure.select({"type": Text}):
                    words.text_font = value(FONT)
                dress(figure, self.theme)
                self.canvas[name].object = figure

    def _layout(self) -> Any:
        cards = {
            name: card(
                "chart", Html(heading(*words), "cardhead").pane, self.canvas[name],
                sizing_mode="stretch_both",
            )
            for name, words in CARDS.items()
        }  # fmt: skip
        about = card("chart", self.title.pane, self.facts.pane, self.terms.pane)
        rows = [
            box(pn.Row, *pair, parts=("pairs",), sizing_mode="stretch_both")
            for pair in ((cards["popularity"], about), (cards["cells"], cards["values"]))
        ]
        choices = (self.upload.view, self.downloads.view, self.split.view)
        top = box(pn.Row, *choices, parts=("choices",))
        return box(
            pn.Column, top, self.upload.page, *rows, parts=("scroll",), sizing_mode="stretch_both"
        )


def _small(*lines: str) -> str:
    return "".join(f'<div class="help">{escape(line)}</div>' for line in lines if line)


def _facts(portrait: Portrait, problem: Problem) -> str:
    """Numbers of the ratings as a table."""
    rows = {
        "users": f"{portrait.users:,}",
        "items": f"{portrait.items:,}",
        "ratings": f"{portrait.ratings + problem.set_aside:,}",
        "cells that are rated": f"{100 * portrait.density:.3g} %",
        "mean, from, to": f"{portrait.mean:.3f}, {portrait.low:g}, {portrait.high:g}",
        "share of the hottest item": f"{100 * portrait.hottest:.2g} %",
        "held out as a test": f"{portrait.test:,}",
        "fingerprint": problem.fingerprint,
    }
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f"<table><tbody>{body}</tbody></table>"

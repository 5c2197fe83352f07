"""The pages behind the tabs: each is made when it is first looked at, and drawn while it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import panel as pn

from mfviz.views.board import Board
from mfviz.views.parts import box
from mfviz.views.session import Session
from mfviz.views.tabs import SETTINGS, TABS

__all__ = ["PAGE_SETTINGS", "Pages"]

PAGE_SETTINGS = tuple(name for names in SETTINGS.values() for name in names)


class Pages:
    """What stands between status line and transport, one page at a time.

    Figures of a page that is hidden are not drawn, apart from the curves: they are cheap, and the
    answers of the browser travel with them.

    Parameters
    ----------
    session : Session
    board : Board
        The page of the Train tab, which is there from the beginning.
    theme : str
        "light" or "dark".
    query : mapping
        Settings of the address.

    Attributes
    ----------
    view : Panel object
        All pages but that of the Train tab. It is there from the beginning: a page that joined the
        main column would have its neighbours set up anew.
    tab : str
        Key of the tab that is shown.
    made : dict
        The other pages that have been looked at, by key.
    changed : callable
        Called when something in a page was chosen that belongs in the address.
    """

    def __init__(
        self, session: Session, board: Board, theme: str, query: Mapping[str, str]
    ) -> None:
        self.session, self.board, self.theme = session, board, theme
        self.view = box(pn.Column, visible=False, sizing_mode="stretch_both")
        self._given = {name: query[name] for name in PAGE_SETTINGS if name in query}
        self.tab = "train"
        self.made: dict[str, Any] = {}
        self.changed: Callable[[], None] = lambda: None

    def show(self, tab: str) -> bool:
        """Show another page; False where it is there already, or there is no such page."""
        if tab == self.tab or tab not in TABS:
            return False
        self.tab = tab
        with self.session.host.hold():
            if tab != "train" and tab not in self.made:
                self.made[tab] = self._make(tab)
                self.view.append(self.made[tab].view)
            self.board.view.visible = tab == "train"
            self.view.visible = tab != "train"
            for key, page in self.made.items():
                page.view.visible = key == tab
            figures = self.made[tab].figures if tab in self.made else ()
            drawing = self.session.drawing
            drawing.figures = list(
                self.board.figures if tab == "train" else (self.board.rmse, *figures)
            )
            drawing.anew()
            self.session.poke()
        return True

    def set_theme(self, theme: str) -> None:
        """Recolour the pages that have been made."""
        self.theme = theme
        for page in self.made.values():
            page.set_theme(theme)

    def query(self) -> dict[str, str]:
        """Tab and settings of the pages, as they stand in an address."""
        taken = {name for key in self.made for name in SETTINGS.get(key, ())}
        found = {name: text for name, text in self._given.items() if name not in taken}
        for page in self.made.values():
            found |= page.query()
        return found | ({"tab": self.tab} if self.tab != "train" else {})

    def _make(self, tab: str) -> Any:
        page: Any = _class(tab)(self.session, self.theme, self._given)
        page.changed = self.changed
        return page


def _class(tab: str) -> Any:
    """The class of a page; imported here, so that the train page opens without the others."""
    if tab == "timeline":
        from mfviz.views.timeline_view import TimelineView

        return TimelineView
    if tab == "memory":
        from mfviz.views.memory_view import MemoryView

        return MemoryView
    from mfviz.views.data_view import DataView

    return DataView

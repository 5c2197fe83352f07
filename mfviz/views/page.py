"""The page: frame, app bar, drawer, cards and transport, put together for a host.

:func:`build` is the one entrance; what it returns can be served, shown in a notebook or asked for
its parts by a test. Numba is not imported on this path: the page opens on a recorded run while the
kernels are made ready behind it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.themes import Theme
from panel.util import edit_readonly

from mfviz.plots.style import THEMES
from mfviz.views import garbage
from mfviz.views.appbar import AppBar
from mfviz.views.beat import Beat
from mfviz.views.board import Board
from mfviz.views.controls import Drawer
from mfviz.views.desk import Desk
from mfviz.views.host import Host, ServerHost, here
from mfviz.views.launch import from_disk, recordings
from mfviz.views.loading import Loader
from mfviz.views.pages import PAGE_SETTINGS, Pages
from mfviz.views.parts import box
from mfviz.views.readiness import readiness
from mfviz.views.session import PACES, Session
from mfviz.views.theme import material, sheet, variables
from mfviz.views.transport import Transport

__all__ = ["PAGE_NAMES", "View", "build", "serve"]

# Bokeh models that mfviz dresses itself; Material would give them its own lines and fonts.
DRESSED = ("Axis", "Grid", "Figure", "Plot", "Title")
# So the header keeps the palette of the page; else Material turns it into its primary colour.
HEADER = {".MuiAppBar-root": {"bgcolor": "primary.contrastText", "color": "primary.main"}}
# A solver that comes back from a kernel waits for the page to give up the interpreter; by default
# that takes 5 ms, as long as a whole epoch of a small set.
SWITCH_S = 0.0002
PAGE_NAMES = ("pace", "x", "logx", "logy", "theme", "step", "tab", *PAGE_SETTINGS)


class View:
    """Everything on a page, and how it hangs together.

    Parameters
    ----------
    host : Host
    defaults : mapping, optional
        Settings to begin with (data, solver, compare, seed, ...).
    session : Session, optional
        Made for the host if it is left out.
    load : Loader, optional
        Loads ratings for that session; the one of the process if it is left out.

    Attributes
    ----------
    session, desk, board, drawer, transport, pages
        The parts.
    theme : str
        "light" or "dark".
    on_tab : callable
        Called with the key when another tab is shown.
    """

    def __init__(
        self,
        host: Host,
        defaults: Mapping[str, Any] | None = None,
        *,
        session: Session | None = None,
        load: Loader | None = None,
    ) -> None:
        self.host = host
        if session is None:
            session = Session(host, Desk(host, defaults, load=load, page_names=PAGE_NAMES))
        self.desk = session.desk
        self.session = session
        query = host.query
        self._loaded = False
        self._when_loaded: list[Callable[[], None]] = []
        asked = query.get("theme", (defaults or {}).get("theme", host.theme))
        self.theme = "dark" if asked == "dark" else "light"
        self._take_page_settings(query)
        self.board = Board(self.session, self.theme, query)
        self.board.changed = self._write_address
        self.drawer = Drawer(self.session)
        self.transport = Transport(self.session)
        self.session.watch(self.drawer.refresh, 1.0)
        self.session.watch(self._write_address, 1.0)
        self.pages = Pages(self.session, self.board, self.theme, query)
        self.main = box(
            pn.Column, self.board.status.view, self.board.view, self.pages.view,
            self.transport.view, parts=("main",), sizing_mode="stretch_both",
        )  # fmt: skip
        self.pages.changed = self._write_address
        self.on_tab: Callable[[str], None] = lambda tab: None
        self.when_loaded(lambda: self.show_tab(query.get("tab", "train")))

    def when_loaded(self, act: Callable[[], None]) -> None:
        """Do something now, or once the page is on the screen.

        A component that is still being set up in the browser would miss what changes meanwhile.
        """
        if self._loaded:
            act()
        else:
            self._when_loaded.append(act)

    def open(self) -> None:
        """Begin: kernels in the background, the run of the address or a recorded one on screen."""
        self.session.desk.readiness.begin()
        self.desk.open()
        if not self._reopen(self.host.query.get("run", "")):
            self.session.replay(recordings(), demo=True)
        self.session.paint()
        self.board.rmse.on_drawn = lambda: self.session.wake(whole=False)
        self.session.whole = False
        self.host.on_load(self._on_screen)

    def set_theme(self, theme: str) -> None:
        """Show the page in light or dark."""
        self.theme = theme
        self.board.set_theme(theme)
        self.pages.set_theme(theme)
        self._write_address()

    @property
    def tab(self) -> str:
        """Key of the tab that is shown."""
        return self.pages.tab

    def show_tab(self, tab: str) -> None:
        """Show another page below the status line; its key is one of ``tabs.TABS``."""
        if self.pages.show(tab):
            self.on_tab(tab)
            self._write_address()

    def act(self, name: str) -> None:
        """Do what a key stands for."""
        if name.startswith("tab-"):
            self.show_tab(name.removeprefix("tab-"))
            return
        session = self.session
        known = {
            "toggle": session.toggle, "step": session.step, "back": session.back,
            "forward10": lambda: session.seek(session.place + 10),
            "back10": lambda: session.back(10), "home": lambda: session.seek(0.0),
            "end": lambda: session.seek(session.end), "reset": session.reset,
            "run": session.run, "stop": session.stop,
        }  # fmt: skip
        if name in known and (session.tracks or name == "run"):
            known[name]()

    def query(self) -> dict[str, str]:
        """Everything that the page offers, as it stands in its address."""
        session, found = self.session, dict(self.desk.query())
        found["pace"] = "max" if session.pace == PACES[-1] else f"{session.pace:g}"
        found |= self.board.query()
        if session.unit != "epoch":
            found["step"] = session.unit
        if self.theme != self.host.theme:
            found["theme"] = self.theme
        found |= self.pages.query()
        ids = [track.run_id for track in session.pair if not track.demo and track.run_id]
        if ids:
            found["run"] = ",".join(ids)
        return found

    def _on_screen(self) -> None:
        self._loaded = True
        self.session.poke()
        self.session.wake()
        waiting, self._when_loaded = self._when_loaded, []
        for act in waiting:
            act()

    def _write_address(self) -> None:
        if self._loaded and self.desk.settings is not None:
            query = self.query()
            if query != self.host.query:
                self.host.set_query(query)

    def _take_page_settings(self, query: Mapping[str, str]) -> None:
        session = self.session
        wanted = query.get("pace")
        if wanted is not None:
            try:
                pace = PACES[-1] if wanted == "max" else float(wanted)
            except ValueError:
                pace = math.nan
            away = {known: abs(known - pace) for known in PACES[:-1]}
            nearest = pace if pace in PACES else min(away, key=lambda known: away[known])
            nearest = session.pace if math.isnan(pace) else nearest
            session.set_pace(nearest)
            if nearest != pace:
                self.desk.notices.append(
                    f"pace is {wanted}; the page offers {', '.join(f'{p:g}' for p in PACES[:-1])} "
                    f"and max. {nearest:g} is used."
                )
        if query.get("step") == "checkpoint":
            session.unit = "checkpoint"

    def _reopen(self, ids: str) -> bool:
        """Own the runs of the address again, or read them from disk."""
        wanted = [part for part in ids.split(",") if part][:2]
        if not wanted:
            return False
        runs = self.session.owners.claim(wanted, id(self.session))
        if runs:
            self.session.adopt(runs)
            return True
        found = [recording for recording in map(from_disk, wanted) if recording is not None]
        if found:
            self.session.replay(found, play=False)
            return True
        self.desk.notices.append(f"Run {ids} is not on this machine (any more).")
        return False


def build(host: Host, defaults: Mapping[str, Any] | None = None) -> Any:
    """Return the page for a host.

    Parameters
    ----------
    host : Host
    defaults : mapping, optional
        Settings to begin with; those of the address go before them.

    Returns
    -------
    panel_material_ui.Page
        Its ``view`` attribute is the :class:`View`.
    """
    view = View(host, defaults)
    if isinstance(host, ServerHost):  # Panel itself would look in the address alone
        pn.config.theme = "dark" if view.theme == "dark" else "default"
    bar = AppBar(view.session, view.act, view.query, view.when_loaded)
    page = pmui.Page(
        title="mfviz explorer", header=[bar.view], sidebar=view.drawer.view,
        main=[view.main], sidebar_width=280, sidebar_variant="auto", sidebar_resizable=False,
        theme_toggle=False, busy_indicator=None, theme_config=material(),
        dark_theme=view.theme == "dark", _custom_theme=list(DRESSED), sx=HEADER,
        stylesheets=[sheet("page"), variables()],
        raw_css=[variables(*(":root" if t == view.theme else ".other" for t in THEMES)),
                 sheet("document")],
    )  # fmt: skip

    with edit_readonly(page):
        # It would follow whether the server is busy: nothing shows that, to tell it Panel would
        # walk the whole page at each click, and what is followed keeps the page long after it was
        # closed. So it follows one of its own that stays False.
        page.busy = page.param.sidebar_resizable

    def toggle_theme() -> None:
        with host.hold():
            page.dark_theme = not page.dark_theme
            view.set_theme("dark" if page.dark_theme else "light")
            bar.set_theme(view.theme)

    if isinstance(host, ServerHost):
        view.session.beat = Beat(view.board.rmse.figure, lambda: host.now, view.session.ticker)
    bar.set_theme(view.theme)
    bar.on_theme = toggle_theme
    bar.on_tab = view.show_tab
    view.on_tab = bar.show_tab
    page.view = view
    view.open()
    return page


def serve() -> Any:
    """Build the page for the document that is being served, and mark it servable."""
    pn.extension(notifications=False)
    sys.setswitchinterval(SWITCH_S)
    host = here()
    if not isinstance(host, ServerHost):
        return build(host)
    readiness().afterwards = garbage.begin
    page = build(host)
    host.doc.theme = Theme(json={"attrs": {name: {} for name in DRESSED}})  # read by the template
    return page.servable()

"""The app bar: name, page tab, how ready the process is, share, theme, help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from mfviz.views.icons import button_icon
from mfviz.views.keys import KEYS, Keys
from mfviz.views.parts import Html, box, html
from mfviz.views.session import Session
from mfviz.views.tabs import Tabs
from mfviz.views.theme import sheet

__all__ = ["AppBar"]

BRAND = """
<div class="brand"><svg viewBox="0 0 20 20" aria-hidden="true">
<rect width="9" height="9" rx="1.5" fill="var(--mf-run-A)"/>
<rect x="11" width="9" height="9" rx="1.5" fill="var(--mf-axis)"/>
<rect y="11" width="9" height="9" rx="1.5" fill="var(--mf-axis)"/>
<rect x="11" y="11" width="9" height="9" rx="1.5" fill="var(--mf-run-B)"/></svg>
<h1>mfviz</h1><span>explorer</span></div>
"""
DIALOG = {
    "& .MuiDialog-paper": {"backgroundImage": "none"},
    "& .MuiDialogTitle-root": {"fontSize": "18px", "padding": "16px"},
    "& .MuiIconButton-root": {"color": "var(--mf-ink2)", "margin": "8px"},
}
ABOUT = """
<p><b>Train</b> runs one or two solvers on the same ratings and draws what is measured while they
work: the error over time, what every worker does, and the memory that is held. Solver time and
display speed are separate: the pace slows a run down so that you can watch it, outside the times
that are measured. On opening, a recorded run plays; Run starts a live one.</p>
<p><b>Timeline</b> shows one epoch of each run, lane by lane: what ran beside what, what each lane
waited for, and how much that is. <i>How computed</i> tells every figure's formula.</p>
<p><b>Memory</b> tells for every solver what it would take and whether that fits, on this machine
or on a device that you name, and shows what each run held over time.</p>
<p><b>Data</b> shows the ratings that are chosen: who rates how much, which cells are filled, which
values are given, and what is held out as a test.</p>
"""


class AppBar:
    """What stands in the app bar.

    Parameters
    ----------
    session : Session
    act : callable
        Receives the action of a key.
    query : callable
        The page's settings, written to the address before it is shared.
    when_loaded : callable
        Does what it is given once the page is on the screen.

    Attributes
    ----------
    on_theme : callable
        Called when the theme is to change.
    on_tab : callable
        Called with the key of the tab that was chosen.
    """

    def __init__(
        self,
        session: Session,
        act: Callable[[str], None],
        query: Callable[[], Mapping[str, str]],
        when_loaded: Callable[[Callable[[], None]], None],
    ) -> None:
        self.session, self._act, self._query = session, act, query
        self.on_theme: Callable[[], None] = lambda: None
        self.on_tab: Callable[[str], None] = lambda key: None

        def later(act: Callable[[], None]) -> None:
            session.host.later(lambda: when_loaded(act))

        self.ready = Html("", "brand", sizing_mode="fixed", width=170, height=47)
        self.tabs = Tabs(
            lambda key: later(lambda: self.on_tab(key)), width=330, height=47,
            sizing_mode="fixed",
        )  # fmt: skip
        self.share = pmui.Button(
            label="Share", icon=button_icon("link"), variant="outlined", size="small",
            width=92, height=32, margin=0, align="center", stylesheets=[sheet("small")],
        )  # fmt: skip
        self.share.on_click(lambda event: later(self._share))
        self.theme = _icon("moon", "Toggle theme", lambda: later(self.on_theme))
        self.help = _icon("help", "Help", lambda: later(self._toggle_help))
        self.keys = Keys(lambda name: later(lambda: self._key(name)))
        self.dialog = pmui.Dialog(
            html(_help(), "dialog"), title="mfviz explorer", open=False, close_on_click=True,
            show_close_button=True, width_option="sm", styles={"position": "absolute"}, sx=DIALOG,
        )  # fmt: skip
        spacer = pn.Spacer(sizing_mode="stretch_width", margin=0, height=1)
        self.view = box(
            pn.Row, html(BRAND, "brand", sizing_mode="fixed", width=252, height=47),
            self.tabs, spacer, self.ready.pane, self.share, self.theme, self.help, self.keys,
            self.dialog,
            parts=("bar",), height=47,
        )  # fmt: skip
        session.watch(self.refresh, 1.0, early=True)
        self.refresh()

    def refresh(self) -> None:
        """Bring the pill up to date."""
        ready = self.session.desk.readiness
        self.ready.set(
            f'<div class="ready {ready.state}" title="{ready.reason}"><i></i>{ready.words}</div>'
        )

    def set_theme(self, theme: str) -> None:
        """Show the icon of the other theme."""
        self.theme.icon = button_icon("sun" if theme == "dark" else "moon")

    def show_tab(self, key: str) -> None:
        """Mark the tab that is shown."""
        self.tabs.active = key

    def _key(self, name: str) -> None:
        if name == "theme":
            self.on_theme()
        elif name == "help":
            self._toggle_help()
        else:
            self._act(name)

    def _toggle_help(self) -> None:
        self.dialog.open = not self.dialog.open

    def _share(self) -> None:
        self.session.host.set_query(self._query())
        self.keys.copy_address()


def _icon(icon: str, name: str, act: Callable[[], None]) -> Any:
    # A button without words rather than an IconButton, whose icon cannot be changed later.
    button = pmui.Button(
        label="", icon=button_icon(icon), description=name, icon_size="20px", variant="text",
        width=32, height=32, margin=0, align="center", stylesheets=[sheet("small", "bare")],
    )  # fmt: skip
    button.on_click(lambda event: act())
    return button


def _help() -> str:
    rows = "".join(f"<tr><th>{key}</th><td>{what}</td></tr>" for _, key, what in KEYS.values())
    return f"{ABOUT}<table>{rows}</table>"

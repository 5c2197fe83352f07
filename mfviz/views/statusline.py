"""The status line: the pill at once, its sentence at most once a second, a suggestion to click."""

from __future__ import annotations

from html import escape

import panel as pn
import panel_material_ui as pmui

from mfviz.views.chips import pill
from mfviz.views.launch import ahead
from mfviz.views.parts import Html, box
from mfviz.views.session import Session
from mfviz.views.status import page_state, sentence
from mfviz.views.theme import sheet
from mfviz.views.tracks import LETTERS

__all__ = ["StatusLine"]


class StatusLine:
    """The line above the cards.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view : Panel object
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.text = Html("", "status")
        self.fix = pmui.Button(
            label="", variant="outlined", size="small", height=32, margin=0, visible=False,
            stylesheets=[sheet("small")],
        )  # fmt: skip
        self.fix.on_click(lambda event: session.host.later(self._apply))
        self._fix: tuple[str, str] = ("", "")
        self.view = box(pn.Row, self.text.pane, self.fix, parts=("gap", "top"))
        session.watch(self.refresh, 1.0, early=True)
        session.watch(self.suggest, 1.0)
        self.refresh()

    def refresh(self) -> None:
        """Bring pill and sentence up to date."""
        state, words = self._words()
        notices = " ".join(self.session.desk.notices)
        note = f'<div class="notice">{escape(notices)}</div>' if notices else ""
        self.text.set(
            f'<div class="status" role="status" aria-live="polite">{pill(state, large=True)}'
            f"<div><p>{words}</p>{note}</div></div>"
        )

    def _words(self) -> tuple[str, str]:
        session = self.session
        if session.message:
            return "failed", escape(session.message)
        if session.waiting_to_run:
            what = "the kernels are" if session.desk.settings is None else "the ratings are"
            return "queued", f"Your run starts as soon as {what} ready."
        pair = session.pair
        words = sentence(pair, lambda track: ahead(track.run))
        if pair and all(track.demo for track in pair):
            words = f"<span class='quiet'>Recorded run.</span> {words}"
        return page_state(pair), words

    def suggest(self) -> None:
        """Offer the setting that would mend a diverged run."""
        found = next(
            ((t.letter, t.fix) for t in self.session.pair if t.status == "diverged" and t.fix),
            ("", ""),
        )
        self._fix = found
        self.fix.visible = bool(found[1])
        if found[1]:
            self.fix.label = f"Try {found[1].replace('=', ' ')}"

    def _apply(self) -> None:
        letter, fix = self._fix
        if fix:
            self.session.desk.apply(letter if letter in LETTERS[:2] else "A", fix)

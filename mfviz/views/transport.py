"""The transport at the bottom of the page: what plays a session, and where it stands."""

from __future__ import annotations

import math
from typing import Any

import panel as pn
import panel_material_ui as pmui

from mfviz.views.chips import seconds, speed
from mfviz.views.icons import button_icon
from mfviz.views.parts import Html, box
from mfviz.views.scrubber import Scrubber
from mfviz.views.session import PACES, UNITS, Session
from mfviz.views.theme import sheet

__all__ = ["Transport"]


class Transport:
    """The buttons and sliders that play a session.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view : Panel object
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._quiet = False
        host = session.host
        self.reset = _button("reset", "Reset", lambda: host.later(session.reset))
        self.previous = _button("previous", "Previous epoch", lambda: host.later(session.back))
        self.toggle = pmui.Button(
            label="",
            icon=button_icon("pause"),
            description="Pause",
            icon_size="24px",
            variant="contained",
            width=40,
            height=40,
            margin=0,
            stylesheets=[sheet("play")],
        )
        self.toggle.on_click(lambda event: host.later(session.toggle))
        self.step = _button("next", "Step", lambda: host.later(session.step))
        self.words = Html("", "words", width=150, height=20, sizing_mode="fixed")
        self.speed = pmui.IntSlider(
            label="Speed", start=0, end=len(PACES) - 1, value=PACES.index(session.pace), width=130,
            margin=0, show_value=False, tooltips=False, size="small", css_classes=["speed"],
            stylesheets=[sheet("slider")],
        )  # fmt: skip
        self.unit = pmui.Select(
            label="step by", options=list(UNITS), value=session.unit, width=100, margin=0,
            align="center",
            size="small", stylesheets=[sheet("unit", "menu")],
        )  # fmt: skip
        self.position = Html("", "words")
        self.scrubber = Scrubber(lambda epoch: host.later(lambda: session.seek(epoch)))
        self.speed.param.watch(self._speed_moved, "value")
        self.unit.param.watch(lambda event: setattr(session, "unit", event.new), "value")
        self.view = self._layout()
        session.watch(self.refresh, 0.2)
        session.watch(self.place, 0.2, early=True)
        self.refresh()
        self.place()

    def place(self) -> None:
        """Bring the scrubber and what stands over it up to date with the session."""
        session = self.session
        self.scrubber.param.update(
            value=float(session.place),
            end=max(session.total, 1),
            ticks=self._ticks(),
            marks=self._marks(),
            text=self._position(),
            disabled=not session.tracks,
        )
        words = f'<div class="two">{self._position()}<span>{self._note()}</span></div>'
        self.position.set(words)

    def refresh(self) -> None:
        """Bring buttons and pace up to date with the session."""
        session = self.session
        moving = session.moving
        self._quiet = True
        try:
            icon, name = ("pause", "Pause") if moving else ("play", "Play")
            if self.toggle.description != name:
                self.toggle.param.update(icon=button_icon(icon), description=name)
            nothing = not session.tracks
            for button in (self.reset, self.toggle, self.step):
                button.disabled = nothing
            self.previous.disabled = nothing or session.place <= 0
            self.speed.param.update(
                value=PACES.index(session.pace) if session.pace in PACES else self.speed.value,
                value_label=speed(session.pace),
            )
            self.unit.value = session.unit
        finally:
            self._quiet = False
        exact = "" if math.isinf(session.pace) else f" · {speed(session.pace)}"
        self.words.set(f'<div class="speed"><b>{_times(session.pace)}</b>{exact}</div>')

    def _layout(self) -> Any:
        buttons = box(
            pn.Row, self.reset, self.previous, self.toggle, self.step,
            parts=("gap",), sizing_mode="fixed", width=180, height=40, align="center",
        )  # fmt: skip
        pace = box(
            pn.Column, self.words.pane, self.speed, sizing_mode="fixed", width=150, height=44,
            align="center",
        )  # fmt: skip
        scrub = box(pn.Column, self.position.pane, self.scrubber, align="center", height=48)
        return box(pn.Row, buttons, pace, self.unit, scrub, parts=("transport",), height=64)

    def _position(self) -> str:
        session = self.session
        if not session.tracks:
            return "nothing to play yet"
        whole = math.floor(session.place + 1e-6)
        part = session.place - whole
        inside = f" and {100 * part:.0f} %" if part > 0.005 and not session.playing else ""
        return f"epoch {whole}{inside} of {session.total}"

    def _note(self) -> str:
        session = self.session
        solved = max((track.history.solve_s for track in session.pair), default=0.0)
        parts = [f"{seconds(solved)} solve"] if session.tracks else []
        if session.playing:
            parts.append(f"replaying at {speed(session.pace)}")
        elif session.live:
            state = "paused" if session.held else "live" if session.attached else "looking back"
            parts.append(state)
        return " · ".join(parts)

    def _ticks(self) -> list[int]:
        total = self.session.total
        every = next((n for n in (1, 2, 5, 10, 20, 50, 100) if total <= 25 * n), 1000)
        return list(range(0, total + 1, every))

    def _marks(self) -> list[list[Any]]:
        """Where one of the pair ended before the other, and where a setting was changed."""
        ends = [
            [track.last_epoch, f"{track.letter} {track.history.status}", track.letter]
            for track in self.session.pair
            if track.history.ended and track.last_epoch < self.session.total
        ]
        changes = [
            [epoch, f"{track.letter} {words}", track.letter]
            for track in self.session.pair
            for epoch, words in track.changes
        ]
        return [*ends, *changes]

    def _speed_moved(self, event: Any) -> None:
        if not self._quiet:
            self.session.host.later(lambda: self.session.set_pace(PACES[event.new]))


def _times(pace: float) -> str:
    return "max" if math.isinf(pace) else f"{pace:g}×"


def _button(icon: str, name: str, act: Any, **settings: Any) -> Any:
    button = pmui.IconButton(
        icon=button_icon(icon), description=name, icon_size="22px", width=40, height=40, margin=0,
        stylesheets=[sheet("play")], **settings,
    )  # fmt: skip
    button.on_click(lambda event: act())
    return button

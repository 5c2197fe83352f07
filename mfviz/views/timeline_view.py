"""The Timeline tab: one epoch of each run, lane by lane, and what follows from it in numbers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from mfviz.telemetry.limits import bandwidth
from mfviz.views.board import legend
from mfviz.views.icons import button_icon
from mfviz.views.live_epoch import EpochFigure
from mfviz.views.parts import Html, box, card, heading, html
from mfviz.views.session import Session
from mfviz.views.theme import sheet
from mfviz.views.timeline_words import how_computed, key_figures, memory_of, reasons, selection
from mfviz.views.tracks import LETTERS

__all__ = ["TimelineView"]

BOTH = "all"
DIALOG = {
    "& .MuiDialog-paper": {"backgroundImage": "none"},
    "& .MuiDialogTitle-root": {"fontSize": "18px", "padding": "16px"},
    "& .MuiIconButton-root": {"color": "var(--mf-ink2)", "margin": "8px"},
}


class TimelineView:
    """The page of the Timeline tab.

    Parameters
    ----------
    session : Session
    theme : str
        "light" or "dark".
    query : mapping
        Settings of the address: epoch, lanes.

    Attributes
    ----------
    view : Panel object
    figure : EpochFigure
    figures : tuple
        What a session draws while the tab is shown.
    changed : callable
        Called when the person chooses another epoch or run.
    """

    def __init__(self, session: Session, theme: str, query: Mapping[str, str]) -> None:
        self.session = session
        self.changed: Callable[[], None] = lambda: None
        self.figure = EpochFigure(theme)
        self.figures = (self.figure,)
        self.figure.on_change = self.refresh
        self.keys, self.title = Html("", "figures"), Html("", "cardhead")
        self.legend = Html("", "cardhead", "legend")
        self.sums_title, self.sums = Html("", "cardhead"), Html("", "bars")
        self.waits = Html("", "bars")
        self.formulas = html("", "formulas")
        self.limits: dict[str, float] = {}  # bytes a second of memories that were measured
        self._quiet = self._measuring = False
        self._controls()
        self.view = self._layout()
        self._read(query)
        session.watch(self.refresh, 1.0)
        self.refresh()

    def refresh(self) -> None:
        """Bring the numbers up to date with the figure."""
        shown, brush = self.figure.shown, self.figure.brush
        for s in shown:  # a recorded run tells what its device gave, which may not be here
            told = bandwidth(s.history.measured)
            if math.isfinite(told):
                self.limits.setdefault(memory_of(s.history), told)
        self.keys.set(key_figures(shown, self.limits))
        self.waits.set(reasons(shown))
        self.sums.set(selection(shown, brush))
        words = f"{brush[0]:.3g} to {brush[1]:.3g} ms" if brush else "the brush selects a part"
        self.sums_title.set(heading("Selection" if brush else "Whole epoch", words))
        self.title.set(heading("Timeline", self._caption()))
        self.legend.set(legend([s.history for s in shown], _clocks(shown)))
        if self.dialog.open:
            self._explain()
        self._quiet = True
        try:
            letters = [letter for letter, _ in self.figure.tracks]
            options = [BOTH, *letters]
            self.lanes.visible = len(letters) > 1
            if self.lanes.options != options:
                self.lanes.param.update(options=options, value=self.figure.only or BOTH)
            at = self._epoch
            self.previous.disabled, self.following.disabled = at <= 1, at >= self._last
            self.latest.disabled = self.figure.epoch == 0
        finally:
            self._quiet = False

    def set_theme(self, theme: str) -> None:
        """Recolour the figure in place."""
        self.figure.set_theme(theme)

    def query(self) -> dict[str, str]:
        """What is chosen here, as it stands in an address."""
        found = {"epoch": str(self.figure.epoch)} if self.figure.epoch else {}
        return found | ({"lanes": self.figure.only} if self.figure.only else {})

    @property
    def _last(self) -> int:
        """Last epoch that is over in any of the runs."""
        ends = [h.epochs[-1].epoch for _, h in self.figure.tracks if h.epochs]
        return max(ends, default=0)

    @property
    def _epoch(self) -> int:
        return self.figure.epoch or self._last

    def _caption(self) -> str:
        if self.figure.epoch:
            return f"epoch {self._epoch}, held; evaluation and pauses cut out"
        return "last epoch; evaluation and pauses cut out"

    def _read(self, query: Mapping[str, str]) -> None:
        epoch = query.get("epoch", "")
        if epoch.isdigit():
            self.figure.epoch = int(epoch)
        if query.get("lanes") in LETTERS:
            self.figure.only = query["lanes"]

    def _explain(self) -> None:
        words = how_computed(self.figure.shown, self.limits)
        if self.formulas.object != words:
            self.formulas.object = words
        self.measure.visible = bool(self._unmeasured)
        self.measure.disabled = self._measuring or self.session.live

    @property
    def _unmeasured(self) -> list[str]:
        """Memories of the shown runs whose bandwidth nobody has tried to measure yet."""
        places = dict.fromkeys(memory_of(s.history) for s in self.figure.shown)
        return [place for place in places or ["cpu"] if place not in self.limits]

    def _measure(self) -> None:
        """Measure what memory gives, on a thread of its own; it would slow a run beside it."""
        places = self._unmeasured
        if self._measuring or self.session.live or not places:
            return
        self._measuring = self.measure.disabled = True

        def work() -> None:
            found = {place: _bandwidth(place) for place in places}
            self.session.host.later(lambda: self._measured(found))

        threading.Thread(target=work, name="mfviz-bandwidth", daemon=True).start()

    def _measured(self, limits: Mapping[str, float]) -> None:
        self.limits.update(limits)
        self._measuring = False
        with self.session.host.hold():
            self.refresh()

    # --- controls ---------------------------------------------------------------------------

    def _controls(self) -> None:
        self.lanes = pmui.RadioButtonGroup(
            options=[BOTH], value=BOTH, label="Runs", size="small", height=26, margin=0,
            stylesheets=[sheet("segments")], visible=False, sizing_mode="fixed", width=110,
        )  # fmt: skip
        self.lanes.param.watch(self._lanes_chosen, "value")
        later = self.session.host.later
        self.previous = _button("previous", "Epoch before", lambda: later(lambda: self._go(-1)))
        self.following = _button("next", "Epoch after", lambda: later(lambda: self._go(1)))
        self.latest = _text("Latest", lambda: later(lambda: self._look(0)))
        self.how = _text("How computed", lambda: later(self._open))
        self.measure = _text("Measure this machine's memory", lambda: later(self._measure))
        self.dialog = pmui.Dialog(
            self.formulas, self.measure, title="How the figures are computed", open=False,
            close_on_click=True, show_close_button=True, width_option="md",
            styles={"position": "absolute"}, sx=DIALOG,
        )  # fmt: skip

    def _layout(self) -> Any:
        strip = card("strip", self.keys.pane)
        head = box(
            pn.Row, self.title.pane, self.legend.pane, self.lanes, self.previous, self.following,
            self.latest, self.how, parts=("headrow",), height=28,
        )  # fmt: skip
        timeline = card("tall", head, self.figure.pane, self.dialog, sizing_mode="stretch_both")
        lower = [
            card("chart", self.sums_title.pane, self.sums.pane),
            card("chart", html(heading("Why lanes waited", "all lanes together"), "cardhead"),
                 self.waits.pane),
            card("chart", html(heading("Under the pointer", "stays until the next"), "cardhead"),
                 pn.pane.Bokeh(self.figure.pointer, sizing_mode="stretch_width", margin=0)),
        ]  # fmt: skip
        return box(
            pn.Column, strip, timeline, box(pn.Row, *lower, parts=("triple",)),
            parts=("scroll",), sizing_mode="stretch_both",
        )  # fmt: skip

    def _go(self, by: int) -> None:
        self._look(min(max(self._epoch + by, 1), max(self._last, 1)))

    def _look(self, epoch: int) -> None:
        with self.session.host.hold():
            self.figure.look_at(epoch)
            self.refresh()
        self.changed()

    def _lanes_chosen(self, event: Any) -> None:
        if self._quiet:
            return

        def act() -> None:
            with self.session.host.hold():
                self.figure.choose("" if event.new == BOTH else event.new)
                self.refresh()
            self.changed()

        self.session.host.later(act)

    def _open(self) -> None:
        self._explain()
        self.dialog.open = True


def _bandwidth(place: str) -> float:
    """Bytes a second of this machine's memory or device; NaN for a device that is not here."""
    from mfviz.backends.cuda import devices
    from mfviz.backends.device import using
    from mfviz.experiments.bandwidth import memory_limit

    if place == "cpu":
        return memory_limit()
    for device in devices():
        if device.name == place:
            with using(device.index):
                return memory_limit("cuda")
    return math.nan


def _clocks(shown: Any) -> str:
    """What the times were measured by."""
    clocks = {s.history.spans[-1].clock for s in shown if s.history.spans}
    words = {"host": "measured, host clock", "cuda-events": "measured, CUDA events",
             "model": "modelled"}  # fmt: skip
    return "; ".join(words.get(clock, clock) for clock in sorted(clocks)) or "measured"


def _button(icon: str, name: str, act: Callable[[], None]) -> Any:
    button = pmui.IconButton(
        icon=button_icon(icon), description=name, icon_size="18px", width=28, height=28, margin=0,
        stylesheets=[sheet("play", "tiny")],
    )  # fmt: skip
    button.on_click(lambda event: act())
    return button


def _text(words: str, act: Callable[[], None]) -> Any:
    button = pmui.Button(
        label=words, variant="outlined", size="small", height=26, margin=0,
        stylesheets=[sheet("small", "tiny")],
    )  # fmt: skip
    button.on_click(lambda event: act())
    return button

"""The board: the cards with their figures, and the table of runs; and the status line above."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from mfviz.telemetry.history import History
from mfviz.views.live_memory import LiveMemory
from mfviz.views.live_rmse import LiveRMSE
from mfviz.views.live_timeline import LiveTimeline
from mfviz.views.parts import Html, box, card, heading
from mfviz.views.runs_table import RunsTable
from mfviz.views.session import Session
from mfviz.views.statusline import StatusLine
from mfviz.views.theme import sheet
from mfviz.views.versus import Versus

__all__ = ["Board", "legend"]

AXES = {"epoch": "epoch", "updates": "updates", "solve s": "solve_s", "wall s": "wall_s"}
# Kind of a span -> what the legend calls it.
LEGEND = {
    "kernel": "kernel", "h2d": "to device", "d2h": "from device", "host": "host", "wait": "wait",
}  # fmt: skip


class Board:
    """The main area between status line and transport.

    Parameters
    ----------
    session : Session
    theme : str
        "light" or "dark".
    query : mapping
        Settings of the address: x, logx, logy.

    Attributes
    ----------
    rmse, timeline, memory : LiveFigure
    changed : callable
        Called when the person changes an axis.
    """

    def __init__(self, session: Session, theme: str, query: Mapping[str, str]) -> None:
        self.session = session
        self.changed: Callable[[], None] = lambda: None
        axis = query.get("x", "epoch")
        if axis not in AXES.values():
            session.desk.notices.append(
                f"x is {axis}; it must be one of {', '.join(AXES.values())}. epoch is used."
            )
            axis = "epoch"
        self.rmse = LiveRMSE(theme, x_axis=axis)
        self.rmse.log_x = query.get("logx") == "true"
        self.rmse.log_y = query.get("logy") == "true"
        self.timeline = LiveTimeline(theme)
        self.memory = LiveMemory(theme)
        self.figures = (self.rmse, self.timeline, self.memory)
        session.drawing.figures = list(self.figures)
        self.status = StatusLine(session)
        self.versus = Versus(session)
        self.runs = RunsTable(session)
        self._captions = [
            Html("", "cardhead"), Html("", "cardhead"), Html("", "cardhead")
        ]  # fmt: skip
        self._legend = Html("", "cardhead", "legend")
        self.view = self._layout()
        session.watch(self.refresh, 1.0, early=True)

    def refresh(self) -> None:
        """Bring captions and the texts for screen readers up to date."""
        for figure, head in zip(self.figures, self._captions, strict=True):
            head.set(heading(figure.plot.title, figure.caption))
        self._legend.set(legend([history for _, history in self.timeline.tracks]))

    def set_theme(self, theme: str) -> None:
        """Recolour the figures in place."""
        for figure in self.figures:
            figure.set_theme(theme)

    def query(self) -> dict[str, str]:
        """Settings of the figures as they stand in an address."""
        found = {"x": self.rmse.x_axis} if self.rmse.x_axis != "epoch" else {}
        for name, on in (("logx", self.rmse.log_x), ("logy", self.rmse.log_y)):
            if on:
                found[name] = "true"
        return found

    def _layout(self) -> Any:
        rmse_head = box(
            pn.Row, self._captions[0].pane, *self._axis_controls(), parts=("headrow",), height=26
        )
        rmse = card("rmse", rmse_head, self.rmse.pane, sizing_mode="stretch_both")
        timeline_head = box(
            pn.Row, self._captions[1].pane, self._legend.pane,
            parts=("headrow",), height=24,
        )  # fmt: skip
        timeline = card("timeline", timeline_head, self.timeline.pane)
        memory = card("memory", self._captions[2].pane, self.memory.pane)
        side = box(
            pn.Column, self.versus.view, memory, parts=("side",), sizing_mode="stretch_both"
        )
        upper = box(pn.Row, rmse, side, parts=("upper",), sizing_mode="stretch_both")
        return box(
            pn.Column, upper, timeline, self.runs.view,
            parts=("scroll",), sizing_mode="stretch_both",
        )  # fmt: skip

    def _axis_controls(self) -> list[Any]:
        names = {column: words for words, column in AXES.items()}
        axis = pmui.RadioButtonGroup(
            options=list(AXES), value=names[self.rmse.x_axis], label="x axis", size="small",
            width=250, height=26, margin=0, stylesheets=[sheet("segments")],
        )  # fmt: skip
        axis.param.watch(lambda event: self._set("x_axis", AXES[event.new]), "value")
        switches = []
        for name, words in (("log_x", "log x"), ("log_y", "log y")):
            switch = pmui.Switch(
                label=words, value=getattr(self.rmse, name), size="small", width=66, height=24,
                margin=0, stylesheets=[sheet("switch")],
            )  # fmt: skip
            switch.param.watch(lambda event, name=name: self._set(name, event.new), "value")
            switches.append(switch)
        return [axis, *switches]

    def _set(self, name: str, value: Any) -> None:
        def act() -> None:
            with self.session.host.hold():
                setattr(self.rmse, name, value)
            self.changed()

        self.session.host.later(act)


def legend(histories: Sequence[History], measured: str = "measured, host clock") -> str:
    """Name the kinds of spans that there are, and the clock that measured them."""
    ops = {op for history in histories for op in history.ops} or {"kernel", "wait"}
    kinds = "".join(f'<i class="{op}"></i>{words}' for op, words in LEGEND.items() if op in ops)
    return f'<div class="legend">{kinds}<span>{measured}</span></div>'

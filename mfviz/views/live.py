"""Figures that are drawn once by HoloViews and then fed through a data source of their own.

HoloViews renders each figure one time; :class:`LiveFigure` then puts its own source under the
glyphs, splits the runs by filters and streams only what is new. Redrawing through HoloViews would
cost some 50 times more a tick. Everything here runs on the thread of the page's document.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import panel as pn
from bokeh.models import ColumnDataSource, Label, Range1d

from mfviz.plots import style
from mfviz.plots.base import Plot, Track
from mfviz.telemetry.history import History
from mfviz.views.live_parts import brief, dress, frame_size, refuse_echoes

__all__ = ["LiveFigure"]

AIMS = 64  # of a range that are remembered
UNDER_WAY = "The first numbers are on their way."


class LiveFigure(ABC):
    """A figure with a source of its own, for up to five runs.

    Parameters
    ----------
    theme : {"light", "dark"}
    **pane
        Parameters of the Panel pane (``height``, ``min_height``, ``sizing_mode``).

    Attributes
    ----------
    source : ColumnDataSource
        Named ``live-<key of the plot>``; its columns are those of the plot.
    figure : bokeh.plotting.figure
    canvas : panel.pane.Bokeh
        The pane of the figure alone.
    pane : panel object
        What a page shows.
    tracks : list of (str, History)
    on_drawn : callable
        Called once, when the browser has the figure and can take what is streamed.
    rollover : int
        Most rows in the source, all runs together.
    period : float
        Seconds between two updates that a session makes, at least.
    """

    plot: ClassVar[Plot]
    rollover: ClassVar[int] = 2000
    period: ClassVar[float] = 0.0
    nominal: ClassVar[tuple[int, int]] = (600, 220)  # frame in pixels until the browser tells it
    invitation: ClassVar[str] = "Press Run: what is measured appears here."

    def __init__(self, theme: str = "light", **pane: Any) -> None:
        self.theme = theme
        self.tracks: list[Track] = []
        self.on_drawn: Callable[[], None] = lambda: None
        self._settled = False
        self._seen: list[tuple[Any, ...]] = []
        self._aims: dict[str, deque[tuple[float, float]]] = {}
        self._letters = ["A", "B"]  # runs that have renderers
        self.source = ColumnDataSource(
            self.plot.frame([]), name=f"live-{self.plot.key}", tags=[{}, {}]
        )
        refuse_echoes(self.source)
        self.figure: Any = self._make()
        settings = {"sizing_mode": "stretch_both", "min_height": 120, "margin": 0} | pane
        self.canvas = pn.pane.Bokeh(self.figure, **settings)
        # Which hands its size on to the figure only when that changes.
        size = {name: settings[name] for name in ("sizing_mode", "height") if name in settings}
        self.figure.update(**size)
        self.pane: Any = self._frame()
        self._refresh()

    # --- what a page calls ------------------------------------------------------------------

    def show(self, tracks: Sequence[Track]) -> None:
        """Show these runs instead of those before.

        Parameters
        ----------
        tracks : sequence of (str, History)
            Letter ("A" to "E") and tables of each run.
        """
        self.tracks, self._settled = list(tracks), False
        fresh = [letter for letter, _ in tracks if letter not in self._letters]
        for letter in fresh:
            self._letters.append(letter)
            self._add_run(letter)
        if fresh:
            self._paint()
        self._seen = [self._state(history) for _, history in self.tracks]
        self._aims.clear()
        self._prepare()
        self._reload(self.rollover)
        self._refresh()

    def update(self) -> bool:
        """Stream what came since the last call; return whether anything did."""
        states = [self._state(history) for _, history in self.tracks]
        if states == self._seen:
            return False
        if any(self._rewound(old, new) for old, new in zip(self._seen, states, strict=True)):
            self.show(self.tracks)
            return True
        held = len(next(iter(self.source.data.values())))
        fresh: list[tuple[Any, ...]] = []
        for (letter, history), old, new in zip(self.tracks, self._seen, states, strict=True):
            if sum(new[0]) - sum(old[0]) > self.rollover - held - len(fresh):
                fresh.clear()
                held = -1  # no room: load anew
                break
            if old[0] != new[0]:
                fresh += self.plot.rows(letter, history, old[0])
        self._seen = states
        self._prepare()
        if held < 0:
            self._reload(self.rollover // 2)
        elif fresh:
            rows = self.plot.as_columns(fresh)
            self.source.stream(brief(rows) if held else rows)  # lists would end up as its columns
        self._refresh()
        return True

    def settle(self) -> None:
        """Take no more room than what is shown needs: nothing moves any more."""
        if not self._settled:
            self._settled = True
            self._prepare()
            self._refresh()

    def clear(self) -> None:
        """Show nothing but the invitation."""
        self.show([])

    def set_theme(self, theme: str) -> None:
        """Set the colours on the existing models; nothing is rebuilt, so nothing flashes."""
        self.theme = theme
        dress(self.figure, theme)
        self._invite.text_color = style.TOKENS[theme]["ink3"]
        self._paint()
        self._prepare()
        self._refresh()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see yet but the invitation."""
        return not len(next(iter(self.source.data.values())))

    @property
    @abstractmethod
    def summary(self) -> str:
        """One sentence that says what the figure shows."""

    @property
    def caption(self) -> str:
        """A few words to stand beside the title."""
        return ""

    # --- what a subclass fills in -----------------------------------------------------------

    @abstractmethod
    def _build(self) -> Any:
        """Render the element once, for run A, with the source under it; return the figure."""

    @abstractmethod
    def _add_run(self, letter: str) -> None:
        """Bind what is drawn to run A, or add the same for another run."""

    def _prepare(self) -> None:  # noqa: B027  most figures have nothing to prepare
        """Bring up to date what the browser reads when new rows arrive."""

    @abstractmethod
    def _paint(self) -> None:
        """Set the colours of the theme on the glyphs."""

    @abstractmethod
    def _refresh(self) -> None:
        """Bring ranges, labels and everything that is not streamed up to date."""

    def _frame(self) -> Any:
        """Return what a page shows: the figure, and what stands beside it."""
        return self.canvas

    # --- helpers ----------------------------------------------------------------------------

    def _make(self) -> Any:
        figure = self.figure = self._build()
        for letter in self._letters:
            self._add_run(letter)
        self._invite = Label(
            x=0, y=0, x_units="screen", y_units="screen", text="", text_font=style.FONT,
            text_font_size=style.SIZES["label"], text_align="center", text_baseline="middle",
            text_color=style.TOKENS[self.theme]["ink3"], visible=False,
        )  # fmt: skip
        figure.add_layout(self._invite)
        self._emptiness: tuple[Any, ...] = ()
        dress(figure, self.theme)
        self._paint()
        for name in ("inner_width", "inner_height"):
            figure.on_change(name, self._resized)
        return figure

    def _resized(self, attr: str, old: int, new: int) -> None:
        if old != new and self._up_to_date:
            self._refresh()
        if new > 0:  # at first it tells 0, before there is a layout
            drawn, self.on_drawn = self.on_drawn, lambda: None
            drawn()

    @property
    def _up_to_date(self) -> bool:
        """Whether nothing came since the last update: else that will bring everything anew."""
        return self._seen == [self._state(history) for _, history in self.tracks]

    def _frame_size(self) -> tuple[float, float]:
        """Width and height of the frame in pixels, as far as the browser has told them."""
        return frame_size(self.figure, self.nominal)

    def _set_empty(self, empty: bool) -> None:
        """Hide the axes and invite, or the reverse: no empty axes."""
        width, height = self._frame_size()
        begun = any(not history.ended for _, history in self.tracks)
        text = UNDER_WAY if begun else self.invitation
        state = (empty, text, width, height, len(self.figure.axis))
        if state == self._emptiness:
            return
        self._emptiness = state
        self._invite.update(visible=empty, text=text, x=width / 2, y=height / 2)
        for item in (*self.figure.axis, *self.figure.grid):
            item.visible = not empty and item not in self._never_visible()

    def _never_visible(self) -> Sequence[Any]:
        return ()

    def _tell_tips(self, *facts: dict[str, str]) -> None:
        """Hand the tool tips facts about the runs, by letter.

        They travel as tags of the source. In the arguments of a script, beside the source itself,
        Bokeh would walk all models of the page whenever one of them changed.
        """
        if list(facts) != self.source.tags[: len(facts)]:
            self.source.tags = list(facts)

    def _set_height(self, wanted: int) -> int:
        """Make the figure as high as what it shows, and return its height in pixels.

        All of the page is laid out for another height, which takes a browser as long as several
        epochs of a run: until the figure settles it may grow and does not shrink.
        """
        height = wanted if self._settled else max(wanted, self.canvas.height)
        self.figure.height = height
        self.canvas.height = height
        return height

    def _aim(self, axis: str, start: float, end: float) -> None:
        """Move a range, unless the reader has zoomed or panned away from where it was aimed."""
        target: Range1d = getattr(self.figure, f"{axis}_range")
        # In a notebook the browser reports, late, what it was sent: an old aim is nobody's choice.
        aimed = self._aims.setdefault(axis, deque(maxlen=AIMS))
        slack = abs(end - start) * 1e-6
        following = not aimed or (
            any(abs(target.start - old) <= slack for old, _ in aimed)
            and any(abs(target.end - old) <= slack for _, old in aimed)
        )
        target.update(reset_start=start, reset_end=end)
        if following:
            target.update(start=start, end=end)
        aimed.append((start, end))

    def _reload(self, room: int) -> None:
        """Fill the source anew; every run has its share of ``room`` rows.

        A roll-over by age would let a run that goes on push out one that is over.
        """
        share = room // max(len(self.tracks), 1)
        rows = [row for track in self.tracks for row in self._share(*track, share)]
        self.source.data = self.plot.as_columns(rows)

    def _share(self, letter: str, history: History, room: int) -> list[tuple[Any, ...]]:
        """At most ``room`` rows of a run, the newest."""
        return self.plot.rows(letter, history)[-room:]

    def _state(self, history: History) -> tuple[Any, ...]:
        return (self.plot.sizes(history), history.run, history.status)

    @staticmethod
    def _rewound(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
        """Whether a history was cleared, or stands for another run, since it was last read."""
        if any(after < before for before, after in zip(old[0], new[0], strict=True)):
            return True
        return bool(old[1]) and old[1] != new[1]

"""A session: one page's runs, what it shows of them, and what its buttons do.

All state of the transport is here, nothing of any widget. While something moves, a ticker of the
host drives it: it pulls from the logs, feeds the figures and tells watchers what to repaint.

The view is *attached* while it follows the end of the logs, as in a live run. A replay, or a drag
of the scrubber, detaches it: then ``position`` (in epochs) says how much of each log is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mfviz.errors import MfvizError
from mfviz.views.beat import Beat
from mfviz.views.desk import Desk
from mfviz.views.drawing import Drawing
from mfviz.views.host import Host
from mfviz.views.launch import launch
from mfviz.views.ownership import Owners, owners
from mfviz.views.settings import Key
from mfviz.views.tracks import LETTERS, Recorded, Track, make_room, next_stop
from mfviz.views.watchers import Watchers

__all__ = ["PACES", "Session"]

PACES = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, math.inf)  # epochs a second
DEFAULT_PACE = 5.0
DOUBLE_CLICK_S = 0.4  # a second press of Run within this is part of the first one
UNITS = ("epoch", "checkpoint")


class Session:
    """One page's session.

    Parameters
    ----------
    host : Host
    desk : Desk
    launcher : callable, optional
        ``launcher(problem, orders, pace) -> runs`` starts runs; see :func:`launch.launch`.
    register : Owners, optional

    Attributes
    ----------
    tracks : list of Track
        Newest first; A and B are the pair that the transport plays.
    chosen : set of str
        Letters of earlier runs that are shown as well.
    attached : bool
        Whether the view follows the end of the logs.
    playing : bool
        Whether a replay moves.
    position : float
        Epochs shown while detached.
    pace : float
        Epochs a second, of live runs and of replays; :meth:`set_pace` sets it.
    message : str
        A sentence about the last thing that went wrong, or nothing.
    drawing : Drawing
        The figures.
    whole : bool
        Whether all may change: while a browser sets the page up, widgets of React would miss it.
    beat : Beat or None
        Tells whether the browser has painted what it was sent; nothing is drawn before.
    """

    def __init__(
        self,
        host: Host,
        desk: Desk,
        *,
        launcher: Callable[[Any, Sequence[Any], float], list[Any]] | None = None,
        register: Owners | None = None,
    ) -> None:
        self.host, self.desk = host, desk
        self.owners = register or owners()
        self._launch = launcher or launch
        self.tracks: list[Track] = []
        self.chosen: set[str] = set()
        self.attached, self.playing, self.waiting_to_run = True, False, False
        self.position, self.pace, self.unit, self.message = 0.0, DEFAULT_PACE, "epoch", ""
        self.drawing = Drawing(host)
        self.beat: Beat | None = None
        self._watchers = Watchers()
        self._signature: tuple[Any, ...] = ()
        self._awake, self.whole = False, True
        self._last_tick, self._last_run = host.now, -math.inf
        self.ticker = host.every(host.tick_s, self.tick)
        host.on_close(self.close)
        desk.watchers.append(self.poke)
        desk.listeners.append(self.change)

    @property
    def pair(self) -> list[Track]:
        """The tracks that the transport plays: A, and B if there is one."""
        return sorted((t for t in self.tracks if t.letter in LETTERS[:2]), key=lambda t: t.letter)

    @property
    def shown(self) -> list[Track]:
        """The tracks in the figures, by letter."""
        visible = {*LETTERS[:2], *self.chosen}
        return sorted((t for t in self.tracks if t.letter in visible), key=lambda t: t.letter)

    @property
    def live(self) -> bool:
        """Whether a run of the pair goes on or waits to."""
        return any(track.active for track in self.pair)

    @property
    def held(self) -> bool:
        """Whether every live run of the pair is paused."""
        return self.live and all(t.run.status == "paused" for t in self.pair if t.active)

    @property
    def moving(self) -> bool:
        """Whether something plays that Pause would hold."""
        return self.playing or (self.live and not self.held)

    @property
    def total(self) -> int:
        """Epochs of the longest of the pair."""
        return max((track.epochs for track in self.pair), default=0)

    @property
    def end(self) -> float:
        """Last epoch that can be shown."""
        return float(max((track.last_epoch for track in self.pair), default=0))

    @property
    def place(self) -> float:
        """Epoch that the scrubber stands at."""
        if not self.attached:
            return self.position
        return float(max((track.epoch for track in self.pair), default=0))

    # --- what a person does -----------------------------------------------------------------

    def run(self) -> None:
        """Start the runs of the desk; those of this session that still go on are stopped."""
        if self.host.now - self._last_run < DOUBLE_CLICK_S:
            return
        self._last_run, self.message = self.host.now, ""
        if self.desk.waiting:
            self.waiting_to_run = True  # the desk is not complete yet: run as soon as it is
            self._go()
            return
        self.start()

    def start(self) -> None:
        """Start the runs of the desk, which is complete."""
        self.waiting_to_run = False
        try:
            slots = self.desk.solvers()
            sizes = self.desk.preflight().sizes or {}
            runs = self._launch(self.desk.problem, [order for _, order in slots], self.pace)
        except MfvizError as error:
            self.fail(str(error))
            return
        self._take(runs, [sizes.get(slot, 0) for slot, _ in slots])

    def stop(self) -> None:
        """Stop the runs of the pair."""
        self.waiting_to_run = False
        for track in self.pair:
            if track.active:
                track.run.stop()
        self._go()

    def toggle(self) -> None:
        """Play or pause: the live runs if there are any, else the replay."""
        if self.held:
            self.attached = True
            self._each(lambda run: run.resume())
        elif self.live:
            self._each(lambda run: run.pause())
        elif self.playing:
            self.playing = False
        else:
            if self.place >= self.end:
                self._seek(0.0)
            self._detach()
            self.playing = True
        self._go()

    def step(self) -> None:
        """Go on by one unit, then pause."""
        if self.live:
            self.attached = True
            self._each(lambda run: run.step(self.unit))
        else:
            self._detach()
            self.playing = False
            self._seek(next_stop(self.pair, self.position, self.unit))
        self._go()

    def back(self, epochs: int = 1) -> None:
        """Show the epoch before; a live run pauses."""
        if self.live and not self.held:
            self._each(lambda run: run.pause())
        self._detach()
        self.playing = False
        self._seek(math.ceil(self.position - 1e-9) - float(epochs))
        self._go()

    def reset(self) -> None:
        """Go back to the start; runs that go on are stopped. The seed stays."""
        self.stop()
        self._detach()
        self.playing = False
        self._seek(0.0)
        self._go()

    def seek(self, epoch: float) -> None:
        """Show the state after ``epoch``; the last one attaches the view to a live run again."""
        if epoch == self.place and (self.attached or epoch == self.position):
            return
        if self.live and epoch >= self.end:
            self.attached = True
            self.drawing.anew()
        else:
            self.playing = False
            self._detach()
            self._seek(epoch)
        self._go()

    def set_pace(self, pace: float) -> None:
        """Set the speed of live runs and replays, in epochs a second."""
        self.pace = pace
        self._each(lambda run: setattr(run, "pace", pace))
        self.poke()

    def change(self, key: Key, value: Any) -> None:
        """Pass an edited learning rate or lambda on to the run that goes on with it."""
        slot, name = key
        chosen = self.desk.settings.solvers.get(slot) if self.desk.settings else None
        for track in self.pair:
            if name in ("lr", "lam") and track.letter == slot and track.active:
                if track.run.solver.key == chosen:
                    track.run.change(name, value)

    def choose(self, letters: Iterable[str]) -> None:
        """Show these earlier runs beside A and B."""
        self.chosen = set(letters)
        self.drawing.anew()
        self._go()

    def fail(self, sentence: str) -> None:
        """Show what went wrong."""
        self.message = sentence
        self.poke()

    def replay(self, recordings: Sequence[Any], *, play: bool = True, demo: bool = False) -> None:
        """Show recorded runs as A and B, from the start.

        Parameters
        ----------
        recordings : sequence of RecordedRun
        play : bool
            Play at once; otherwise the end is shown.
        demo : bool
            They only stand there until something is run.
        """
        self.tracks = [
            Track(letter, Recorded(recording.events), demo=demo)
            for letter, recording in zip(LETTERS, recordings, strict=False)
        ]
        self.attached, self.playing, self.position = False, play, 0.0 if play else math.inf
        for track in self.tracks:
            track.show(self.position)
        self.position = min(self.position, self.end)
        self.drawing.anew()
        self._draw()
        self._go()

    def adopt(self, runs: Sequence[Any]) -> None:
        """Own runs again that another page had started."""
        self._take(runs, [0] * len(runs))

    # --- the ticker -------------------------------------------------------------------------

    def watch(self, callback: Callable[[], None], period: float, *, early: bool = False) -> None:
        """Have ``callback`` called after changes, at most each ``period`` seconds."""
        self._watchers.add(self.host.guard(callback), period, early=early)

    def paint(self) -> None:
        """Repaint everything now; the page is right before it is first shown."""
        self._watchers.call(self.host.now, all_of_them=True)

    def poke(self) -> None:
        """Repaint everything soon."""
        self._signature = ()
        self._go()

    def tick(self) -> None:
        """Move on: pull, show, repaint."""
        now, beat = self.host.now, self.beat if self.whole else None
        rarely = self.live and math.isinf(self.pace)
        if beat and not beat.due(now, rarely=rarely):
            return
        with self.host.hold():
            if beat:
                beat.send(now)
            elapsed, self._last_tick = min(now - self._last_tick, 0.5), now
            if self.whole:
                self.desk.open_when_ready()
                if self.waiting_to_run and not self.desk.waiting:
                    self.start()
            self._advance(elapsed)
            self._draw(rarely=rarely)
            signature = self._state()
            changed, self._signature = signature != self._signature, signature
            if changed or self._busy():
                self._watchers.call(now, all_of_them=changed, whole=self.whole)
            if not self._busy() and not changed:
                self.drawing.settle()
                self.ticker.stop()

    def close(self) -> None:
        """The page is gone: leave the runs to whoever reopens it, for a while."""
        self.owners.release(id(self))
        self.ticker.stop()

    def _advance(self, elapsed: float) -> None:
        if self.attached:
            for track in self.pair:
                track.catch_up()
            return
        for track in self.pair:
            if track.active:
                track.look()
        if not self.playing:
            return
        self.position = min(self.position + elapsed * self.pace, self.end)
        for track in self.pair:
            if track.show(self.position):
                self.drawing.anew()
        if self.position >= self.end:
            self.playing = False

    def _draw(self, *, rarely: bool = False) -> None:
        self.drawing.draw(self.shown, busy=self._busy(), rarely=rarely)

    def _busy(self) -> bool:
        """Whether there will be something to do at the next tick."""
        behind = self.attached and any(not track.at_end for track in self.pair)
        unready = not self.desk.readiness.settled or self.desk.settings is None
        return self.live or self.playing or behind or self.waiting_to_run or unready

    def _state(self) -> tuple[Any, ...]:
        tracks = [(track.letter, track.status) for track in self.tracks]
        ready = self.desk.readiness.words
        return (*tracks, self.attached, self.moving, self.live, ready, self.message)

    def _take(self, runs: Sequence[Any], sizes: Sequence[int]) -> None:
        """Make runs A and B, and the earlier ones C, D, E."""
        for track in self.pair:
            if track.active:
                track.run.stop()
        kept = make_room([t for t in self.tracks if not t.demo], len(runs))
        for track in kept:
            track.show(math.inf)
        fresh = [Track.of_run(*each) for each in zip(LETTERS, runs, sizes, strict=False)]
        self.tracks = [*fresh, *kept]
        self.chosen &= {track.letter for track in kept}
        self.attached, self.playing = True, False
        self.drawing.begin(fresh)
        self.owners.register(runs, id(self))
        self._go()

    def _detach(self) -> None:
        if self.attached:
            self.position = self.place
            self.attached = False

    def _seek(self, epoch: float) -> None:
        self.position = min(max(epoch, 0.0), self.end)
        for track in self.pair:
            if track.show(self.position):
                self.drawing.anew()

    def _each(self, act: Callable[[Any], None]) -> None:
        for track in self.pair:
            if track.active:
                act(track.run)

    def wake(self, whole: bool = True) -> None:
        """Begin to tick: the figures or the ``whole`` page are on the screen; the rest waits."""
        first, self._awake, self.whole = not self._awake, True, self.whole or whole
        self._go()
        if first:
            self._last_tick -= 1.0 / self.pace  # a replay moves at once

    def _go(self) -> None:
        """Make sure that the next tick comes."""
        if self._awake and not self.ticker.running:
            self._last_tick = self.host.now
            self.ticker.start()

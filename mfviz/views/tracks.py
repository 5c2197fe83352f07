"""Tracks: what a page shows of a run, live or recorded, up to a place in its log.

A :class:`Track` owns a cursor into one run's events and a :class:`History` fed up to it. A live
track is fed as its log grows; a replay, a pause in the past and a drag of the scrubber all move
the same cursor. The place is told in epochs, with fractions: 3.5 is half of the events of epoch 4.

Letters: the runs of the last press of Run are always A and B. Earlier ones are kept as C, D and E,
in the colour of their new letter everywhere; when a place is needed, the oldest of them leaves.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol

from mfviz.telemetry.events import Event, Span
from mfviz.telemetry.history import History

__all__ = ["LETTERS", "Recorded", "Source", "Track", "make_room"]

LETTERS = ("A", "B", "C", "D", "E")
BATCH = 20_000  # events taken in one pull, so that a fast run cannot stall the page


class Source(Protocol):
    """Events that can be read by place: an event log has this already."""

    def __len__(self) -> int: ...

    def read(self, cursor: int = 0, limit: int | None = None) -> tuple[list[Event], int]:
        """Return at most ``limit`` events from ``cursor`` on, and the next cursor."""


class Recorded:
    """Events of a run that is over, read from a file."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)

    def __len__(self) -> int:
        return len(self.events)

    def read(self, cursor: int = 0, limit: int | None = None) -> tuple[list[Event], int]:
        """Return at most ``limit`` events from ``cursor`` on, and the next cursor."""
        stop = len(self.events) if limit is None else min(len(self.events), cursor + limit)
        return self.events[cursor:stop], max(stop, cursor)


class Track:
    """One run on the page.

    Parameters
    ----------
    letter : str
        "A" to "E".
    source : Source
        Its events.
    run : Run, optional
        The run itself while it lives in this process.
    title, data, epochs : str, str, int
        Shown before the first event has arrived.
    estimate_bytes : int
        What the memory model predicts, shown until something was measured.
    demo : bool
        It only stands there until something is run.
    """

    def __init__(
        self,
        letter: str,
        source: Source,
        run: Any = None,
        *,
        title: str = "",
        data: str = "",
        epochs: int = 0,
        estimate_bytes: int = 0,
        demo: bool = False,
    ) -> None:
        self.letter = letter
        self.source = source
        self.run = run
        self.demo = demo
        self.history = History()
        self.estimate_bytes = estimate_bytes
        self._title, self._data, self._epochs = title, data, epochs
        self._fed = 0
        self._seen = 0
        self._marks: list[int] = []  # place after the last event of epoch 0, 1, ...
        self._spans: list[int] = []  # places after spans, for steps finer than an epoch

    @classmethod
    def of_run(cls, letter: str, run: Any, estimate_bytes: int = 0) -> Track:
        """Make the track of a run of this process."""
        return cls(
            letter,
            run.log,
            run,
            title=run.solver.title,
            data=run.problem.name,
            epochs=int(run.solver.epochs),
            estimate_bytes=estimate_bytes,
        )

    @property
    def title(self) -> str:
        """Name of the solver."""
        return self.history.title or self._title

    @property
    def data(self) -> str:
        """Name of the data."""
        return self.history.problem or self._data

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return str(self.run.id) if self.run is not None else self.history.run

    @property
    def epochs(self) -> int:
        """Epochs that the run is set to."""
        return int(self.history.params.get("epochs", self._epochs))

    @property
    def epoch(self) -> int:
        """Last epoch that is over, as shown."""
        return self.history.epochs[-1].epoch if self.history.epochs else 0

    @property
    def last_epoch(self) -> int:
        """Last epoch that is over in the log, shown or not."""
        return max(len(self._marks) - 1, 0)

    @property
    def active(self) -> bool:
        """Whether the run still goes on, or waits to."""
        return self.run is not None and bool(self.run.active)

    @property
    def at_end(self) -> bool:
        """Whether all that there is has been shown."""
        return self._fed >= len(self.source)

    @property
    def status(self) -> str:
        """Status as shown: the run's own where the view has caught up with it."""
        if self.run is not None and (self.at_end or self.active):
            return str(self.run.status)
        return self.history.status if self.history.ended else "replay"

    @property
    def reason(self) -> str:
        """Why the run ended as it did."""
        return self.history.reason or (str(self.run.reason) if self.run is not None else "")

    @property
    def fix(self) -> str:
        """A setting worth trying, NAME=VALUE, or nothing."""
        return self.history.fix or (str(self.run.fix) if self.run is not None else "")

    def look(self, limit: int = BATCH) -> None:
        """Note the epochs of events that have arrived, without showing them."""
        events, self._seen = self.source.read(self._seen, limit)
        self._note(events)

    def catch_up(self, limit: int = BATCH) -> None:
        """Show everything that there is, at most ``limit`` events at a time."""
        events, self._fed = self.source.read(self._fed, limit)
        self.history.feed(events)
        if self._fed > self._seen:
            self._note([event for event in events if event.seq >= self._seen])
            self._seen = self._fed

    def show(self, position: float) -> bool:
        """Show the run up to a place.

        Parameters
        ----------
        position : float
            Epochs, with fractions; infinity for everything.

        Returns
        -------
        bool
            True if the view went back, so that figures must be drawn anew.
        """
        while self._seen < len(self.source):
            self.look()
        wanted = self._index(position)
        back = wanted < self._fed
        if back:
            self.history, self._fed = History(), 0
        events, self._fed = self.source.read(self._fed, wanted - self._fed)
        self.history.feed(events)
        return back

    def finer(self, position: float) -> float:
        """Place of the next span after ``position``; the next epoch where there is none."""
        epoch = math.floor(position + 1e-9)
        if epoch + 1 >= len(self._marks):
            return float(self.last_epoch)
        at = bisect_right(self._spans, self._index(position))
        if at >= len(self._spans) or self._spans[at] >= self._marks[epoch + 1]:
            return float(epoch + 1)
        start, stop = self._marks[epoch], self._marks[epoch + 1]
        return epoch + (self._spans[at] - start) / (stop - start)

    def _note(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Span):
                self._spans.append(event.seq + 1)
            elif event.kind in ("epoch-ended", "evaluated"):
                epoch = event.epoch  # type: ignore[attr-defined]
                while len(self._marks) <= epoch:
                    self._marks.append(event.seq + 1)
                self._marks[epoch] = event.seq + 1

    def _index(self, position: float) -> int:
        if not self._marks or position >= self.last_epoch - 1e-9:
            return len(self.source)
        epoch = math.floor(position + 1e-9)
        start, stop = self._marks[epoch], self._marks[epoch + 1]
        return start + round((position - epoch) * (stop - start))


def make_room(tracks: list[Track], count: int) -> list[Track]:
    """Return the earlier tracks that stay when ``count`` new runs take the first letters.

    Parameters
    ----------
    tracks : list of Track
        Oldest last.
    count : int
        1 or 2: new runs.

    Returns
    -------
    list of Track
        With letters from C on; the first letters are free.
    """
    earlier = [track for track in tracks if track.letter in LETTERS[:2]]
    kept = [track for track in tracks if track.letter not in LETTERS[:2]]
    free = [letter for letter in LETTERS[2:] if letter not in {track.letter for track in kept}]
    while len(free) < len(earlier):
        free.append(kept.pop().letter)
    for track, letter in zip(earlier, sorted(free), strict=False):
        track.letter = letter
    return [*earlier, *kept]

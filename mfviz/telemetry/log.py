"""The append-only log of a run: memory first, a file beside it, and cursors for its readers.

One run writes, any number of readers pull with a cursor of their own, so nothing is ever pushed
at a view and nothing is lost to one that sleeps. Past ``limit`` events the oldest leave memory and
are read back from the file.

Writing must be cheap, because it happens between two epochs of a run: spans are taken over as a
batch of numbers and become events when somebody reads them; everything else is one small object.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from mfviz.telemetry.clock import SpanBatch
from mfviz.telemetry.events import Event, Noticed, Span, decode, encode

__all__ = ["EVENTS_FILE", "EventLog"]

EVENTS_FILE = "events.jsonl"
SEGMENT = 4096  # events that leave memory together
Kind = TypeVar("Kind", bound=Event)


class _Segment:
    """Events with consecutive ``seq``: a list, or a batch that becomes one when it is read."""

    __slots__ = ("_batch", "count", "events", "first", "full", "run", "t_ns")

    def __init__(self, run: str, first: int, t_ns: int, batch: SpanBatch | None = None) -> None:
        self.run, self.first, self.t_ns, self._batch = run, first, t_ns, batch
        self.count = 0 if batch is None else len(batch)
        self.full = batch is not None
        self.events: list[Event] = []

    def add(self, event: Event) -> None:
        self.events.append(event)
        self.count += 1
        self.full = self.count >= SEGMENT

    def read(self) -> list[Event]:
        """The events; two readers may build them at once and get equal ones."""
        batch = self._batch
        if batch is not None:
            self.events = [
                Span(run=self.run, seq=seq, t_ns=self.t_ns, **fields)
                for seq, fields in enumerate(batch.fields(), self.first)
            ]
            self._batch = None
        return self.events

    def lines(self) -> list[str]:
        """The events as they are written to a file; a batch is not made into objects for it."""
        if self._batch is not None:
            return self._batch.lines(self.run, self.first, self.t_ns)
        return [encode(event) for event in self.events]


class EventLog:
    """Events of one run.

    Parameters
    ----------
    run : str
        Id of the run, stamped on each event.
    folder : Path, optional
        Run folder to write ``events.jsonl`` into; without it, a file is made only if the log
        outgrows memory.
    limit : int
        Events kept in memory.
    clock : callable, optional
        Nanoseconds of a monotonic clock; ``t_ns`` counts from its value at creation.

    Notes
    -----
    Every event is handed to the system before the call returns, so that a killed process leaves
    all of them behind. If the file can no longer be written (the disk is full), the log says so in
    a notice and goes on in memory.
    """

    def __init__(
        self,
        run: str,
        folder: Path | None = None,
        *,
        limit: int = 1_000_000,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.run = run
        self.folder = folder
        self.origin_ns = clock()
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._length = 0
        self._segments: list[_Segment] = []
        self._firsts: list[int] = []  # seq of the first event of each segment in memory
        self._marks: list[tuple[int, int]] = []  # (seq, byte offset) of some lines of the file
        self._written = 0
        self._path: Path | None = None
        self._file: Any = None
        if folder is not None:
            self._open(folder)

    def __len__(self) -> int:
        return self._length

    def append(self, kind: type[Kind], **fields: Any) -> Kind:
        """Stamp an event with run, seq and time, and append it.

        Parameters
        ----------
        kind : type of Event
        **fields
            The fields of that kind.
        """
        with self._lock:
            event = kind(run=self.run, seq=self._length, t_ns=self._now(), **fields)
            self._add([event])
        return event

    def append_many(self, told: Iterable[tuple[type[Event], dict[str, Any]]]) -> int:
        """Append events of any kinds, ``(kind, fields)``, under one lock; return how many."""
        with self._lock:
            now, first = self._now(), self._length
            fresh = [
                kind(run=self.run, seq=first + at, t_ns=now, **fields)
                for at, (kind, fields) in enumerate(told)
            ]
            self._add(fresh)
        return len(fresh)

    def extend(self, kind: type[Event], rows: Iterable[dict[str, Any]]) -> int:
        """Append many events of one kind under one lock; return how many."""
        return self.append_many((kind, row) for row in rows)

    def append_spans(self, batch: SpanBatch) -> int:
        """Append a batch of spans under one lock; return how many."""
        with self._lock:
            segment = _Segment(self.run, self._length, self._now(), batch)
            self._begin(segment)
            self._length += segment.count
            if self._file is not None:
                self._write(segment.first, segment.lines())
            self._make_room()
        return segment.count

    def read(self, cursor: int = 0, limit: int | None = None) -> tuple[list[Event], int]:
        """Return the events from ``cursor`` on, and the cursor to ask with next time.

        Parameters
        ----------
        cursor : int
            Seq of the first event wanted; 0 for all.
        limit : int, optional
            Most events to return.
        """
        with self._lock:
            stop = self._length if limit is None else min(self._length, cursor + limit)
            base = self._firsts[0] if self._firsts else self._length
            at = max(bisect_right(self._firsts, cursor) - 1, 0)
            segments = self._segments[at:] if stop > cursor else []
        events = self._from_file(cursor, min(base, stop)) if cursor < min(base, stop) else []
        for segment in segments:  # outside the lock: the writer never waits for a reader
            if segment.first >= stop:
                break
            start = max(cursor - segment.first, 0)
            events += segment.read()[start : stop - segment.first]
        return events, max(stop, cursor)

    def close(self) -> None:
        """Close the file; reading goes on."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._limit = 1 << 62

    def _from_file(self, start: int, stop: int) -> list[Event]:
        """Events that have left memory; lines are only ever appended, so no lock is needed."""
        assert self._path is not None
        seq, offset = self._marks[bisect_right(self._marks, (start, 1 << 62)) - 1]
        found: list[Event] = []
        with self._path.open("rb") as lines:
            lines.seek(offset)
            for line in lines:
                if seq >= stop:
                    break
                if seq >= start:
                    found.append(decode(line.decode()))
                seq += 1
        return found

    # --- under the lock --------------------------------------------------------------------

    def _now(self) -> int:
        return self._clock() - self.origin_ns

    def _add(self, fresh: list[Event]) -> None:
        for event in fresh:
            if not self._segments or self._segments[-1].full:
                self._begin(_Segment(self.run, event.seq, event.t_ns))
            self._segments[-1].add(event)
        self._length += len(fresh)
        if self._file is not None and fresh:
            self._write(fresh[0].seq, [encode(event) for event in fresh])
        self._make_room()

    def _begin(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._firsts.append(segment.first)

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / EVENTS_FILE
        self._file = self._path.open("wb")
        weakref.finalize(self, self._file.close).atexit = False

    def _write(self, seq: int, lines: list[str]) -> None:
        """Write through to the file; nothing happens after it was given up."""
        if self._file is None:
            return
        if not self._marks or seq - self._marks[-1][0] >= SEGMENT:
            self._marks.append((seq, self._written))
        data = ("\n".join(lines) + "\n").encode()
        self._written += len(data)
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            self._give_up_the_file(error)

    def _give_up_the_file(self, error: OSError) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._file = None
        self._limit = 1 << 62  # nothing may leave memory any more
        message = f"The run's file could not be written ({error}); the run goes on in memory."
        self._add([
            Noticed(
                run=self.run, seq=self._length, t_ns=self._now(), level="warning", message=message
            )
        ])  # fmt: skip

    def _make_room(self) -> None:
        """Drop the oldest half from memory when it is full; it stays in the file."""
        if not self._firsts or self._length - self._firsts[0] <= self._limit:
            return
        if self._file is None:
            folder = tempfile.mkdtemp(prefix="mfviz-log-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._open(Path(folder))
            for segment in list(self._segments):
                self._write(segment.first, segment.lines())
        if self._limit < 1 << 62:  # the file was written
            drop = bisect_right(self._firsts, self._length - self._limit // 2) - 1
            del self._segments[:drop], self._firsts[:drop]

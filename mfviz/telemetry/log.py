"""The append-only log of a run: memory first, a file beside it, and cursors for its readers.

One run writes, any number of readers pull with a cursor of their own, so nothing is ever pushed at
a view and nothing is lost to one that sleeps. Past ``limit`` events the oldest leave memory and are
read back from the file.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from mfviz.telemetry.events import Event, decode, encode

__all__ = ["EventLog", "EVENTS_FILE"]

EVENTS_FILE = "events.jsonl"
Kind = TypeVar("Kind", bound=Event)


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
        self._events: list[Event] = []
        self._base = 0  # seq of the first event that is still in memory
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._path: Path | None = None
        self._file: Any = None
        if folder is not None:
            self._open(folder)

    def __len__(self) -> int:
        return self._base + len(self._events)

    def append(self, kind: type[Kind], **fields: Any) -> Kind:
        """Stamp an event with run, seq and time, and append it.

        Parameters
        ----------
        kind : type of Event
        **fields
            The fields of that kind.
        """
        with self._lock:
            event = self._stamp(kind, fields)
            self._events.append(event)
            self._write((event,))
        return event

    def extend(self, kind: type[Event], rows: Iterable[dict[str, Any]]) -> int:
        """Append many events of one kind under one lock; return how many."""
        with self._lock:
            first = len(self)
            fresh: list[Event] = []
            for offset, row in enumerate(rows):
                fresh.append(
                    kind(run=self.run, seq=first + offset, t_ns=self._now(), **row)
                )
            self._events.extend(fresh)
            self._write(fresh)
        return len(fresh)

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
            stop = len(self) if limit is None else min(len(self), cursor + limit)
            early = self._from_file(cursor, min(stop, self._base)) if cursor < self._base else []
            late = self._events[max(cursor - self._base, 0) : max(stop - self._base, 0)]
        return [*early, *late], max(stop, cursor)

    def close(self) -> None:
        """Flush and close the file; reading goes on."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _now(self) -> int:
        return self._clock() - self.origin_ns

    def _stamp(self, kind: type[Kind], fields: dict[str, Any]) -> Kind:
        return kind(run=self.run, seq=len(self), t_ns=self._now(), **fields)

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / EVENTS_FILE
        self._file = self._path.open("w", encoding="utf-8")

    def _write(self, fresh: Iterable[Event]) -> None:
        """Write through to the file, so that a killed process leaves every event behind."""
        if self._file is not None:
            self._file.writelines(encode(event) + "\n" for event in fresh)
            self._file.flush()
        if len(self._events) > self._limit:
            self._spill()

    def _spill(self) -> None:
        """Drop the oldest half from memory; it stays in the file."""
        if self._path is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="mfviz-log-")
            self._open(Path(self._scratch.name))
            self._file.writelines(encode(event) + "\n" for event in self._events)
            self._file.flush()
        drop = len(self._events) // 2
        del self._events[:drop]
        self._base += drop

    def _from_file(self, start: int, stop: int) -> list[Event]:
        assert self._path is not None
        found: list[Event] = []
        with self._path.open(encoding="utf-8") as lines:
            for seq, line in enumerate(lines):
                if seq >= stop:
                    break
                if seq >= start:
                    found.append(decode(line))
        return found

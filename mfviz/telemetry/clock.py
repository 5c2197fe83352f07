"""Spans written inside the kernels: preallocated rows that are read between calls.

A kernel stamps a span with ``kernels.simd.clock_ns`` (the clock of ``time.monotonic_ns``) and
writes one row of :data:`FIELDS` into its worker's part of the buffer; nothing is allocated and no
lock is taken, so a span costs some 50 ns. The columns here are the one definition of that row; the
kernels' side is ``kernels/spans.py``, and a test holds the two together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.telemetry.events import OPS, REASONS

__all__ = ["CAPACITY", "FIELDS", "OVERFLOW", "SpanBatch", "SpanBuffer"]

CAPACITY = 8192  # spans of a lane, as a rule
OVERFLOW = "spans found no room and are missing"  # part of the notice that says so
WAIT = OPS.index("wait")
FIELDS = ("start", "end", "op", "ratings", "row", "col", "reason", "tag", "bytes")


@dataclass(frozen=True, eq=False)
class SpanBatch:
    """Spans that were taken out together, kept as numbers until somebody looks at them.

    Attributes
    ----------
    rows : (spans, 9) int64
        As in :class:`SpanBuffer`, but times count from the log's origin.
    workers : (spans,) int64
        Lane of each, as a position in ``lanes``.
    epoch : int
    names : tuple of str
        Names by tag.
    lanes : tuple of str
        Names by lane.
    clock : str
        What the times were read from: "host" or "cuda-events".
    """

    rows: npt.NDArray[np.int64]
    workers: npt.NDArray[np.int64]
    epoch: int
    names: tuple[str, ...]
    lanes: tuple[str, ...]
    clock: str = "host"

    def __len__(self) -> int:
        return len(self.rows)

    def without(self, stops: Sequence[tuple[int, int]]) -> SpanBatch:
        """Cut stops of the whole run out of the waits that began before and ended after them.

        Parameters
        ----------
        stops : sequence of (int, int)
            Start and end, counted as the rows' times are. A worker that had found nothing to do
            and waits for the others stands still in a pause like everybody, and that is no wait.
        """
        rows, workers = self.rows.copy(), self.workers
        for start, end in stops:
            cut = (rows[:, 2] == WAIT) & (rows[:, 0] < start) & (rows[:, 1] > end)
            rest = rows[cut]
            rest[:, 0] = end
            rows[cut, 1] = start
            rows, workers = np.concatenate([rows, rest]), np.append(workers, workers[cut])
        return SpanBatch(rows, workers, self.epoch, self.names, self.lanes, self.clock)

    def fields(self) -> Iterator[dict[str, Any]]:
        """The spans as fields of :class:`~mfviz.telemetry.events.Span`."""
        for worker, (start, end, op, ratings, row, col, reason, tag, size) in zip(
            self.workers.tolist(), self.rows.tolist(), strict=True
        ):
            yield {
                "lane": self.lanes[worker],
                "op": OPS[op],
                "name": self.names[tag],
                "start_ns": start,
                "end_ns": end,
                "bytes": size,
                "ratings": ratings,
                "epoch": self.epoch,
                "block": "" if row < 0 else f"{row},{col}",
                "reason": REASONS[reason],
                "clock": self.clock,
            }

    def lines(self, run: str, first: int, t_ns: int) -> list[str]:
        """The spans as lines of a run file, equal to those of ``events.encode`` but cheaper.

        Parameters
        ----------
        run : str
        first : int
            ``seq`` of the first span.
        t_ns : int
        """
        head = f'{{"event": "span", "run": {json.dumps(run)}, "seq": '
        names = [json.dumps(name) for name in self.names]
        lanes = [json.dumps(name) for name in self.lanes]
        found = []
        for seq, (worker, (start, end, op, ratings, row, col, reason, tag, size)) in enumerate(
            zip(self.workers.tolist(), self.rows.tolist(), strict=True), first
        ):
            block = "" if row < 0 else f"{row},{col}"
            found.append(
                f'{head}{seq}, "t_ns": {t_ns}, "lane": {lanes[worker]}, "op": "{OPS[op]}", '
                f'"name": {names[tag]}, "start_ns": {start}, "end_ns": {end}, "bytes": {size}, '
                f'"ratings": {ratings}, "epoch": {self.epoch}, "block": "{block}", '
                f'"reason": "{REASONS[reason]}", "clock": "{self.clock}"}}'
            )
        return found


@dataclass
class SpanBuffer:
    """Room for the spans of every lane between two reads.

    Attributes
    ----------
    rows : (lanes, capacity, 9) int64
        A row a span, columns as in :data:`FIELDS`; times of ``time.monotonic_ns``. ``row`` and
        ``col`` name a block (-1: none); ``tag`` indexes the names given to :meth:`drain`.
    fill : (lanes, 8) int64
        Column 0: rows written; column 1: rows that found no room. The rest keeps the counters of
        two workers off one cache line.
    lanes : tuple of str
        Name of each lane.
    clock : str
        What the times are read from: "host", or "cuda-events" where a device's events were.
    """

    rows: npt.NDArray[np.int64]
    fill: npt.NDArray[np.int64]
    lanes: tuple[str, ...]
    clock: str = "host"

    @classmethod
    def make(
        cls, lanes: int | Sequence[str], capacity: int = CAPACITY, clock: str = "host"
    ) -> SpanBuffer:
        """Allocate a buffer.

        Parameters
        ----------
        lanes : int or sequence of str
            Names of the lanes, or a number of workers, whose lanes are called W0, W1, ...
        capacity : int
            Spans of a lane.
        clock : str
            See the attribute.
        """
        names = tuple(f"W{w}" for w in range(lanes)) if isinstance(lanes, int) else tuple(lanes)
        return cls(
            np.zeros((len(names), capacity, len(FIELDS)), dtype=np.int64),
            np.zeros((len(names), 8), dtype=np.int64),
            names,
            clock,
        )

    @property
    def of_workers(self) -> bool:
        """Whether lane ``w`` is that of worker ``w`` (and not of a stream)."""
        return self.lanes[0] == "W0"

    @property
    def dropped(self) -> int:
        """Spans that found no room since the last :meth:`drain`."""
        return int(self.fill[:, 1].sum())

    @property
    def half_full(self) -> bool:
        """Whether a lane has used half of its room, so that it is time to read."""
        return bool(2 * self.fill[:, 0].max() >= self.rows.shape[1])

    def add(
        self,
        worker: int,
        start_ns: int,
        end_ns: int,
        *,
        op: str = "kernel",
        ratings: int = 0,
        block: tuple[int, int] = (-1, -1),
        reason: str = "",
        tag: int = 0,
        size: int = 0,
    ) -> None:
        """Write a span from Python (a wait at a barrier); for the lane's own thread only."""
        at = int(self.fill[worker, 0])
        if at == self.rows.shape[1]:
            self.fill[worker, 1] += 1
            return
        self.rows[worker, at] = (
            start_ns, end_ns, OPS.index(op), ratings, *block, REASONS.index(reason), tag, size
        )  # fmt: skip
        self.fill[worker, 0] = at + 1

    def take(self, origin_ns: int, epoch: int, names: tuple[str, ...]) -> SpanBatch | None:
        """Take the spans out as one batch of numbers, which costs next to nothing.

        Parameters
        ----------
        origin_ns : int
            The log's origin, subtracted from the times.
        epoch : int
            Epoch that they belong to.
        names : tuple of str
            Names by tag.

        Returns
        -------
        SpanBatch or None
            None if nothing was written.

        Raises
        ------
        ValueError
            If a tag has no name.

        Notes
        -----
        Call it only while no worker writes. Spans come lane by lane, each in the order written.
        """
        counts = self.fill[:, 0].tolist()
        self.fill[:] = 0
        if not any(counts):
            return None
        rows = np.concatenate([self.rows[w, :count] for w, count in enumerate(counts)])
        rows[:, :2] -= origin_ns
        if int(rows[:, 7].max()) >= len(names):
            raise ValueError(f"a span has tag {rows[:, 7].max()}, but there are names {names}")
        lanes = np.repeat(np.arange(len(counts)), counts)
        return SpanBatch(rows, lanes, epoch, names, self.lanes, self.clock)

    def drain(
        self, origin_ns: int, epoch: int, names: tuple[str, ...]
    ) -> Iterator[dict[str, Any]]:
        """Take the spans out, as fields of :class:`~mfviz.telemetry.events.Span`.

        Parameters
        ----------
        origin_ns : int
            The log's origin, subtracted from the times.
        epoch : int
            Epoch that they belong to.
        names : tuple of str
            Names by tag.

        Notes
        -----
        Call it only while no worker writes. Spans come lane by lane, each in the order written.
        """
        batch = self.take(origin_ns, epoch, names)
        if batch is not None:
            yield from batch.fields()

    @staticmethod
    def now_ns() -> int:
        """The clock of the spans."""
        return time.monotonic_ns()

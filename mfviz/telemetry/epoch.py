"""What happened in one epoch of a run: time of every lane by what it was spent on, bytes, rates.

All sums are exact, in nanoseconds. The length of an epoch is the solve time that the run's clock
counted, so that the time of a lane is its work, its waits, and the rest: host code between calls,
of which no lane has a span.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mfviz.telemetry.events import Span
from mfviz.telemetry.history import STOPS, History
from mfviz.telemetry.overlap import COPIES, Overlap, Together, overlap, together

__all__ = ["BETWEEN", "EpochFacts", "EpochSpans", "epoch_facts", "within"]

BETWEEN = "between"  # reason of idle time of which there is no span


class EpochSpans:
    """Spans of one run by epoch, followed at a cost that does not grow with the log."""

    def __init__(self) -> None:
        self._seen = 0
        self._found: dict[int, list[Span]] = defaultdict(list)

    def follow(self, history: History) -> None:
        """Take in what was appended; stops that the run imposed belong to no epoch."""
        if len(history.spans) < self._seen:  # scrubbed back
            self._seen = 0
            self._found.clear()
        for span in history.spans[self._seen :]:
            if span.reason not in STOPS and span.epoch > 0:
                self._found[span.epoch].append(span)
        self._seen = len(history.spans)

    def of(self, epoch: int) -> Sequence[Span]:
        """Spans of an epoch, in the order of the log."""
        return self._found.get(epoch, ())


@dataclass(frozen=True, slots=True)
class EpochFacts:
    """Sums over an epoch.

    Attributes
    ----------
    epoch : int
    lanes : tuple of str
        All lanes of the run.
    solve_ns : int
        Length of the epoch: its solve time, without evaluation and pauses.
    work_ns : dict of str to int
        Time at work, by lane.
    waits_ns : dict of str to int
        Idle time of all lanes by reason; :data:`BETWEEN` is what no span tells of.
    ops_ns : dict of str to int
        Time at work by kind of operation, all lanes together.
    overlap : Overlap
    together : Together
    ratings, copied_bytes : int
        Visited by kernels; moved by copies.
    """

    epoch: int
    lanes: tuple[str, ...]
    solve_ns: int
    work_ns: dict[str, int]
    waits_ns: dict[str, int]
    ops_ns: dict[str, int]
    overlap: Overlap
    together: Together
    ratings: int
    copied_bytes: int

    @property
    def kernel_ns(self) -> int:
        """Time in which any kernel ran."""
        return self.overlap.compute_ns

    @property
    def copy_ns(self) -> int:
        """Time in which anything was copied."""
        return self.overlap.copy_ns

    @property
    def busy_ns(self) -> int:
        """Time in which any lane worked."""
        return self.together.busy_ns

    @property
    def lane_ns(self) -> int:
        """Time of all lanes: lanes times the length of the epoch."""
        return len(self.lanes) * self.solve_ns

    @property
    def idle_ns(self) -> int:
        """Time of all lanes without work."""
        return max(self.lane_ns - sum(self.work_ns.values()), 0)

    @property
    def idle_share(self) -> float:
        """Share of the time of all lanes without work; NaN without any."""
        return self.idle_ns / self.lane_ns if self.lane_ns else float("nan")

    def idle_share_of(self, lane: str) -> float:
        """Share of the epoch in which a lane did no work."""
        if not self.solve_ns:
            return float("nan")
        return max(1.0 - self.work_ns.get(lane, 0) / self.solve_ns, 0.0)

    @property
    def nothing_share(self) -> float:
        """Share of the epoch in which no lane worked; NaN without solve time."""
        if not self.solve_ns:
            return float("nan")
        return max(1.0 - self.busy_ns / self.solve_ns, 0.0)

    @property
    def per_second_in_kernels(self) -> float:
        """Ratings visited a second of the time in which a kernel ran."""
        return 1e9 * self.ratings / self.kernel_ns if self.kernel_ns else float("nan")

    @property
    def per_second(self) -> float:
        """Ratings visited a second of the epoch."""
        return 1e9 * self.ratings / self.solve_ns if self.solve_ns else float("nan")

    @property
    def copied_per_second(self) -> float:
        """Bytes copied a second of the time in which something was copied."""
        return 1e9 * self.copied_bytes / self.copy_ns if self.copy_ns else float("nan")


def epoch_facts(
    epoch: int, lanes: Sequence[str], solve_ns: int, spans: Sequence[Span]
) -> EpochFacts:
    """Add up an epoch.

    Parameters
    ----------
    epoch : int
    lanes : sequence of str
        All lanes of the run; one without a span was idle throughout.
    solve_ns : int
        Solve time of the epoch.
    spans : sequence of Span
        Of this epoch, without the stops that the run imposed.
    """
    work: dict[str, int] = defaultdict(int)
    waits: dict[str, int] = defaultdict(int)
    ops: dict[str, int] = defaultdict(int)
    ratings = copied = 0
    for span in spans:
        length = span.end_ns - span.start_ns
        if span.op == "wait":
            waits[span.reason or "wait"] += length
            continue
        work[span.lane] += length
        ops[span.op] += length
        ratings += span.ratings if span.op == "kernel" else 0
        copied += span.bytes if span.op in COPIES else 0
    rest = len(lanes) * solve_ns - sum(work.values()) - sum(waits.values())
    if rest > 0:
        waits[BETWEEN] = rest
    return EpochFacts(
        epoch, tuple(lanes), solve_ns, dict(work), dict(waits), dict(ops), overlap(spans),
        together(spans), ratings, copied,
    )  # fmt: skip


def within(spans: Sequence[Span], start_ns: int, end_ns: int) -> dict[str, tuple[int, int, int]]:
    """Add up what lies between two times, cutting spans at the edges.

    Parameters
    ----------
    spans : sequence of Span
    start_ns, end_ns : int
        Recorded time.

    Returns
    -------
    dict of str to (int, int, int)
        By kind of operation, waits too: ns, ratings and bytes; of a span that is cut, the part in
        proportion to its time.
    """
    sums: dict[str, list[float]] = {}
    for span in spans:
        inside = min(span.end_ns, end_ns) - max(span.start_ns, start_ns)
        if inside <= 0:
            continue
        part = inside / (span.end_ns - span.start_ns)
        found = sums.setdefault(span.op, [0.0, 0.0, 0.0])
        found[0] += inside
        found[1] += part * span.ratings
        found[2] += part * span.bytes
    return {op: (round(a), round(b), round(c)) for op, (a, b, c) in sums.items()}

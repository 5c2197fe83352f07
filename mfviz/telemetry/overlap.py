"""How much copying was hidden under computing: measured intervals, added up exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mfviz.telemetry.events import Span

__all__ = ["COPIES", "Overlap", "Together", "overlap", "together", "union_ns"]

Interval = tuple[int, int]
COPIES = ("h2d", "d2h")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Times in which something was copied, something was computed, and both.

    Attributes
    ----------
    copy_ns, compute_ns, both_ns : int
        Each moment counts once, however many lanes are busy in it.
    """

    copy_ns: int
    compute_ns: int
    both_ns: int

    @property
    def share(self) -> float:
        """Share of the smaller of the two that the other one hid; NaN where one did not happen."""
        smaller = min(self.copy_ns, self.compute_ns)
        return self.both_ns / smaller if smaller else float("nan")


def overlap(spans: Iterable[Span]) -> Overlap:
    """Measure the overlap of copies and kernels.

    Parameters
    ----------
    spans : iterable of Span
        Of all lanes; leave the first copy out to judge a pipeline that has filled.
    """
    copies: list[Interval] = []
    kernels: list[Interval] = []
    for span in spans:
        if span.op in COPIES:
            copies.append((span.start_ns, span.end_ns))
        elif span.op == "kernel":
            kernels.append((span.start_ns, span.end_ns))
    copy, compute = union_ns(copies), union_ns(kernels)
    return Overlap(copy, compute, copy + compute - union_ns([*copies, *kernels]))


@dataclass(frozen=True, slots=True)
class Together:
    """Times in which lanes worked, and in which several of them did.

    Attributes
    ----------
    busy_ns, several_ns : int
        Time with at least one lane at work, and with at least two; each moment counts once.
    """

    busy_ns: int
    several_ns: int

    @property
    def share(self) -> float:
        """Share of the busy time in which lanes worked side by side; NaN without work."""
        return self.several_ns / self.busy_ns if self.busy_ns else float("nan")


def together(spans: Iterable[Span]) -> Together:
    """Measure how long lanes worked side by side: what streams that copy nothing can overlap.

    Parameters
    ----------
    spans : iterable of Span
        Of all lanes; waits are no work. Spans of one lane do not overlap.
    """
    edges = []
    for span in spans:
        if span.op != "wait" and span.end_ns > span.start_ns:
            edges += [(span.start_ns, 1), (span.end_ns, -1)]
    busy = several = depth = since = 0
    for at, step in sorted(edges):
        busy += at - since if depth else 0
        several += at - since if depth > 1 else 0
        depth, since = depth + step, at
    return Together(busy, several)


def union_ns(intervals: Sequence[Interval]) -> int:
    """Length of the union of intervals (start, end)."""
    total, reached = 0, None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            total, reached = total + end - start, end
        elif end > reached:
            total, reached = total + end - reached, end
    return total

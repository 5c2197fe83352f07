"""How much copying was hidden under computing: measured intervals, added up exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mfviz.telemetry.events import Span

__all__ = ["Overlap", "overlap", "union_ns"]

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


def union_ns(intervals: Sequence[Interval]) -> int:
    """Length of the union of intervals (start, end)."""
    total, reached = 0, None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            total, reached = total + end - start, end
        elif end > reached:
            total, reached = total + end - reached, end
    return total

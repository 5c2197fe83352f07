"""Injected spans of a known overlap give exactly that number."""

from __future__ import annotations

import math

import pytest

from mfviz.telemetry.events import Span
from mfviz.telemetry.overlap import overlap, together, union_ns


def span(op: str, start: int, end: int, lane: str = "stream M") -> Span:
    return Span(run="r", seq=0, t_ns=0, lane=lane, op=op, name="x", start_ns=start, end_ns=end)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([("h2d", 0, 10), ("kernel", 10, 30)], (10, 20, 0)),
        ([("h2d", 0, 10), ("kernel", 5, 30)], (10, 25, 5)),
        ([("h2d", 0, 10), ("h2d", 20, 30), ("kernel", 0, 100)], (20, 100, 20)),
        # two kernels at once hide a copy once; two copies at once are one time
        ([("kernel", 0, 50), ("kernel", 10, 60), ("h2d", 40, 70), ("d2h", 40, 70)], (30, 60, 20)),
        ([("wait", 0, 99), ("kernel", 0, 9), ("host", 3, 4)], (0, 9, 0)),
        ([], (0, 0, 0)),
    ],
)
def test_known_overlaps(spans: list[tuple[str, int, int]], expected: tuple[int, int, int]) -> None:
    found = overlap(span(*s, lane=f"lane {at}") for at, s in enumerate(spans))
    assert (found.copy_ns, found.compute_ns, found.both_ns) == expected
    smaller = min(expected[:2])
    assert found.share == expected[2] / smaller if smaller else math.isnan(found.share)


def test_unions_count_a_moment_once() -> None:
    assert union_ns([(0, 4), (2, 3), (4, 6), (9, 10)]) == 7
    assert union_ns([(5, 5)]) == 0


@pytest.mark.parametrize(
    ("spans", "busy", "several"),
    [
        ([("kernel", 0, 100), ("kernel", 50, 150)], 150, 50),
        ([("kernel", 0, 100), ("kernel", 100, 200)], 200, 0),  # one after the other
        ([("kernel", 0, 100), ("h2d", 20, 40), ("kernel", 30, 50)], 100, 30),
        ([("kernel", 0, 10), ("wait", 0, 10), ("kernel", 4, 4)], 10, 0),
        ([], 0, 0),
    ],
)
def test_lanes_side_by_side(spans: list[tuple[str, int, int]], busy: int, several: int) -> None:
    found = together(span(*s, lane=f"lane {at}") for at, s in enumerate(spans))
    assert (found.busy_ns, found.several_ns) == (busy, several)
    assert found.share == several / busy if busy else math.isnan(found.share)

"""Sums over an epoch are exact, and account for every nanosecond of every lane."""

from __future__ import annotations

from typing import Any

import pytest

from mfviz.telemetry.epoch import BETWEEN, EpochSpans, epoch_facts, within
from mfviz.telemetry.events import Span
from tests.fakes import make_history

LANES = ("stream M", "stream N", "copy stream")


def span(lane: str, op: str, start: int, end: int, **more: Any) -> Span:
    base: dict[str, Any] = {"run": "r", "seq": 0, "t_ns": 0, "name": "x", "epoch": 1}
    return Span(lane=lane, op=op, start_ns=start, end_ns=end, **(base | more))


SPANS = [
    span("copy stream", "h2d", 0, 40, bytes=400),
    span("stream M", "wait", 0, 20, reason="transfer"),
    span("stream M", "kernel", 20, 80, ratings=600),
    span("stream N", "wait", 0, 50, reason="barrier"),
    span("stream N", "kernel", 50, 100, ratings=500),
]


def test_every_nanosecond_is_accounted_for() -> None:
    facts = epoch_facts(1, LANES, 120, SPANS)
    assert facts.work_ns == {"copy stream": 40, "stream M": 60, "stream N": 50}
    assert facts.waits_ns == {"transfer": 20, "barrier": 50, BETWEEN: 3 * 120 - 150 - 70}
    assert sum(facts.work_ns.values()) + sum(facts.waits_ns.values()) == facts.lane_ns == 360
    assert facts.idle_ns == 210
    assert facts.idle_share == pytest.approx(210 / 360)
    assert facts.idle_share_of("stream M") == pytest.approx(0.5)
    assert facts.nothing_share == pytest.approx(20 / 120)


def test_overlap_rates_and_bytes() -> None:
    facts = epoch_facts(1, LANES, 120, SPANS)
    assert facts.overlap.share == 0.5  # 20 of 40 ns of copying lie beside a kernel
    assert (facts.together.busy_ns, facts.together.several_ns) == (100, 20 + 30)
    assert (facts.ratings, facts.copied_bytes) == (1100, 400)
    assert facts.per_second_in_kernels == pytest.approx(1100 / 80e-9)
    assert facts.per_second == pytest.approx(1100 / 120e-9)
    assert facts.copied_per_second == pytest.approx(400 / 40e-9)


def test_a_selection_cuts_spans_in_proportion() -> None:
    assert within(SPANS, 30, 60) == {
        "h2d": (10, 0, 100), "kernel": (30 + 10, 300 + 100, 0), "wait": (20, 0, 0)
    }  # fmt: skip
    assert within(SPANS, 500, 600) == {}


def test_spans_are_followed_by_epoch_without_the_stops_of_the_run() -> None:
    history, found = make_history(epochs=3), EpochSpans()
    found.follow(history)
    assert {s.epoch for s in found.of(2)} == {2}
    assert not any(s.reason in ("evaluate", "pause") for s in found.of(2))
    count = len(found.of(2))
    found.follow(history)
    assert len(found.of(2)) == count
    found.follow(make_history(epochs=1))  # scrubbed back: fewer spans than were seen
    assert not found.of(2)
    assert found.of(1)

"""Rectangles of an epoch: true lengths, joined where there are too many, lanes by their kind."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mfviz.plots.epoch import EpochBoxes, duration_text, lane_words, rate_text
from mfviz.telemetry.events import Span

MS = 1_000_000


def span(start, end, lane="W0", op="kernel", **more):
    base: dict[str, Any] = {"run": "r", "seq": 0, "t_ns": 0, "name": "update", "epoch": 1}
    return Span(lane=lane, op=op, start_ns=start, end_ns=end, **(base | more))


def test_times_count_from_the_start_and_a_pause_takes_no_room():
    drawn = EpochBoxes([span(100 * MS, 103 * MS), span(500 * MS, 502 * MS)])
    assert [edge for b in drawn.boxes for edge in (b.left, b.right)] == pytest.approx([0, 3, 3, 5])
    assert drawn.length == pytest.approx(5)
    assert drawn.recorded_ns(4.0) == pytest.approx(501 * MS)
    assert EpochBoxes([]).boxes == []


def test_too_many_are_joined_and_counted():
    spans = [
        span(at * 1000, at * 1000 + 900, op=("kernel", "host")[at % 2], ratings=3, bytes=2)
        for at in range(1000)
    ]
    drawn = EpochBoxes(spans, most=50)
    assert len(drawn.boxes) <= 50
    assert sum(b.count for b in drawn.boxes) == 1000
    assert sum(b.span.ratings for b in drawn.boxes) == 3000
    assert drawn.merged > 0
    assert "×" in drawn.boxes[0].lines()[0]
    assert EpochBoxes(spans).merged == 0


def test_facts_of_a_box_in_words():
    (work,) = EpochBoxes([span(0, 2 * MS, ratings=1000, block="1,2")]).boxes
    assert work.lines() == (
        "kernel update, block 1,2", "2 ms from 0 ms", "1,000 ratings, 500 k updates/s",
        "measured, host clock",
    )  # fmt: skip
    copy = dataclasses.replace(
        work.span, op="h2d", ratings=0, bytes=6_000_000, clock="cuda-events", lane="copy stream",
        name="batch of users",
    )  # fmt: skip
    title, _, moved, clock = EpochBoxes([copy]).boxes[0].lines()
    assert (title, moved) == ("h2d batch of users: 1", "6.0 MB, 3 GB/s")
    assert clock == "measured, CUDA events"
    model = EpochBoxes([dataclasses.replace(copy, clock="model")]).boxes[0]
    assert (model.layer, model.lines()[3]) == ("modelled", "modelled")
    wait = EpochBoxes([span(0, MS, op="wait", reason="transfer")]).boxes[0]
    assert (wait.layer, wait.lines()[0]) == ("wait", "wait: copy")


@pytest.mark.parametrize(
    ("lane", "backend", "words"),
    [
        ("stream M (CPU)", "cpu", ("stream M", "users · CPU lane")),
        ("copy stream (CPU)", "cpu", ("copy stream", "CPU lane")),
        ("W3", "cpu", ("W3", "CPU lane")),
        ("stream N", "cuda", ("stream N", "items · CUDA stream")),
        ("copy stream", "cuda", ("copy stream", "copy engine")),
    ],
)
def test_every_lane_of_the_cpu_says_so(lane, backend, words):
    assert lane_words(lane, backend) == words


def test_times_and_rates_have_the_unit_that_suits_them():
    texts = [duration_text(ms) for ms in (0.0, 0.0005, 0.25, 3.456, 999.4, 2500.0)]
    assert texts == ["0 ms", "0.5 µs", "250 µs", "3.46 ms", "999 ms", "2.5 s"]
    assert [rate_text(r) for r in (5.0, 4.5e4, 4.5e7, 1.78e9)] == ["5", "45 k", "45 M", "1.78 G"]

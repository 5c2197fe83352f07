from __future__ import annotations

import numpy as np
import pytest

from mfviz.telemetry.clock import FIELDS, SpanBuffer
from mfviz.telemetry.events import Span


def test_spans_come_lane_by_lane_with_words_for_codes() -> None:
    spans = SpanBuffer.make(2)
    spans.add(1, 1_000, 1_500, ratings=7, block=(2, 3))
    spans.add(0, 1_200, 1_300, op="wait", reason="barrier", tag=1)
    found = list(spans.drain(1_000, epoch=4, names=("update", "barrier")))
    assert found == [
        {"lane": "W0", "op": "wait", "name": "barrier", "start_ns": 200, "end_ns": 300,
         "bytes": 0, "ratings": 0, "epoch": 4, "block": "", "reason": "barrier", "clock": "host"},
        {"lane": "W1", "op": "kernel", "name": "update", "start_ns": 0, "end_ns": 500,
         "bytes": 0, "ratings": 7, "epoch": 4, "block": "2,3", "reason": "", "clock": "host"},
    ]  # fmt: skip
    assert all(Span(run="r", seq=0, t_ns=0, **row).clock == "host" for row in found)
    assert list(spans.drain(0, 0, ("update",))) == []


def test_lanes_have_names_copies_have_bytes_and_a_buffer_has_one_clock() -> None:
    spans = SpanBuffer.make(("stream M", "stream N"), clock="cuda-events")
    spans.add(1, 5, 9, op="h2d", size=1200)
    (span,) = spans.drain(0, 1, ("batch",))
    assert (span["lane"], span["op"], span["bytes"]) == ("stream N", "h2d", 1200)
    assert span["clock"] == "cuda-events"
    assert not spans.of_workers
    assert SpanBuffer.make(2).of_workers


def test_taking_spans_leaves_the_buffer_free_for_new_ones() -> None:
    spans = SpanBuffer.make(1, capacity=2)
    spans.add(0, 1, 2)
    taken = spans.take(0, 1, ("update",))
    spans.add(0, 5, 6)
    assert taken is not None
    assert [row["start_ns"] for row in taken.fields()] == [1]
    assert spans.take(0, 1, ("update",)) is not None
    assert spans.take(0, 1, ("update",)) is None


def test_what_finds_no_room_is_counted() -> None:
    spans = SpanBuffer.make(2, capacity=4)
    half_full = []
    for at in range(6):
        half_full.append(spans.half_full)
        spans.add(1, at, at + 1)
    assert half_full == [False, False, True, True, True, True]
    assert spans.dropped == 2
    assert len(list(spans.drain(0, 0, ("update",)))) == 4
    assert spans.dropped == 0


def test_pauses_are_cut_out_of_waits_that_go_on_through_them() -> None:
    spans = SpanBuffer.make(2)
    spans.add(0, 0, 50)
    spans.add(1, 10, 100, op="wait", reason="barrier")
    spans.add(1, 100, 110, op="wait", reason="barrier")
    batch = spans.take(0, 1, ("update",))
    assert batch is not None
    found = [
        (row["lane"], row["op"], row["start_ns"], row["end_ns"])
        for row in batch.without([(20, 30), (60, 90)]).fields()
    ]
    assert sorted(found) == [
        ("W0", "kernel", 0, 50),
        ("W1", "wait", 10, 20), ("W1", "wait", 30, 60), ("W1", "wait", 90, 100),
        ("W1", "wait", 100, 110),
    ]  # fmt: skip
    assert len(batch) == 3


def test_a_tag_without_a_name_is_refused_when_it_is_written_not_when_it_is_read() -> None:
    spans = SpanBuffer.make(1)
    spans.add(0, 0, 1, tag=1)
    with pytest.raises(ValueError, match="tag 1"):
        spans.take(0, 0, ("update",))


def test_the_kernels_write_the_row_that_is_read_here() -> None:
    import numba

    from mfviz.kernels import spans as twin

    write_span = numba.njit(lambda rows, fill, *span: twin.write_span(rows, fill, *span))
    from mfviz.telemetry.events import OPS, REASONS

    assert (OPS[twin.KERNEL], OPS[twin.HOST], OPS[twin.WAIT]) == ("kernel", "host", "wait")
    reasons = (twin.NO_REASON, twin.BARRIER, twin.NO_FREE_BLOCK)
    assert [REASONS[code] for code in reasons] == ["", "barrier", "no-free-block"]
    here, there = SpanBuffer.make(1, capacity=1), SpanBuffer.make(1, capacity=1)
    for _ in range(2):
        here.add(0, 10, 20, op="wait", ratings=3, block=(4, 5), reason="no-free-block", tag=1)
        write_span(there.rows, there.fill, 0, 10, 20, twin.WAIT, 3, 4, 5, twin.NO_FREE_BLOCK, 1)
    assert np.array_equal(here.rows, there.rows)
    assert np.array_equal(here.fill, there.fill)
    assert here.rows.shape[2] == len(FIELDS)

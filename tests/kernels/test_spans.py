"""The kernels' side of the spans is the mirror of the telemetry's side."""

from __future__ import annotations

import numba

from mfviz.kernels import spans
from mfviz.telemetry.clock import FIELDS, SpanBuffer
from mfviz.telemetry.events import OPS, REASONS


@numba.njit
def write_span(rows, fill, *span):
    """As a kernel does."""
    spans.write_span(rows, fill, *span)


def test_codes_are_positions_in_the_tables_of_the_events():
    assert OPS[spans.KERNEL] == "kernel"
    assert OPS[spans.HOST] == "host"
    assert OPS[spans.WAIT] == "wait"
    assert REASONS[spans.NO_REASON] == ""
    assert REASONS[spans.BARRIER] == "barrier"
    assert REASONS[spans.NO_FREE_BLOCK] == "no-free-block"


def test_columns_are_those_that_are_read_back():
    buffer = SpanBuffer.make(2, capacity=4)
    buffer.rows[:] = 5  # what a span before left behind
    row = (100, 250, spans.KERNEL, 7, 1, 2, spans.BARRIER, 1)
    values = dict(zip(FIELDS, row, strict=False))
    write_span(buffer.rows, buffer.fill, 1, *values.values())
    (span,) = buffer.drain(50, 3, ("a", "b"))
    assert span == {
        "lane": "W1", "op": "kernel", "name": "b", "start_ns": 50, "end_ns": 200, "bytes": 0,
        "ratings": 7, "epoch": 3, "block": "1,2", "reason": "barrier", "clock": "host",
    }  # fmt: skip


def test_spans_without_room_are_counted():
    buffer = SpanBuffer.make(1, capacity=2)
    for t in range(5):
        write_span(buffer.rows, buffer.fill, 0, t, t + 1, spans.KERNEL, 0, -1, -1, 0, 0)
    assert buffer.dropped == 3
    assert [s["start_ns"] for s in buffer.drain(0, 1, ("x",))] == [0, 1]
    assert buffer.dropped == 0

"""Timeline: busy time loses no work, keeps order, and cuts what nobody solved in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.plots.spans import of_batches, span_labels, span_words, wait_words
from mfviz.plots.timeline import (
    CUT_MS,
    BusyClock,
    Timeline,
    window_ms,
)
from mfviz.telemetry.events import Span
from tests.fakes import make_history

pairs_of = st.lists(
    st.tuples(st.integers(10_000, 30_000_000), st.integers(0, 200_000_000)),
    min_size=1,
    max_size=30,
)  # (length of a span, gap before it) in ns


def span(start_ns, end_ns, *, op="kernel", epoch=1, reason="", lane="W0"):
    return Span(
        run="r", seq=0, t_ns=0, lane=lane, op=op, name="update", start_ns=start_ns, end_ns=end_ns,
        epoch=epoch, reason=reason,
    )  # fmt: skip


def spans_of(pairs, lanes=1):
    at, found = 0, []
    for length, gap in pairs:
        at += gap
        found += [span(at, at + length, lane=f"W{lane}") for lane in range(lanes)]
        at += length
    return found


def ms(spans):
    return np.array([(s.start_ns, s.end_ns) for s in spans]).T / 1e6


def clock_of(spans, **options):
    clock = BusyClock(**options)
    clock.follow(spans)
    return clock


@given(pairs_of, st.integers(1, 4))
def test_busy_time_keeps_every_length(pairs, lanes):
    spans = spans_of(pairs, lanes)
    start, end = ms(spans)
    busy = clock_of(spans).busy_time()
    np.testing.assert_allclose(busy.at(end) - busy.at(start), end - start, atol=1e-5)


@given(pairs_of)
def test_busy_time_never_runs_backward_and_ends_now(pairs):
    spans = spans_of(pairs)
    start, end = ms(spans)
    busy = clock_of(spans).busy_time()
    assert busy.at(end).max() == pytest.approx(0)
    assert (np.diff(busy.recorded) >= 0).all()
    assert (np.diff(busy.busy) >= -1e-9).all()
    assert (np.diff(busy.at(start)) >= -1e-9).all()


@given(pairs_of)
def test_long_gaps_vanish_and_short_ones_stay(pairs):
    spans = spans_of(pairs)
    start, end = ms(spans)
    busy = clock_of(spans).busy_time()
    gaps = start[1:] - end[:-1]
    shown = busy.at(start[1:]) - busy.at(end[:-1])
    np.testing.assert_allclose(shown, np.where(gaps > CUT_MS, 0, gaps), atol=1e-5)


@given(pairs_of, st.integers(0, 2**32 - 1))
def test_batches_and_their_order_make_no_difference(pairs, seed):
    spans = spans_of(pairs, lanes=2)
    shuffled = list(np.random.default_rng(seed).permutation(np.array(spans, dtype=object)))
    whole, piecemeal = clock_of(spans), BusyClock()
    for stop in range(0, len(spans) + 3, 3):
        piecemeal.follow(shuffled[:stop])
    piecemeal.follow(shuffled)
    np.testing.assert_allclose(piecemeal.busy_time().recorded, whole.busy_time().recorded)
    assert piecemeal.epoch_ends == whole.epoch_ends


def test_a_gap_of_one_lane_only_stays():
    spans = [span(0, 50_000_000), span(0, 5_000_000), span(40_000_000, 50_000_000)]
    np.testing.assert_allclose(clock_of(spans).busy_time().at([5, 40]), [-45, -10])


def test_a_short_evaluation_is_cut_out_too():
    spans = [
        span(0, 60_000),
        span(60_000, 170_000, op="wait", reason="evaluate"),
        span(180_000, 240_000, epoch=2),
    ]
    np.testing.assert_allclose(
        clock_of(spans).busy_time().at([0, 0.06, 0.18]), [-0.12, -0.06, -0.06]
    )


def test_what_the_run_imposed_is_no_busy_time():
    spans = [span(0, 10_000_000), span(10_000_000, 90_000_000, op="wait", reason="evaluate")]
    assert clock_of(spans).busy_time().recorded.max() == 10


def test_busy_time_of_nothing():
    assert BusyClock().busy_time().at(3.0) <= 0


def test_a_clock_that_is_given_less_begins_anew():
    clock = clock_of(spans_of([(10_000_000, 0)] * 5))
    assert clock.follow(spans_of([(10_000_000, 0)] * 2))
    assert clock.busy_time().recorded.max() == pytest.approx(20)
    assert clock.follow(spans_of([(10_000_000, 0)] * 2)) is False


def test_old_intervals_are_forgotten_but_not_the_new():
    clock = clock_of(spans_of([(10_000_000, 50_000_000)] * 300), keep=20)
    assert len(clock.busy_time().recorded) <= 2 * 20 + 1
    assert clock.busy_time().at(clock.busy_time().recorded[-2]) == pytest.approx(-10)


def test_recorded_time_of_a_busy_time():
    busy = clock_of(spans_of([(10_000_000, 0), (10_000_000, 50_000_000)])).busy_time()
    assert busy.recorded_at(-4) == pytest.approx(66)
    assert busy.recorded_at(-14) == pytest.approx(6)


def test_epochs_end_with_their_last_work():
    clock = clock_of(
        [
            span(0, 3_000_000, epoch=1),
            span(0, 5_000_000, epoch=1),
            span(5_000_000, 9_000_000, epoch=1, op="wait", reason="barrier"),
            span(9_000_000, 12_000_000, epoch=2),
        ]
    )
    assert clock.epoch_ends == {1: 5.0, 2: 12.0}


def test_window_shows_several_fast_epochs_and_one_slow_one():
    assert window_ms([500, 800], [18, 90]) == 100
    assert 200 <= window_ms([5000], [100]) <= 300
    assert window_ms([7.0], [0.0]) == 8
    assert window_ms([], []) > 0
    assert window_ms([5000, 5000], [0.5, 2000]) <= 5


def test_rows_are_as_recorded():
    history = make_history(epochs=2, workers=2)
    frame = Timeline().frame([("A", history)])
    span = next(s for s in history.spans if s.op == "kernel")
    at = history.spans.index(span)
    assert frame["start_ms"][at] == span.start_ns / 1e6
    assert frame["end_ms"][at] == span.end_ns / 1e6
    assert frame["block"][at] == span.block
    assert frame["measured"] == [True] * len(history.spans)
    assert frame["ratings"].sum() == history.updates


@pytest.mark.parametrize(
    ("name", "block", "reason", "words"),
    [
        ("update", "1,2", "", ("1,2",)),
        ("update", "", "", ("update",)),
        ("users", "0,188", "", ("users 1–188", "1–188")),
        ("wait", "", "no-free-block", ("no free block",)),
    ],
)
def test_span_words(name, block, reason, words):
    assert span_words(name, block, reason) == words


@pytest.mark.parametrize(
    ("name", "block", "words"),
    [
        ("users", "1,1", ("users, batch 1", "M1")),
        ("items", "3,2", ("items, batch 3", "N3")),
        ("batch of items", "2,2", ("batch of items: 2", "N2")),
    ],
)
def test_blocks_of_streams_are_batches_not_ranges_of_rows(name, block, words):
    one = dataclasses.replace(span(0, 10), lane="stream M (CPU)", name=name, block=block)
    assert of_batches(one)
    assert not of_batches(dataclasses.replace(one, lane="W0"))
    assert span_words(name, block, batches=True) == words


def test_only_what_fits_is_named():
    spans = [
        dataclasses.replace(span(0, 10_000_000), block="1,2"),
        dataclasses.replace(span(10_000_000, 11_000_000), block="0,0"),
        span(11_000_000, 40_000_000, op="wait", reason="barrier"),
    ]
    busy = clock_of(spans).busy_time()
    found = span_labels(spans, busy, -40.0, 0.0, px_per_ms=4.0)
    assert [(s.op, text) for s, _, text in found] == [("kernel", "1,2"), ("wait", "barrier")]
    assert found[0][1] == pytest.approx(-35)
    (half,) = span_labels(spans, busy, -35.0, -30.0, px_per_ms=20.0)
    assert half[1] == pytest.approx(-32.5)  # the middle of what is seen of it
    assert span_labels([], busy, -40.0, 0.0, 4.0) == []


def test_unknown_reasons_are_shown_as_they_are():
    assert wait_words("full moon") == "full moon"

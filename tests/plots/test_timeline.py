"""Timeline: busy time loses no work, keeps order, and cuts what nobody solved in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.plots.timeline import (
    CUT_MS,
    Timeline,
    busy_time,
    epoch_ends,
    span_words,
    wait_words,
    window_ms,
)
from tests.fakes import make_history

lengths = st.lists(
    st.tuples(st.floats(0.01, 30), st.floats(0, 200)), min_size=1, max_size=30
)  # (length of a span, gap before it) in ms


def spans_of(pairs):
    start = np.cumsum([gap for _, gap in pairs]) + np.cumsum([0.0, *(n for n, _ in pairs)])[:-1]
    return start, start + np.array([n for n, _ in pairs])


@given(lengths, st.integers(1, 4))
def test_busy_time_keeps_every_length(pairs, lanes):
    start, end = spans_of(pairs)
    start, end = np.tile(start, lanes), np.tile(end, lanes)
    busy = busy_time(start, end)
    np.testing.assert_allclose(busy.at(end) - busy.at(start), end - start, atol=1e-6)


@given(lengths)
def test_busy_time_never_runs_backward_and_ends_now(pairs):
    start, end = spans_of(pairs)
    busy = busy_time(start, end)
    assert busy.at(end).max() == pytest.approx(0)
    assert (np.diff(busy.recorded) >= 0).all()
    assert (np.diff(busy.busy) >= -1e-9).all()
    assert (np.diff(busy.at(np.sort(start))) >= -1e-9).all()


@given(lengths)
def test_long_gaps_vanish_and_short_ones_stay(pairs):
    start, end = spans_of(pairs)
    busy = busy_time(start, end)
    gaps = start[1:] - end[:-1]
    shown = busy.at(start[1:]) - busy.at(end[:-1])
    np.testing.assert_allclose(shown, np.where(gaps > CUT_MS, 0, gaps), atol=1e-6)


def test_a_gap_of_one_lane_only_stays():
    start, end = np.array([0.0, 0.0, 40.0]), np.array([50.0, 5.0, 50.0])
    np.testing.assert_allclose(busy_time(start, end).at([5, 40]), [-45, -10])


def test_busy_time_of_nothing():
    assert busy_time(np.empty(0), np.empty(0)).at(3.0) <= 0


def test_epoch_ends():
    np.testing.assert_allclose(
        epoch_ends(np.array([3.0, 9.0, 5.0, 7.0]), np.array([1.0, 2.0, 1.0, 2.0])), [5, 9]
    )


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


def test_unknown_reasons_are_shown_as_they_are():
    assert wait_words("full moon") == "full moon"

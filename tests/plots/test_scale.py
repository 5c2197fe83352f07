"""Round axes and readable numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.plots.scale import (
    bytes_text,
    grow,
    log_ticks,
    nice,
    number_text,
    rmse_text,
    span_range,
)

positive = st.floats(1e-9, 1e12)


@given(positive)
def test_nice_is_a_little_above(value):
    assert value * (1 - 1e-6) <= nice(value) <= 2 * value * (1 + 1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_nice_of_nonsense_is_one(value):
    assert nice(value) == 1


@given(positive, st.integers(0, 5000))
def test_an_axis_never_ends_before_its_data(value, planned):
    assert grow(value, planned) >= value


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=20))
def test_a_range_holds_its_values(values):
    low, high = span_range(values)
    assert low <= min(values) <= max(values) <= high


def test_a_range_of_one_value_has_it_in_the_middle():
    low, high = span_range([1.117])
    assert low < 1.117 < high
    assert high - low < 0.1


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ((1, 20), [1, 2, 5, 10, 20]),
        ((0.9, 60), [1, 2, 5, 10, 20, 50]),
        ((1e-6, 1e3), [10.0**k for k in range(-6, 4)]),
        ((0, 10), []),
    ],
)
def test_log_ticks(ends, ticks):
    assert log_ticks(*ends) == pytest.approx(ticks)


def test_texts():
    assert rmse_text(0.85549) == "0.855"
    assert rmse_text(3.2e9) == "3.20e+09"
    assert rmse_text(math.nan) == "not finite"
    assert number_text(12345.6) == "12,346"
    assert number_text(0.23412) == "0.234"
    assert [bytes_text(b) for b in (512, 1_500, 33_400_000, 4e9, 999_999)] == [
        "512 B", "1.5 KB", "33 MB", "4.0 GB", "1.0 MB",
    ]  # fmt: skip

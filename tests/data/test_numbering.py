"""Ids of any type become dense numbers and come back unchanged."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.data.numbering import lookup, lookup_any, number, plain, stable_order
from mfviz.errors import DataError

whole = st.integers(-(2**63), 2**63 - 1)
near = st.integers(-50, 50)
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)


@given(
    st.one_of(st.lists(near, min_size=1), st.lists(whole, min_size=1), st.lists(text, min_size=1))
)
def test_numbers_lead_back_to_the_ids(ids: list[Any]) -> None:
    known, numbers = number(ids)
    assert known[numbers].tolist() == ids
    assert known.tolist() == sorted(set(ids))
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(lookup(known, ids), numbers)


def test_a_table_and_a_hash_number_alike(rng: np.random.Generator) -> None:
    ids = rng.integers(-1000, 1000, 5000)
    dense_known, dense = number(ids)
    wide_known, wide = number(ids * 2**40)  # too wide for a table
    np.testing.assert_array_equal(dense, wide)
    np.testing.assert_array_equal(dense_known * 2**40, wide_known)


def test_the_whole_range_of_int64_is_no_overflow() -> None:
    known, numbers = number([2**63 - 1, -(2**63), 0])
    assert known.tolist() == [-(2**63), 0, 2**63 - 1]
    assert numbers.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("given_ids", "kept"),
    [
        (np.array([3.0, 1.0]), [3, 1]),
        (np.array([2**64 - 1, 1], dtype=np.uint64), [str(2**64 - 1), "1"]),
        (np.array([7, 8], dtype=np.uint8), [7, 8]),
        ([b"u1", "u2"], ["u1", "u2"]),
        (np.array([1, "a"], dtype=object), ["1", "a"]),
        ([2**70, 1], [str(2**70), "1"]),
        (pd.Series(["a", "b"]), ["a", "b"]),
        (pd.Series([1, 2], dtype="int32"), [1, 2]),
        ([str(uuid.UUID(int=5))], [str(uuid.UUID(int=5))]),
    ],
)
def test_ids_take_one_of_two_forms(given_ids: Any, kept: list[Any]) -> None:
    found = plain(given_ids)
    assert found.tolist() == kept
    assert found.dtype.kind in "iU"


@pytest.mark.parametrize(
    "bad",
    [
        [1.5, 2.0],
        [float("nan"), 1.0],
        [float("inf")],
        [None, 1],
        [1e300],
        [[1], [1, 2]],
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([1j]),
        pd.Series([1, None]),
        pd.Series(["a", None]),
        [(1, 2), object()],
    ],
)
def test_what_is_no_id_is_a_data_error(bad: Any) -> None:
    with pytest.raises(DataError, match=r"whole numbers or text"):
        number(bad)


def test_unknown_ids_are_minus_one() -> None:
    assert lookup(np.array([2, 5, 9]), [5, 4, 10, 9]).tolist() == [1, -1, -1, 2]
    assert lookup(np.array([], dtype=np.int64), [1]).tolist() == [-1]
    assert lookup(np.array([1]), []).tolist() == []


def test_a_number_and_its_text_are_the_same_id() -> None:
    assert lookup(np.array([2, 10, 30]), ["10", "2", "010", "x"]).tolist() == [1, 0, -1, -1]
    assert lookup(np.array(["10", "2", "x"]), [2, 10, 3]).tolist() == [1, 0, -1]


def test_ids_in_any_order_are_found() -> None:
    assert lookup(np.array([9, 3, 5]), [3, 9, 4]).tolist() == [1, 0, -1]
    assert lookup_any(
        np.array(["b", "a"]), np.array(["a", None, "b", 1.5], dtype=object)
    ).tolist() == [1, -1, 0, -1]


@given(st.lists(st.integers(0, 200_000)), st.booleans())
def test_stable_order_is_that_of_a_stable_sort(keys: list[int], small: bool) -> None:
    array = np.array(keys, dtype=np.int32)
    if small:
        array %= 7
    count = 7 if small else 200_001
    np.testing.assert_array_equal(stable_order(array, count), np.argsort(array, kind="stable"))

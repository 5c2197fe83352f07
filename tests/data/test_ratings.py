"""Ratings keep what the user brought, and say what is odd about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.data import ratings as module
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError

pytestmark = pytest.mark.usefixtures("small_pieces")

triples = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 9), st.floats(-5, 5, width=32)), min_size=1
)


def build(rows: list[tuple[int, int, float]]) -> Ratings:
    users, items, values = zip(*rows, strict=True)
    return Ratings.from_triples(users, items, values)


@given(triples)
def test_triples_come_back_in_their_order(rows: list[tuple[int, int, float]]) -> None:
    found = build(rows)
    back = list(
        zip(
            found.user_ids[found.u].tolist(),
            found.item_ids[found.i].tolist(),
            found.r.tolist(),
            strict=True,
        )
    )
    assert back == rows
    assert [str(part.dtype) for part in (found.u, found.i, found.r)] == [
        "int32",
        "int32",
        "float32",
    ]
    assert np.unique(found.u).tolist() == list(range(found.n_users))
    assert np.unique(found.i).tolist() == list(range(found.n_items))


@given(triples, st.booleans(), st.booleans())
def test_duplicates_are_counted_whatever_the_way(
    rows: list[tuple[int, int, float]], in_order: bool, large: bool
) -> None:
    pairs = [row[:2] for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr(module, "BITMAP_CELLS", 0)
        found = build(sorted(rows) if in_order else rows)
        assert found.duplicates == len(pairs) - len(set(pairs))
    told = [notice for notice in found.notices if "repeated" in notice]
    assert len(told) == (found.duplicates > 0)
    assert found.nnz == len(rows)


@given(triples)
def test_both_groupings_hold_every_rating_in_order(rows: list[tuple[int, int, float]]) -> None:
    found = build(rows)
    sides = ((found.csr(), found.u, found.i), (found.csc(), found.i, found.u))
    for grouped, row, col in sides:
        for k in range(len(grouped.indptr) - 1):
            part = slice(grouped.indptr[k], grouped.indptr[k + 1])
            np.testing.assert_array_equal(grouped.index[part], col[row == k])
            np.testing.assert_array_equal(grouped.r[part], found.r[row == k])
        assert grouped.indptr[-1] == found.nnz


def test_ratings_cannot_be_changed_and_leave_the_callers_arrays_alone() -> None:
    u, i = np.array([0, 1], dtype=np.int32), np.array([0, 0], dtype=np.int32)
    r = np.array([1, 2], dtype=np.float32)
    found = Ratings(u, i, r, np.array([5, 6]), np.array([7]))
    with pytest.raises(ValueError, match="read-only"):
        found.r[0] = 3
    assert r.flags.writeable
    copied = Ratings.from_triples([5, 6], [7, 7], r)
    r[0] = 9
    assert copied.r.tolist() == [1, 2]


def test_mean_scale_and_bytes() -> None:
    found = build([(1, 1, 1.0), (2, 1, 4.5)])
    assert found.mean == 2.75
    assert found.scale == (1.0, 4.5)
    assert found.nbytes == 24


@pytest.mark.parametrize(
    ("rows", "shape"), [([(1, 1, 3.0)], "1 user(s) x 1 item(s)"), ([(1, 1, 3), (1, 2, 3)], "x 2")]
)
def test_one_sided_shapes_are_valid_with_a_notice(
    rows: list[tuple[int, int, float]], shape: str
) -> None:
    assert any(shape in notice for notice in build(rows).notices)


@pytest.mark.parametrize(
    ("users", "items", "values", "says"),
    [
        ([], [], [], "found no rating"),
        ([1, 2], [1], [1, 2], "2 users, 1 items and 2 ratings"),
        ([1, 2], [1, 2], [1, float("nan")], "rating 2 is nan"),
        ([1, 2], [1, 2], [float("-inf"), 1], "rating 1 is -inf"),
        ([1], [1], [1e300], "rating 1 is 1e\\+300"),
        ([1], [1], ["good"], "no numbers"),
        ([1], [1], [None], "rating 1 is None|no numbers"),
        ([1], [1], [1j], "no numbers"),
        ([1.5], [1], [1], "user id 1 is 1.5"),
        ([1], [None], [1], "item id 1 is None"),
    ],
)
def test_bad_triples_are_a_data_error(users: Any, items: Any, values: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Ratings.from_triples(users, items, values, name="mine")


def test_numbers_of_ids_are_found_again() -> None:
    found = Ratings.from_triples(["b", "a", "b"], [30, 10, 20], [1, 2, 3])
    assert found.user_numbers(["a", "b", "c"]).tolist() == [0, 1, -1]
    assert found.item_numbers([30, 11]).tolist() == [2, -1]


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("inside", ["sorted", "not sorted"])
def test_one_repeated_pair_is_found_wherever_it_lies(
    side: str, inside: str, rng: np.random.Generator
) -> None:
    major, minor = np.divmod(np.arange(120), 9)
    if inside == "not sorted":
        order = np.lexsort((rng.random(120), major))
        major, minor = major[order], minor[order]
    for at in range(120):
        pair = np.insert(major, at, major[at]), np.insert(minor, at, minor[at])
        u, i = pair if side == "user" else pair[::-1]
        assert Ratings.from_triples(u, i, np.ones(121)).duplicates == 1
    u, i = (major, minor) if side == "user" else (minor, major)
    assert Ratings.from_triples(u, i, np.ones(120)).duplicates == 0

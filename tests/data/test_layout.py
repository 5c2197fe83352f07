"""A grid holds every rating once, and its blocks conflict only within a row or a column."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.data.layout import WITHIN, Grid, grid
from mfviz.data.ratings import Ratings
from mfviz.errors import ParameterError


def random_ratings(seed: int, nnz: int, users: int = 30, items: int = 20) -> Ratings:
    rng = np.random.default_rng(seed)
    return Ratings.from_triples(
        rng.integers(0, users, nnz), rng.integers(0, items, nnz), rng.normal(size=nnz)
    )


blocks = st.integers(1, 40)


@given(
    st.integers(0, 2**32),
    st.integers(1, 300),
    blocks,
    blocks,
    st.booleans(),
    st.sampled_from(WITHIN),
)
def test_every_rating_is_in_the_block_of_its_user_and_item(
    seed: int, nnz: int, rows: int, cols: int, shuffle: bool, within: str
) -> None:
    ratings = random_ratings(seed, nnz)
    rng = np.random.default_rng(seed)
    found = grid(ratings, rows, cols, rng, shuffle=shuffle, sort_within=within)
    assert sorted(found.order.tolist()) == list(range(nnz))
    np.testing.assert_array_equal(found.u, ratings.u[found.order])
    np.testing.assert_array_equal(found.i, ratings.i[found.order])
    np.testing.assert_array_equal(found.r, ratings.r[found.order])
    assert found.counts.sum() == nnz
    for row, col in itertools.product(range(rows), range(cols)):
        part = found.block(row, col)
        assert (found.row_of_user[found.u[part]] == row).all()
        assert (found.col_of_item[found.i[part]] == col).all()
        check_inside(found, part, within)
    for dealt, count in ((found.row_of_user, rows), (found.col_of_item, cols)):
        sizes = np.bincount(dealt, minlength=count)
        assert len(sizes) == count
        assert sizes.max() - sizes.min() <= 1
        assert shuffle or (np.diff(dealt) >= 0).all()


def check_inside(found: Grid, part: slice, within: str) -> None:
    order = found.order[part]
    if within == "none":
        assert (np.diff(order) > 0).all()
    elif within != "random":
        side = (found.u if within == "row" else found.i)[part].astype(np.int64)
        assert (np.diff(side) >= 0).all()
        assert (np.diff(order)[np.diff(side) == 0] > 0).all()


def test_one_block_in_the_order_of_the_source_is_the_source() -> None:
    ratings = random_ratings(3, 50)
    found = grid(ratings, 1, 1, np.random.default_rng(0))
    assert found.order.tolist() == list(range(50))
    assert found.offsets.tolist() == [0, 50]


def test_the_same_seed_gives_the_same_grid_and_another_one_another() -> None:
    ratings = random_ratings(3, 200)
    first, second, other = (grid(ratings, 4, 4, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.order, second.order)
    assert (first.row_of_user != other.row_of_user).any()


def test_a_grid_without_shuffling_draws_nothing() -> None:
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    grid(random_ratings(1, 40), 3, 3, rng, shuffle=False, sort_within="row")
    assert rng.bit_generator.state == before


def test_ratings_sorted_by_user_take_the_short_way_to_the_same_grid() -> None:
    ratings = random_ratings(8, 300)
    at = np.argsort(ratings.u, kind="stable")
    by_user = Ratings.from_triples(ratings.u[at], ratings.i[at], ratings.r[at])
    one = grid(ratings, 3, 4, np.random.default_rng(1), sort_within="row")
    two = grid(by_user, 3, 4, np.random.default_rng(1), sort_within="row")
    np.testing.assert_array_equal(one.r, two.r)


def test_shuffling_evens_out_blocks_of_skewed_ratings() -> None:
    # Users whose number is small rate most, as in a file that is sorted by activity.
    rng = np.random.default_rng(0)
    users = np.minimum(rng.geometric(0.01, 20_000), 400)
    ratings = Ratings.from_triples(users, rng.integers(0, 100, 20_000), np.ones(20_000))
    spread = {
        shuffle: grid(ratings, 4, 4, np.random.default_rng(1), shuffle=shuffle).counts.std()
        for shuffle in (True, False)
    }
    assert spread[True] < spread[False] / 3


@pytest.mark.parametrize(("rows", "cols"), [(0, 1), (1, -2), (1 << 20, 1 << 20)])
def test_a_grid_out_of_bounds_is_refused(rows: int, cols: int) -> None:
    with pytest.raises(ParameterError, match="out of bounds"):
        grid(random_ratings(0, 5), rows, cols, np.random.default_rng(0))


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ParameterError, match="sort_within"):
        grid(random_ratings(0, 5), 2, 2, np.random.default_rng(0), sort_within="diagonal")

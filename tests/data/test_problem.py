"""A split loses nothing, counts what it sets aside, and is known by its fingerprint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError, ParameterError

pytestmark = pytest.mark.usefixtures("small_pieces")

Row = tuple[Any, Any, float]


def random_ratings(rng: np.random.Generator, nnz: int = 400) -> Ratings:
    return Ratings.from_triples(
        rng.integers(100, 160, nnz), rng.integers(0, 45, nnz), rng.integers(1, 6, nnz), name="few"
    )


def rows(part: Ratings) -> list[Row]:
    users, items = part.user_ids[part.u].tolist(), part.item_ids[part.i].tolist()
    return list(zip(users, items, part.r.tolist(), strict=True))


@given(
    st.integers(1, 120),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 2**31 - 1),
)
def test_a_split_is_a_partition(nnz: int, data_seed: int, holdout: float, seed: int) -> None:
    whole = random_ratings(np.random.default_rng(data_seed), nnz)
    held = round(nnz * holdout)
    if held == nnz:
        with pytest.raises(DataError, match="leave none"):
            split(whole, holdout=holdout, seed=seed)
        return
    found = split(whole, holdout=holdout, seed=seed)
    assert found.train.nnz == nnz - held
    assert found.test.nnz + found.set_aside == held
    left = rows(whole)
    for row in rows(found.train) + rows(found.test):
        left.remove(row)
    assert len(left) == found.set_aside
    users, items = set(rows_of(found.train, 0)), set(rows_of(found.train, 1))
    assert all(u not in users or i not in items for u, i, _ in left)
    assert found.n_users == len(users)
    assert found.n_items == len(items)
    pairs = {row[:2] for row in rows(found.train)}
    assert found.shared == sum(row[:2] in pairs for row in rows(found.test))


def rows_of(part: Ratings, column: int) -> list[int]:
    return [int(row[column]) for row in rows(part)]


def test_a_split_equals_the_same_two_parts_given_as_files(rng: np.random.Generator) -> None:
    found = split(random_ratings(rng), holdout=0.3, seed=4)
    train, test = rows(found.train), rows(found.test)
    given_parts = Problem.from_files(
        Ratings.from_triples(*zip(*train, strict=True)),
        Ratings.from_triples(*zip(*test, strict=True)),
        seed=4,
    )
    assert given_parts.fingerprint == found.fingerprint
    assert given_parts.shared == found.shared


def test_pairs_unseen_in_training_are_set_aside_and_told() -> None:
    train = Ratings.from_triples([1, 2, 3], ["a", "b", "a"], [1, 2, 3])
    test = Ratings.from_triples(["2", "4", "1", "3"], ["a", "a", "z", "b"], [4, 5, 6, 7])
    found = Problem.from_files(train, test)
    assert rows(found.test) == [(2, "a", 4.0), (3, "b", 7.0)]
    assert found.set_aside == 2
    assert any(notice.startswith("2 test ratings set aside") for notice in found.notices)


def test_training_pairs_in_the_test_set_are_told(rng: np.random.Generator) -> None:
    part = random_ratings(rng)
    found = Problem.from_files(part, part)
    assert found.shared == part.nnz
    assert any("flatters" in notice for notice in found.notices)


def test_an_empty_test_set_is_told(rng: np.random.Generator) -> None:
    found = split(random_ratings(rng), holdout=0.0)
    assert found.test.nnz == 0
    assert any("No test rating" in notice for notice in found.notices)
    foreign = Ratings.from_triples(["q"], ["q"], [1])
    assert Problem.from_files(found.train, foreign).test.nnz == 0


def test_the_fingerprint_tells_every_change_and_nothing_else(rng: np.random.Generator) -> None:
    ratings = random_ratings(rng)
    base = split(ratings, seed=1)
    assert split(ratings, seed=1).fingerprint == base.fingerprint
    assert split(replace(ratings, name="other"), seed=1).fingerprint == base.fingerprint
    assert split(ratings, seed=2).fingerprint != base.fingerprint
    assert split(ratings, seed=1, holdout=0.2).fingerprint != base.fingerprint
    seen = {base.fingerprint}
    for part in ("train", "test"):
        for column in ("u", "i", "r"):
            array = getattr(getattr(base, part), column).copy()
            array[3] += 1 if array[3] == 0 else -1
            changed = replace(getattr(base, part), **{column: array})
            seen.add(replace(base, **{part: changed}).fingerprint)
    assert len(seen) == 7


def test_the_fingerprint_knows_where_training_ends() -> None:
    # All bytes are equal here: only the lengths tell the two splits apart.
    def same(nnz: int) -> Ratings:
        zeros = np.zeros(nnz, dtype=np.int32)
        one = np.zeros(1, dtype=np.int64)
        return Ratings(zeros, zeros, zeros.astype(np.float32), one, one)

    assert Problem(same(3), same(1)).fingerprint != Problem(same(2), same(2)).fingerprint


@pytest.mark.parametrize("holdout", [-0.1, 1.0, 7.0, float("nan")])
def test_a_holdout_out_of_range_is_refused(holdout: float, rng: np.random.Generator) -> None:
    with pytest.raises(ParameterError, match="holdout"):
        split(random_ratings(rng), holdout=holdout)


@pytest.mark.parametrize("seed", [-1, None, 2.5, "7"])
def test_a_seed_that_is_none_is_refused(seed: Any, rng: np.random.Generator) -> None:
    with pytest.raises(ParameterError, match="seed"):
        split(random_ratings(rng), seed=seed)


@pytest.mark.parametrize("number", [-1, 3])
def test_numbers_of_no_user_are_refused_before_anything_counts_by_them(
    number: int, rng: np.random.Generator
) -> None:
    ids, r = np.arange(3), np.ones(2, np.float32)
    wrong = Ratings(np.array([0, number], np.int32), np.array([0, 1], np.int32), r, ids, ids)
    with pytest.raises(DataError, match=f"found user number {number} among 3 users"):
        split(wrong, leave_out=1)
    with pytest.raises(DataError, match=f"found user number {number} among 3 users"):
        Problem.from_files(random_ratings(rng), wrong)

"""A problem: ratings split into a training and a test part.

Numbers of users and items are those of the *training* part: a test pair whose user or item has no
training rating cannot be predicted, so it is set aside, counted and shown beside every RMSE.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.data.holdout import WAYS, hold_out
from mfviz.data.holdout import leave_out as leave_some_out
from mfviz.data.pieces import each, pieces
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError, ParameterError

__all__ = ["Problem", "split"]

Triple = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Problem:
    """Training and test ratings that share one numbering.

    Build one with :func:`split` or :meth:`from_files`.

    Attributes
    ----------
    train, test : Ratings
        Same ids on both sides; the test part may be empty.
    seed : int
        Seed of the split.
    set_aside : int
        Test pairs left out because their user or item is absent from training.
    shared : int
        Test pairs that are training pairs too; their error flatters the model.
    remarks : tuple of str
        Sentences about the split that a user should see.
    """

    train: Ratings
    test: Ratings
    seed: int = 0
    set_aside: int = 0
    shared: int = 0
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_files(cls, train: Ratings, test: Ratings, *, seed: int = 0) -> Problem:
        """Use a given test set.

        Parameters
        ----------
        train, test : Ratings
            Each with ids of its own; the test part is renumbered to those of ``train``.
        seed : int
            Kept for the record; nothing is drawn.
        """
        _check_numbers(test, test.n_users, test.n_items)
        u = train.user_numbers(test.user_ids)[test.u]
        i = train.item_numbers(test.item_ids)[test.i]
        keep = (u >= 0) & (i >= 0)
        part = Ratings(
            u[keep], i[keep], test.r[keep], train.user_ids, train.item_ids, test.name, test.notices
        )
        return cls(train, part, seed, int((~keep).sum()), _shared(train, part))

    @classmethod
    def from_pairs(
        cls, ratings: Ratings, users: npt.ArrayLike, items: npt.ArrayLike, *, seed: int = 0
    ) -> Problem:
        """Use as test ratings those of given pairs, which are among the ratings.

        Parameters
        ----------
        ratings : Ratings
            Training and test together, as Netflix gives them.
        users, items : (pairs,) array_like
            Ids; a pair that is not rated is counted and told.
        seed : int
            Kept for the record; nothing is drawn.

        Raises
        ------
        DataError
            If none of the pairs is rated, or all ratings are test ratings.
        """
        u, i = ratings.user_numbers(users), ratings.item_numbers(items)
        known = (u >= 0) & (i >= 0)
        wanted = np.unique(u[known].astype(np.int64) * ratings.n_items + i[known])
        pairs = ratings.pairs()
        in_train = np.ones(ratings.nnz, dtype=np.bool_)
        if len(wanted):
            at = np.minimum(np.searchsorted(wanted, pairs), len(wanted) - 1)
            in_train = wanted[at] != pairs
        if in_train.all() or not in_train.any():
            which = "none" if in_train.all() else "all"
            raise DataError(
                f"{ratings.name}: {which} of its ratings are of the {len(u):,} pairs given as the "
                "test set. Do both files belong together?"
            )
        missing = len(u) - len(np.unique(pairs[~in_train]))
        told = f"{missing:,} of the {len(u):,} pairs of the test set are not rated (or repeated)."
        return _parts(ratings, in_train, seed, (told,) if missing else ())

    def __post_init__(self) -> None:
        # Kernels check no index, so this is the border at which all of them are checked once.
        for part in (self.train, self.test):
            _check_arrays(part)
            _check_numbers(part, self.n_users, self.n_items)

    @property
    def name(self) -> str:
        """Shown name: that of the training ratings."""
        return self.train.name

    @property
    def n_users(self) -> int:
        """Users ``m`` that have a training rating."""
        return self.train.n_users

    @property
    def n_items(self) -> int:
        """Items ``n`` that have a training rating."""
        return self.train.n_items

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences about data and split that a user should see."""
        found = [*self.train.notices, *self.remarks]
        if self.set_aside:
            found.append(
                f"{self.set_aside:,} test ratings set aside: "
                "their user or item has no training rating."
            )
        if not self.test.nnz:
            found.append("No test rating: the test RMSE is not defined.")
        if self.shared:
            found.append(
                f"{self.shared:,} test ratings are of pairs that the training ratings hold too; "
                "the test RMSE flatters the model."
            )
        return tuple(found)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits over ratings and split; equal means that runs are comparable."""
        digest = hashlib.sha256()
        shape = [self.n_users, self.n_items, self.train.nnz, self.test.nnz]
        digest.update(np.array(shape, dtype=np.int64).tobytes())
        for part in (self.train, self.test):
            for array in (part.u, part.i, part.r):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def _check_arrays(part: Ratings) -> None:
    """Refuse arrays that kernels would read beyond their ends, or as what they are not."""
    shapes = {array.shape for array in (part.u, part.i, part.r)}
    if len(shapes) > 1 or len(part.u.shape) != 1:
        raise DataError(
            f"{part.name}: found users, items and ratings of shapes {part.u.shape}, "
            f"{part.i.shape} and {part.r.shape}; the three must be vectors of one length."
        )
    kinds = [array.dtype.name for array in (part.u, part.i, part.r)]
    if kinds != ["int32", "int32", "float32"]:
        raise DataError(
            f"{part.name}: found users, items and ratings as {', '.join(kinds)}; they must be "
            "int32, int32 and float32. Ratings.from_triples makes such arrays."
        )


def _check_numbers(part: Ratings, n_users: int, n_items: int) -> None:
    """Refuse numbers that are none of a row."""
    for side, number, count in (("user", part.u, n_users), ("item", part.i, n_items)):
        if part.nnz and (number.min() < 0 or number.max() >= count):
            wrong = number.min() if number.min() < 0 else number.max()
            raise DataError(
                f"{part.name}: found {side} number {wrong} among {count} {side}s; numbers "
                f"must go from 0 to {count - 1}. Ratings.from_triples makes such numbers."
            )


def split(
    ratings: Ratings,
    *,
    holdout: float = 0.1,
    seed: int = 0,
    by: str = "random",
    leave_out: int = 0,
) -> Problem:
    """Hold out some of the ratings as the test set.

    Parameters
    ----------
    ratings : Ratings
        All ratings.
    holdout : float
        Share of the ratings for the test set, in [0, 1).
    seed : int
        Seed of the draw.
    by : str
        "random", or "time" for the latest ratings.
    leave_out : int
        Ratings of each user for the test set, in place of a share of all; 0 for that share.

    Returns
    -------
    Problem

    Raises
    ------
    ParameterError
        If a setting is out of range.
    DataError
        If no training rating would be left, or times are missing or all the same.
    """
    share: Any = holdout  # a caller may not have looked at the types
    number: Any = seed
    if not isinstance(share, Real) or not 0.0 <= float(share) < 1.0:
        raise ParameterError(
            f"holdout is {holdout}; it must be at least 0 and below 1. Try 0.1.", "holdout"
        )
    if not isinstance(number, Integral) or number < 0:
        raise ParameterError(f"seed is {seed}; it must be a whole number from 0 up.", "seed")
    if by not in WAYS:
        raise ParameterError(f"a split is by {' or '.join(WAYS)}, not by {by!r}.", "by")
    if leave_out < 0:
        raise ParameterError(
            f"leave_out is {leave_out}; it must be a whole number from 0 up.", "leave_out"
        )
    _check_numbers(ratings, ratings.n_users, ratings.n_items)  # before anything counts by them
    if not leave_out:
        told = ("Split by time: the test ratings are the latest.",) if by == "time" else ()
        return _parts(ratings, hold_out(ratings, holdout, seed, by), seed, told)
    in_train = leave_some_out(ratings, leave_out, seed, by)
    few = int(np.count_nonzero(ratings.user_counts <= leave_out))
    which = "latest" if by == "time" else "random"
    kept = f"; {few:,} users with no more than that keep all" if few else ""
    told = (f"Test ratings: {leave_out} {which} of each user{kept}.",)
    return _parts(ratings, in_train, seed, told)


def _parts(
    ratings: Ratings, in_train: npt.NDArray[np.bool_], seed: int, remarks: tuple[str, ...]
) -> Problem:
    """Build the problem of which the training ratings are chosen."""
    if in_train.all():
        # Nothing is copied: the arrays may lie on disk, larger than memory.
        columns: Triple = (ratings.u, ratings.i, ratings.r)
        rest: Triple = (ratings.u[:0], ratings.i[:0], ratings.r[:0])
    else:
        columns, rest = _parted(ratings, in_train)
    users, u = _renumber(columns[0], ratings.n_users)
    items, i = _renumber(columns[1], ratings.n_items)
    ids = ratings.user_ids[users >= 0], ratings.item_ids[items >= 0]
    train = Ratings(u, i, columns[2], *ids, ratings.name, ratings.notices)
    test_u, test_i = users[rest[0]], items[rest[1]]
    keep = (test_u >= 0) & (test_i >= 0)
    test = replace(train, u=test_u[keep], i=test_i[keep], r=rest[2][keep])
    # Without repeated pairs no test pair can be a training pair too, and the count is spared.
    shared = _shared(train, test) if ratings.duplicates else 0
    set_aside = ratings.nnz - train.nnz - test.nnz
    return Problem(train, test, seed, set_aside, shared, remarks)


def _parted(ratings: Ratings, in_train: npt.NDArray[np.bool_]) -> tuple[Triple, Triple]:
    """Copy u, i and r of the training ratings, and those of the others."""
    parts = pieces(ratings.nnz)
    starts = np.cumsum([0, *each(lambda part: np.count_nonzero(in_train[part]), parts)])
    train, rest = (
        (np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.float32))
        for size in (int(starts[-1]), ratings.nnz - int(starts[-1]))
    )

    def copy(job: tuple[slice, int]) -> None:
        part, at = job
        chosen = in_train[part]
        others = ~chosen
        columns = (ratings.u, ratings.i, ratings.r)
        for column, taken, left in zip(columns, train, rest, strict=True):
            for places, target, begin in ((chosen, taken, at), (others, left, part.start - at)):
                found = column[part][places]
                target[begin : begin + len(found)] = found

    each(copy, zip(parts, starts.tolist(), strict=False))
    return train, rest


def _renumber(
    numbers: npt.NDArray[np.int32], count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Number densely those of ``count`` rows that occur.

    Returns the new number of every row (-1: it does not occur), and the numbers renewed.
    """
    seen = np.zeros(count, dtype=np.bool_)
    parts = pieces(len(numbers))

    def look(part: slice) -> None:
        seen[numbers[part]] = True

    each(look, parts)
    table = np.where(seen, np.cumsum(seen, dtype=np.int32) - 1, -1).astype(np.int32)
    if seen.all():
        return table, numbers
    fresh = np.empty_like(numbers)

    def renew(part: slice) -> None:
        fresh[part] = table[numbers[part]]

    each(renew, parts)
    return table, fresh


def _shared(train: Ratings, test: Ratings) -> int:
    """Count the test ratings whose pair has a training rating."""
    if test.nnz == 0:
        return 0
    known = train.pairs()
    known.sort()
    pairs = test.pairs()
    return int((known[np.minimum(np.searchsorted(known, pairs), len(known) - 1)] == pairs).sum())

"""A problem: ratings split into a training and a test part.

Numbers of users and items are those of the *training* part: a test pair whose user or item has no
training rating cannot be predicted, so it is set aside, counted and shown beside every RMSE.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mfviz.data.ratings import Ratings
from mfviz.errors import DataError, ParameterError

__all__ = ["Problem", "split"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Training and test ratings that share one numbering.

    Attributes
    ----------
    train, test : Ratings
        Same ids on both sides; the test part may be empty.
    seed : int
        Seed of the split.
    set_aside : int
        Test pairs left out because their user or item is absent from training.
    """

    train: Ratings
    test: Ratings
    seed: int = 0
    set_aside: int = 0

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
        u, known_u = _lookup(train.user_ids, test.user_ids[test.u])
        i, known_i = _lookup(train.item_ids, test.item_ids[test.i])
        keep = known_u & known_i
        part = Ratings(
            u[keep], i[keep], test.r[keep], train.user_ids, train.item_ids, test.name, test.notices
        )
        return cls(train, part, seed, int((~keep).sum()))

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
        if not self.set_aside:
            return self.train.notices
        return (
            *self.train.notices,
            f"{self.set_aside:,} test ratings set aside: their user or item has no training rating.",
        )

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits over ratings and split; equal means that runs are comparable."""
        digest = hashlib.sha256()
        digest.update(np.array([self.n_users, self.n_items], dtype=np.int64).tobytes())
        for part in (self.train, self.test):
            for array in (part.u, part.i, part.r):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def split(ratings: Ratings, *, holdout: float = 0.1, seed: int = 0) -> Problem:
    """Hold out a random share of the ratings as the test set.

    Parameters
    ----------
    ratings : Ratings
        All ratings.
    holdout : float
        Share of the ratings for the test set, in [0, 1).
    seed : int
        Seed of the draw.

    Returns
    -------
    Problem

    Raises
    ------
    ParameterError
        If ``holdout`` is out of range.
    DataError
        If no training rating would be left.
    """
    if not 0.0 <= holdout < 1.0:
        raise ParameterError(
            f"holdout is {holdout}; it must be at least 0 and below 1. Try 0.1.", "holdout"
        )
    n_test = round(ratings.nnz * holdout)
    if n_test >= ratings.nnz:
        raise DataError(
            f"{ratings.name}: {ratings.nnz} rating(s) with a hold-out of {holdout} leave none to "
            "train on. Use a smaller hold-out or more ratings."
        )
    order = np.random.default_rng([seed, 0x5EED]).permutation(ratings.nnz)
    train_at, test_at = np.sort(order[n_test:]), np.sort(order[:n_test])
    train = _restrict(ratings, train_at)
    test = replace(ratings, u=ratings.u[test_at], i=ratings.i[test_at], r=ratings.r[test_at])
    return Problem.from_files(train, test, seed=seed)


def _restrict(ratings: Ratings, at: npt.NDArray[np.intp]) -> Ratings:
    """Keep the ratings at the given positions and number the sides that are left."""
    users, u = np.unique(ratings.u[at], return_inverse=True)
    items, i = np.unique(ratings.i[at], return_inverse=True)
    return Ratings(
        u.astype(np.int32),
        i.astype(np.int32),
        ratings.r[at],
        ratings.user_ids[users],
        ratings.item_ids[items],
        ratings.name,
        ratings.notices,
    )


def _lookup(
    known: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Positions of ``wanted`` ids in the sorted array ``known``, and which were found."""
    if known.dtype.kind != wanted.dtype.kind and "U" in (known.dtype.kind, wanted.dtype.kind):
        known, wanted = known.astype(str), wanted.astype(str)
        order = np.argsort(known, kind="stable")
    else:
        order = np.arange(len(known))
    at = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    position = order[at]
    return position.astype(np.int32), known[position] == wanted

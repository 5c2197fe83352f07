"""Which ratings are held out for the test: a random share, the latest, or some of each user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfviz.data.numbering import stable_order
from mfviz.data.ratings import NO_TIME, Ratings
from mfviz.errors import DataError, ParameterError

__all__ = ["WAYS", "hold_out", "leave_out", "why_no_times"]

WAYS = ("random", "time")
Mask = npt.NDArray[np.bool_]


def why_no_times(ratings: Ratings) -> str:
    """Say why ratings cannot be split by time, "" if they can.

    Parameters
    ----------
    ratings : Ratings
    """
    times = ratings.times
    if times is None:
        return "its ratings have no times that were recognised"
    missing = int(np.count_nonzero(times == NO_TIME))
    if missing:
        return f"{missing:,} of its {ratings.nnz:,} ratings have no time"
    if ratings.nnz and times.min() == times.max():
        return "all its ratings have the same time"
    return ""


def hold_out(ratings: Ratings, share: float, seed: int, by: str) -> Mask:
    """Choose a share of all ratings.

    Parameters
    ----------
    ratings : Ratings
    share : float
        For the test, in [0, 1).
    seed : int
        Of the draw; without use by time.
    by : str
        "random" or "time": the latest ratings; of equal times those further down in the file.

    Returns
    -------
    (nnz,) bool array
        True for training.

    Raises
    ------
    DataError
        If no training rating would be left, or there is no split by time.
    """
    n_test = round(ratings.nnz * share)
    if n_test >= ratings.nnz:
        raise DataError(
            f"{ratings.name}: {ratings.nnz} rating(s) with a hold-out of {share} leave none to "
            "train on. Use a smaller hold-out or more ratings."
        )
    in_train = np.ones(ratings.nnz, dtype=np.bool_)
    if by == "random":
        rng = np.random.default_rng([seed, 0x5EED])
        in_train[rng.choice(ratings.nnz, n_test, replace=False, shuffle=False)] = False
        return in_train
    times = _times(ratings)
    if n_test:
        border = np.partition(times, ratings.nnz - n_test)[ratings.nnz - n_test]
        in_train[times > border] = False
        more = n_test - int(np.count_nonzero(times > border))
        in_train[np.flatnonzero(times == border)[-more:]] = False
    return in_train


def leave_out(ratings: Ratings, count: int, seed: int, by: str) -> Mask:
    """Choose as many ratings of each user; who has no more than these keeps them.

    Parameters
    ----------
    ratings : Ratings
    count : int
        For the test, of each user, at least 1.
    seed : int
        Of the draw; without use by time.
    by : str
        "random" or "time": the latest of each user.

    Returns
    -------
    (nnz,) bool array
        True for training.

    Raises
    ------
    ParameterError
        If no user has so many ratings.
    DataError
        If there is no split by time.
    """
    if by == "random":
        order = np.random.default_rng([seed, 0x5EED]).permutation(ratings.nnz)
    else:
        order = np.argsort(_times(ratings), kind="stable")
    order = order[stable_order(ratings.u[order], ratings.n_users)]
    owner = ratings.u[order]
    held = ratings.user_counts
    last = np.cumsum(held)[owner] - np.arange(1, ratings.nnz + 1)
    in_test = (last < count) & (held[owner] > count)
    if not in_test.any():
        raise ParameterError(
            f"{count} ratings of each user are to be left out, but no user of {ratings.name} has "
            f"more than {int(held.max())}; leave out fewer.",
            "leave_out",
        )
    in_train = np.ones(ratings.nnz, dtype=np.bool_)
    in_train[order[in_test]] = False
    return in_train


def _times(ratings: Ratings) -> npt.NDArray[np.int64]:
    reason = why_no_times(ratings)
    if reason or ratings.times is None:
        raise DataError(
            f"{ratings.name}: there is no split by time, because {reason}. Split at random."
        )
    return ratings.times

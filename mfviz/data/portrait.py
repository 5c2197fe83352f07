"""What ratings look like: who rates how much, which cells are filled, which values are given.

Popularity decides how solvers conflict and balance (a hot item is a hot lock), and a test set says
little without it, so a page shows it before anything is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.data.problem import Problem

__all__ = ["Portrait", "portrait"]

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

CELLS = (48, 96)  # of the map: rows of users, columns of items
POINTS = 160  # of a popularity curve
LEVELS = 21  # different values up to which each has a bar of its own


@dataclass(frozen=True, eq=False)
class Portrait:
    """The ratings of a problem (training and test together) in numbers.

    Attributes
    ----------
    users, items, ratings, test : int
        Counts; ``test`` of the held-out ratings among ``ratings``.
    density : float
        Share of all cells that are rated.
    mean, low, high : float
        Of the rating values.
    hottest : float
        Share of all ratings that the most rated item has.
    by_user, by_item : ((points,) int64, (points,) int64)
        Ranks from 1, spread evenly on a logarithmic axis, and the ratings of the user or item of
        that rank, the busiest first.
    values, counts : (bars,) float64, (bars,) int64
        Rating values and how often each is given; centres of equal bins where there are many.
    cells : (rows, columns) float64
        Share of filled cells, users from the busiest down, items from the most rated on.
    """

    users: int
    items: int
    ratings: int
    test: int
    density: float
    mean: float
    low: float
    high: float
    hottest: float
    by_user: tuple[Int64, Int64]
    by_item: tuple[Int64, Int64]
    values: Float64
    counts: Int64
    cells: Float64


def portrait(problem: Problem) -> Portrait:
    """Look at the ratings of a problem.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Portrait
    """
    parts = (problem.train, problem.test)
    u = np.concatenate([part.u for part in parts])
    i = np.concatenate([part.i for part in parts])
    r = np.concatenate([part.r for part in parts])
    users = np.bincount(u, minlength=problem.n_users)
    items = np.bincount(i, minlength=problem.n_items)
    values, counts = _levels(r)
    return Portrait(
        users=problem.n_users,
        items=problem.n_items,
        ratings=len(r),
        test=problem.test.nnz,
        density=len(r) / (problem.n_users * problem.n_items),
        mean=float(r.mean(dtype=np.float64)),
        low=float(r.min()),
        high=float(r.max()),
        hottest=float(items.max() / len(r)),
        by_user=_popularity(users),
        by_item=_popularity(items),
        values=values,
        counts=counts,
        cells=_map(u, i, users, items),
    )


def _popularity(degrees: Int64) -> tuple[Int64, Int64]:
    """Ranks and ratings of some of the rows, the first and the last among them."""
    ranks = np.unique(np.geomspace(1, len(degrees), POINTS).round().astype(np.int64))
    return ranks, np.sort(degrees)[::-1][ranks - 1]


def _levels(r: npt.NDArray[np.float32]) -> tuple[Float64, Int64]:
    """Values and their counts, in bins where there are more than a few."""
    values, counts = np.unique(r, return_counts=True)
    if len(values) <= LEVELS:
        return values.astype(np.float64), counts
    counts, edges = np.histogram(r, bins=LEVELS - 1)
    return (edges[:-1] + edges[1:]) / 2, counts


def _map(u: Any, i: Any, users: Int64, items: Int64) -> Float64:
    """Share of filled cells of a coarse grid, both sides ordered by their ratings."""
    places, sizes = [], []
    for degrees, most in zip((users, items), CELLS, strict=True):
        count = min(len(degrees), most)
        cell = np.empty(len(degrees), np.int64)
        cell[np.argsort(-degrees, kind="stable")] = np.arange(len(degrees)) * count // len(degrees)
        places.append(cell)
        sizes.append(np.bincount(cell, minlength=count))
    rows, columns = len(sizes[0]), len(sizes[1])
    filled = np.bincount(places[0][u] * columns + places[1][i], minlength=rows * columns)
    return filled.reshape(rows, columns) / np.outer(*sizes)

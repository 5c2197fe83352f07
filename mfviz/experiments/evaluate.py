"""The RMSE of a model on a crew's workers: float64, in the user's units, unclipped."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mfviz.backends.host import Crew, Gate
from mfviz.data.ratings import Ratings
from mfviz.kernels.metrics import squared_error
from mfviz.solvers.base import Factors

__all__ = ["rmse", "sum_of_squares"]

PIECE = 1 << 15  # ratings a kernel call: a few ms at rank 128, so that a pause is heard soon


def sum_of_squares(
    ratings: Ratings, factors: Factors, crew: Crew, gate: Gate, look: Callable[[], None]
) -> float:
    """Sum of squared errors over all ratings.

    Parameters
    ----------
    ratings : Ratings
    factors : Factors
    crew : Crew
        Idle; each worker takes pieces of the ratings.
    gate : Gate
        Passed between pieces.
    look : callable
        Called every 20 ms while the crew is at it; what it raises ends the evaluation.

    Returns
    -------
    float
        Pieces are added in their order, so the value does not depend on the number of workers.
    """
    starts = range(0, ratings.nnz, PIECE)
    sums = np.zeros(len(starts))
    model = (factors.P, factors.Q, factors.bu, factors.bi, float(factors.mu), float(factors.scale))

    def task(worker: int) -> None:
        for piece in range(worker, len(starts), crew.workers):
            if not gate():
                return
            start = starts[piece]
            stop = min(start + PIECE, ratings.nnz)
            sums[piece] = squared_error(ratings.u, ratings.i, ratings.r, start, stop, *model)

    crew.start(task)
    while not crew.wait(0.02):
        look()
    return math.fsum(sums)


def rmse(total: float, count: int) -> float:
    """Root of the mean squared error; NaN where there is no rating."""
    return math.sqrt(total / count) if count else math.nan

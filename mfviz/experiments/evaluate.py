"""The RMSE of a model on a crew's workers: float64, in the user's units, unclipped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from mfviz.backends.host import Crew, Gate
from mfviz.data.ratings import Ratings
from mfviz.kernels.metrics import squared_error
from mfviz.solvers.base import Factors

__all__ = ["rmse", "sum_of_squares"]

LOOK_S = 0.02
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
        Idle; each worker takes pieces of the ratings. The caller is worker 0, since its core has
        the model in its caches, and will have it there when the training goes on.
    gate : Gate
        Passed between pieces; shut by ``look`` alone.
    look : callable
        Called by the caller about every 20 ms; what it raises ends the evaluation.

    Returns
    -------
    float
        Pieces are added in their order, so the value does not depend on the number of workers.
    """
    starts = range(0, ratings.nnz, PIECE)
    sums = np.zeros(len(starts))
    model = (factors.P, factors.Q, factors.bu, factors.bi, float(factors.mu), float(factors.scale))

    pieces = iter(range(len(starts)))  # whoever is free takes the next one

    def add_next() -> bool:
        piece = next(pieces, None) if gate() else None
        if piece is not None:
            start = starts[piece]
            stop = min(start + PIECE, ratings.nnz)
            sums[piece] = squared_error(ratings.u, ratings.i, ratings.r, start, stop, *model)
        return piece is not None

    def task(worker: int) -> None:
        while add_next():
            pass

    crew.start(task, first=1)
    looked = time.monotonic()
    while add_next():
        if time.monotonic() - looked > LOOK_S:
            look()
            looked = time.monotonic()
    while not crew.wait(LOOK_S):
        look()
    return math.fsum(sums)


def rmse(total: float, count: int) -> float:
    """Root of the mean squared error; NaN where there is no rating."""
    return math.sqrt(total / count) if count else math.nan

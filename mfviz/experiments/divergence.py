"""The one divergence rule, for every solver, and the setting that is worth trying next."""

from __future__ import annotations

import math

import numpy as np

from mfviz.data.problem import Problem
from mfviz.experiments.proposals import FAMILIES, propose
from mfviz.solvers.base import Solver

__all__ = ["Rule", "suggestion"]

GROWTH = 4.0
STEP = 4.0  # the suggestion divides the learning rate, or multiplies lambda, by this


class Rule:
    """A run diverges when a number is NaN or infinite, or when its training RMSE has grown.

    Grown means more than four times the larger of the initial RMSE and the ratings' standard
    deviation: no useful model is four times as wrong as their mean. Where the initial state was
    not evaluated, the ratings' own size stands in for it; where all ratings are alike, a tenth of
    their size stands in for a deviation of zero.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        r, count = problem.train.r, problem.train.nnz
        square = float(np.vdot(r, r)) / count if count else 0.0  # no array of the ratings' size
        variance = max(square - problem.train.mean**2, 0.0)
        self._spread = math.sqrt(max(variance, 0.01 * square))
        self._first = math.sqrt(square)

    def check(self, epoch: int, rmse: float) -> str:
        """Return "" or what is wrong, in words; epoch 0 sets the measure."""
        if not math.isfinite(rmse):
            return f"the training RMSE is {rmse}"
        if epoch == 0:
            self._first = rmse
        limit = GROWTH * max(self._first, self._spread)
        if limit and rmse > limit:
            return f"the training RMSE grew from {self._first:.4g} to {rmse:.4g}"
        return ""


def suggestion(solver: Solver, problem: Problem, lr: float, lam: float) -> str:
    """A setting worth trying after a divergence, as NAME=VALUE.

    That is the learning rate which is proposed for these ratings, if the run's was larger.

    Parameters
    ----------
    solver : Solver
    problem : Problem
    lr, lam : float
        Values at the end of the run.
    """
    if solver.has_lr:
        known = propose(solver.key, problem) if solver.key in FAMILIES else {}
        proposed = float(known.get("lr", math.inf))
        value = proposed if proposed < lr else lr / STEP
        return f"lr={max(value, _bounds(solver, 'lr')[0]):.4g}"
    return f"lam={min(max(lam * STEP, 0.05), _bounds(solver, 'lam')[1]):.4g}"


def _bounds(solver: Solver, name: str) -> tuple[float, float]:
    low, high = solver.hyper_parameters()[name].bounds or (None, None)
    return (0.0 if low is None else low, math.inf if high is None else high)

"""What ALS and coordinate descent share: the model, its objective and the exact bias step."""

from __future__ import annotations

import numpy as np
import param

from mfviz.data.problem import Problem
from mfviz.kernels.bias import Biases
from mfviz.solvers.base import Context, Factors, Solver
from mfviz.solvers.init import INITS, make_factors
from mfviz.solvers.sides import Side, penalty

__all__ = ["AlternatingSolver"]


class AlternatingSolver(Solver):
    """Base of the solvers that fit one side exactly, whole or in parts, while the other is fixed.

    They minimise ``sum (r - mu - b_u - b_i - p_u . q_i)^2`` plus lambda times the (weighted)
    squared norms of the features and ``lam_bias`` times those of the biases. Without biases the
    mean stays in the ratings too, and the factors explain it.
    """

    two_sided = True
    has_lr = False

    lam = param.Number(0.05, bounds=(0.0, 100.0), doc="Regularisation λ.")
    weighted = param.Boolean(
        True, doc="Count λ once for each rating of a row (ALS-WR) instead of once for the row."
    )
    biases = param.Boolean(
        False,
        doc="Subtract the mean of the ratings and fit a bias for each user and item, exactly, "
        "before the features of its side (off: p·q alone explains the ratings).",
    )
    lam_bias = param.Number(0.02, bounds=(0.0, 100.0), doc="Regularisation λ of the biases.")
    init = param.Selector(
        default="positive",
        objects=list(INITS),
        doc="Initial factors: positive U[0,2)·√(mean/f); uniform U[0,1)/√f; normal N(0,1).",
    )
    init_scale = param.Number(
        1.0, bounds=(0.0, 10.0), inclusive_bounds=(False, True), doc="Factor of initial values."
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": neither workers nor chunks change a bit of the result."""
        return "exact"

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """Return squared error plus the (weighted) squared norms of features and biases."""
        loss = squared_error + self.lam * penalty(problem, factors, self.weighted)
        if factors.biased:
            train = problem.train
            for b, count in ((factors.bu, train.user_counts), (factors.bi, train.item_counts)):
                squares = b.astype(np.float64) ** 2
                loss += self.lam_bias * float(squares @ count if self.weighted else squares.sum())
        return loss

    def make_model(self, problem: Problem, context: Context, *, zero: str) -> Factors:
        """Make the factors; with biases the side ``zero`` starts at 0, unless a start is given.

        The first bias step then sees the ratings, and not what random factors make of them.
        """
        mu = problem.train.mean if self.biases else 0.0
        factors = make_factors(self, problem, context, mu=mu, biased=self.biases)
        if self.biases and zero and context.start is None:
            getattr(factors, zero)[:] = 0.0
        return factors

    def biases_of(self, side: Side, factors: Factors, *, on: bool = True) -> Biases:
        """Return what the kernels need to know of a side's biases."""
        mu, lam = np.float32(factors.mu), float(self.lam_bias)
        return Biases(side.bx, side.by, mu, lam, bool(self.weighted), bool(factors.biased and on))

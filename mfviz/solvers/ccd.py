"""CCD: a row finds the best value of one feature after the other; ALS solves for all at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.bias import Biases
from mfviz.kernels.ccd import fit_rows
from mfviz.solvers.alternating import AlternatingSolver
from mfviz.solvers.base import Card, Checkpoint, Context
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import SIDES, USERS, Side, Sweeper, make_sides, side_parts
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["CCD"]


class CCD(AlternatingSolver):
    """Coordinate descent row by row: one cycle over the features of each user, then of each item.

    Pseudo-code: *for all users at once: e = r - Q p_u over the user's ratings; for each feature k:
    p_uk = sum (e + p_uk q_ik) q_ik / (lam n_u + sum q_ik^2), and e follows; barrier; for all items
    at once: the same with the sides swapped; barrier.*

    With ``biases`` a row's bias is fitted before its features, to the residual of the moment.

    ALS solves a row exactly, in f^2 steps a rating and f^3 a row; one cycle costs f a rating and
    gets most of the way.

    Memory: 16 N + 8 (m + n + 2) for the ratings in both orders, 4 N for the residuals, 4 (f + 1)
    (m + n) for the model, and 64 (T + 1) for counters.

    Reproducibility: exact, whatever the workers; a row has one writer.
    """

    key = "ccd"
    title = "CCD"
    paper = (
        "Pilászy, Zibriczky, Tikk: Fast ALS-based matrix factorization for explicit and implicit "
        "feedback datasets, 2010"
    )
    equations = (
        r"p_{uk} \leftarrow \frac{\sum_{i\in\Omega_u} (e_{ui} + p_{uk} q_{ik})\, q_{ik}}"
        r"{\lambda n_u + \sum_{i\in\Omega_u} q_{ik}^2}\quad k = 1..f"
        r"\qquad\text{(the same for } q_{ik})"
    )
    card = Card(
        brief="exact steps in a row, two barriers",
        parallel="All rows of a side; the features of one row come one after the other.",
        synchronises="One barrier after the users and one after the items of each epoch.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="16 f flops a rating and epoch: linear in the rank, where ALS is quadratic.",
        memory="Ratings twice and their residuals once (20 N), and the factors.",
        kernel="kernels.ccd: one pass of 16-lane gathers a feature over the ratings of a row.",
    )

    epochs = param.Integer(15, bounds=(1, 10_000), doc="Cycles over the features of both sides.")

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings in both orders, residuals, the model and the counters."""
        residuals = MemoryPart("residuals", "workspace", "host", "4 N", 4 * nnz)
        model = memory_parts(n_users, n_items, self.rank)
        sides = side_parts(n_users, n_items, nnz)
        return MemoryModel((*sides, *model, residuals, Sweeper.part(self.workers)))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        context.names = SIDES
        factors = self.make_model(problem, context, zero="P")
        sides = make_sides(problem, context, factors)
        residuals = context.ledger.empty("residuals", problem.train.nnz, np.float32)
        sweeper, updates = Sweeper(context, whole_rows=True), 0
        yield Checkpoint("epoch", 0, 0)

        factors.P[problem.train.user_counts == 0] = 0.0
        factors.Q[problem.train.item_counts == 0] = 0.0
        for epoch in range(1, self.epochs + 1):
            for side in sides:
                biases = self.biases_of(side, factors)
                for low, high in self._fit(sweeper, side, biases, context, residuals):
                    updates += high - low
                    if high < len(side.index):
                        yield Checkpoint("chunk", epoch, updates)
                if side.tag == USERS:
                    yield Checkpoint("half-sweep", epoch, updates)
            yield Checkpoint("epoch", epoch, updates)

    def _fit(
        self,
        sweeper: Sweeper,
        side: Side,
        biases: Biases,
        context: Context,
        residuals: npt.NDArray[np.float32],
    ) -> Iterator[tuple[int, int]]:
        """Fit all rows of a side; see :meth:`Sweeper.sweep`."""
        spans = context.spans

        def kernel(worker: int, low: int, high: int, size: int) -> None:
            fit_rows(
                side.X, side.Y, biases, side.indptr, side.index, side.r, residuals, low, high,
                size, sweeper.counter, self.rank, float(context.lam), self.weighted, sweeper.ends,
                spans.rows, spans.fill, worker, side.tag,
            )  # fmt: skip

        return sweeper.sweep(side, kernel)

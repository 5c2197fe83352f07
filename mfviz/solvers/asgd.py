"""ASGD: users walk through their ratings while the items stand still, then the other way round."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import param

from mfviz.data.problem import Problem
from mfviz.kernels.asgd import visit_rows
from mfviz.solvers.base import Card, Checkpoint, Context
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import SIDES, USERS, Side, Sweeper, make_sides, side_parts
from mfviz.solvers.stochastic import BiasedSolver, draw_seed
from mfviz.telemetry.memory import MemoryModel

__all__ = ["ASGD"]


class ASGD(BiasedSolver):
    """Alternating SGD: one side at a time, all of its rows side by side.

    Pseudo-code: *for all users at once: for each rating of the user: update p_u and b_u, with Q
    frozen; barrier; for all items at once: the same with P frozen; barrier.*

    What couples the updates of SGD is that each touches a user and an item. With one side fixed a
    user's updates touch nothing of another user, at the price of visiting each rating twice.

    Memory: 16 N + 8 (m + n + 2) for the ratings in both orders, 4 (f + 1)(m + n) for the model,
    and 64 (T + 1) for counters.

    Reproducibility: exact, whatever the workers; a row has one writer.
    """

    key = "asgd"
    title = "ASGD"
    paper = (
        "Luo, Liu, Gou, Xia, Zhu: A parallel matrix factorization based recommender by "
        "alternating stochastic gradient decent, 2012"
    )
    equations = (
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u)\ \text{for } i \in \Omega_u,\ "
        r"Q \text{ fixed};\qquad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)\ \text{for } u \in \Omega_i,\ "
        r"P \text{ fixed}"
    )
    two_sided = True
    card = Card(
        brief="one side at a time, two barriers",
        parallel="All rows of a side; the ratings of one row are visited one after the other.",
        synchronises="One barrier after the users and one after the items of each epoch.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="10 f flops a rating and epoch, as each rating is visited from both sides.",
        memory="16 N + 4 (f + 1)(m + n) bytes: ratings by user and by item.",
        kernel="kernels.asgd: 16-lane vectors over rows, dealt in slices of equal rating mass.",
    )

    shuffle = param.Boolean(
        True, doc="Visit a row's ratings in a fresh random order each epoch (off: in file order)."
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": neither workers nor chunks change a bit of the result."""
        return "exact"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings in both orders, the model and the counters."""
        model = memory_parts(n_users, n_items, self.rank)
        parts = (*side_parts(n_users, n_items, nnz), *model, Sweeper.part(self.workers))
        return MemoryModel(parts)

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = SIDES
        sides = make_sides(problem, context, factors)
        sweeper, updates = Sweeper(context, whole_rows=False), 0
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            for side in sides:
                seed = draw_seed(order_rng) if self.shuffle else np.uint64(0)
                for low, high in self._visit(sweeper, side, context, schedule.factor(epoch), seed):
                    updates += high - low
                    if high < len(side.index):
                        yield Checkpoint("chunk", epoch, updates)
                if side.tag == USERS:
                    yield Checkpoint("half-sweep", epoch, updates)
            here = Checkpoint("chunk", epoch, updates)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, updates)

    def _visit(
        self, sweeper: Sweeper, side: Side, context: Context, factor: float, seed: np.uint64
    ) -> Iterator[tuple[int, int]]:
        """Visit all ratings of a side; see :meth:`Sweeper.sweep`."""
        factors, spans = context.factors, context.spans
        assert factors is not None

        def kernel(worker: int, low: int, high: int, size: int) -> None:
            rates = self.rates(context, factors, factor)
            visit_rows(
                side.X, side.Y, side.bx, side.by, side.indptr, side.index, side.r, 0, low, high,
                size, 1 << 62, sweeper.counter, seed, rates, sweeper.ends, spans.rows, spans.fill,
                worker, side.tag,
            )  # fmt: skip

        return sweeper.sweep(side, kernel)

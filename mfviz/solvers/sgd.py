"""Serial stochastic gradient descent: the yardstick of all parallel versions."""

from __future__ import annotations

from collections.abc import Iterator

import param

from mfviz.data.problem import Problem
from mfviz.kernels.order import shuffle
from mfviz.kernels.sgd import sgd_until, shuffle_until
from mfviz.solvers.base import Card, Checkpoint, Context
from mfviz.solvers.stochastic import OPEN, SOLO_NS, BiasedSolver, draw_seed, pack
from mfviz.telemetry.memory import MemoryModel

__all__ = ["SGD"]


class SGD(BiasedSolver):
    """One thread visits all ratings in a fresh random order each epoch.

    Pseudo-code: *shuffle the ratings; for each (u, i, r): e = r - prediction; update p_u and q_i,
    each from the old value of the other; update the two biases.*

    Memory: 12 N for the shuffled copy of the ratings, 4 f (m + n) for the factors (f padded to a
    multiple of 16), 4 (m + n) for the biases.

    There is no CUDA form: one rating after the other is work for one warp of thousands.

    Reproducibility: exact. Settings and seed give the same bits on a machine, however the work is
    cut into chunks.
    """

    key = "sgd"
    rows_in_registers = True
    title = "SGD"
    paper = "Koren, Bell, Volinsky: Matrix factorization techniques for recommender systems, 2009"
    equations = (
        r"e = r_{ui} - \mu - b_u - b_i - p_u^\top q_i,\quad "
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u),\quad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)"
    )
    card = Card(
        brief="serial, one rating at a time",
        parallel="Nothing: one thread visits one rating after the other.",
        synchronises="Nothing waits for anything.",
        conflicts="None; each visit sees the result of all visits before it.",
        cost="8 f flops a rating; one epoch visits all N ratings once.",
        memory="12 N + 4 (f + 1)(m + n) bytes.",
        kernel="kernels.sgd: both rows in registers, shuffled 12-byte records, rows prefetched.",
    )

    workers = param.Integer(
        1, bounds=(1, 1), constant=True, doc="Serial: one thread (hogwild is the parallel one)."
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": one thread, one seeded order."""
        return "exact"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records of the ratings, and the model."""
        return MemoryModel(tuple(self.model_parts(n_users, n_items, nnz)))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        train, spans = problem.train, context.spans
        records = pack(context.ledger, train.u, train.i, train.r)
        model = (factors.P, factors.Q, factors.bu, factors.bi)
        lane = (SOLO_NS, OPEN, spans.rows, spans.fill, 0)
        total, updates = train.nnz, 0
        shuffle(records, 0, draw_seed(order_rng), total, 0)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            if epoch > 1:
                seed, left = draw_seed(order_rng), total
                while left := shuffle_until(records, 0, total, seed, left, *lane):
                    yield Checkpoint("chunk", epoch, updates)
            at = 0
            while at < total:
                rates = self.rates(context, factors, schedule.factor(epoch))
                stop = min(total, at + context.chunk)
                ahead = sgd_until(records, at, stop, *lane, *model, rates)
                updates, at = updates + ahead - at, ahead
                if at < total:
                    yield Checkpoint("chunk", epoch, updates)
            here = Checkpoint("chunk", epoch, updates)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, updates)

"""Preconditioned SGD: steps that know the covariance of the other side's features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.order import shuffle
from mfviz.kernels.precondition import preconditioned_until
from mfviz.kernels.sgd import shuffle_until
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.stochastic import NAMES, OPEN, SOLO_NS, BiasedSolver, draw_seed, pack
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["PreconditionedSGD"]

KINDS = ("none", "whiten", "kaczmarz")  # in the order of kernels.precondition
COVARIANCE = len(NAMES)  # tag of the spans in which the inverses are computed
BLOCK = 1 << 14  # rows of a factor matrix that are summed up in float64 at a time


class PreconditionedSGD(BiasedSolver):
    """Serial SGD with steps between those of SGD and those of ALS.

    Pseudo-code: *each epoch: C_Q = Q^T Q / n + eps I, C_P alike; for each (u, i, r) in random
    order: p_u += lr eps C_Q^-1 (e q_i - lam p_u), q_i += lr eps C_P^-1 (e p_u - lam q_i).*

    Where features are correlated or of unequal size, SGD crawls along the small directions; C
    makes all of them alike (whitening: decorrelating features, as ALS does exactly for each row).
    The learning rate counts in units of 1 / eps, so it is that of sgd where features hardly vary,
    and strong directions are damped instead of weak ones stretched: C is that of the epoch's
    start, when features may still be small. The other choice normalises *examples*: with the
    step of Kaczmarz, lr / (|q_i|^2 + lam), a rate of 1 solves for the rating that is visited.

    Memory: 12 N + 4 (f + 1)(m + n) as sgd, and 8 f^2 + 8 f for the inverses and a gradient.

    Reproducibility: exact, as sgd.
    """

    key = "preconditioned_sgd"
    title = "Preconditioned SGD"
    paper = (
        "Bulatov: Critical batch-size and effective dimension in ordinary least squares, 2023 "
        "(left and right preconditioning); Kaczmarz, 1937"
    )
    equations = (
        r"p_u \leftarrow p_u + \gamma \varepsilon\, C_Q^{-1} (e\,q_i - \lambda p_u),\quad "
        r"C_Q = \tfrac1n Q^\top Q + \varepsilon I;\qquad "
        r"\text{Kaczmarz: } p_u \leftarrow p_u + "
        r"\tfrac{\gamma}{\lVert q_i \rVert^2 + \lambda} (e\,q_i - \lambda p_u)"
    )
    card = Card(
        brief="serial, whitened steps",
        parallel="Nothing: one thread visits one rating after the other.",
        synchronises="Nothing waits; the two inverses are computed once an epoch.",
        conflicts="None; each visit sees the result of all visits before it.",
        cost="12 f + 4 f² flops a rating, and 2 (m + n) f² + 4 f³ an epoch for the inverses.",
        memory="12 N + 4 (f + 1)(m + n) + 8 f² bytes.",
        kernel="kernels.precondition: 16-lane vectors; f × f products a rating where it whitens.",
    )

    precondition = param.Selector(
        default="whiten",
        objects=["whiten", "kaczmarz", "none"],
        doc="whiten, by the inverse covariance of the other side; kaczmarz, steps divided by "
        "|q|² + λ; none, serial sgd.",
    )
    epsilon = param.Number(
        0.1,
        bounds=(1e-6, 1e6),
        doc="ε of the covariance: directions in which the other side varies more are damped.",
    )
    workers = param.Integer(1, bounds=(1, 1), constant=True, doc="Serial: one thread.")

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": one thread, one seeded order."""
        return "exact"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records of the ratings, the model, two inverses and a gradient."""
        f = Factors.width(self.rank)
        inverses = MemoryPart("inverse covariances", "workspace", "host", "8 f²", 8 * f * f)
        gradient = MemoryPart("gradient", "workspace", "host", "8 f", 8 * f)
        return MemoryModel((*self.model_parts(n_users, n_items, nnz), inverses, gradient))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = (*NAMES, "covariance")
        train, spans, total = problem.train, context.spans, problem.train.nnz
        records = pack(context.ledger, train.u, train.i, train.r)
        f = factors.P.shape[1]
        inverses = context.ledger.empty("inverse covariances", (2, f, f), np.float32, fill=0)
        gradient = context.ledger.empty("gradient", (2, 1, f), np.float32, fill=0)
        model = (factors.P, factors.Q, factors.bu, factors.bi)
        kind, updates = KINDS.index(self.precondition), 0
        shuffle(records, 0, draw_seed(order_rng), total, 0)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            if epoch > 1:
                seed, left = draw_seed(order_rng), total
                lane = (SOLO_NS, OPEN, spans.rows, spans.fill, 0)
                while left := shuffle_until(records, 0, total, seed, left, *lane):
                    yield Checkpoint("chunk", epoch, updates)
            if self.precondition == "whiten":
                for _ in self._refresh(factors, inverses, context):
                    yield Checkpoint("chunk", epoch, updates)
            at = 0
            while at < total:
                rates = self.rates(context, factors, schedule.factor(epoch))
                ahead = preconditioned_until(
                    records, at, min(total, at + context.chunk), SOLO_NS, kind, *model, rates,
                    *inverses, gradient, spans.rows, spans.fill,
                )  # fmt: skip
                updates, at = updates + ahead - at, ahead
                if at < total:
                    yield Checkpoint("chunk", epoch, updates)
            here = Checkpoint("chunk", epoch, updates)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, updates)

    def _refresh(
        self, factors: Factors, inverses: npt.NDArray[np.float32], context: Context
    ) -> Iterator[None]:
        """Compute both inverse covariances from the factors as they are; yields between blocks."""
        k = self.rank
        for inverse, X in zip(inverses, (factors.P, factors.Q), strict=True):
            C = np.zeros((k, k))
            for first in range(0, len(X), BLOCK):
                begin = context.spans.now_ns()
                rows = X[first : first + BLOCK, :k].astype(np.float64)
                C += rows.T @ rows
                context.spans.add(0, begin, context.spans.now_ns(), op="host", tag=COVARIANCE)
                if first + BLOCK < len(X):
                    yield
            C = C / (len(X) * self.epsilon) + np.eye(k)
            inverse[:k, :k] = np.linalg.inv(C) if np.isfinite(C).all() else np.nan
            inverse[:k, :k] += inverse[:k, :k].T.copy()  # symmetric to the last bit
            inverse *= np.float32(0.5)

"""Averaged SGD: every worker trains a model of its own, and now and then they are averaged."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.layout import grid
from mfviz.data.problem import Problem
from mfviz.kernels.average import average_rows, count_touches
from mfviz.kernels.order import part_seed, shuffle
from mfviz.kernels.sgd import sgd_until, shuffle_until
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.init import draw
from mfviz.solvers.stochastic import NAMES, OPEN, SOLO_NS, BiasedSolver, draw_seed, pack
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["AveragedSGD"]

AVERAGE = len(NAMES)  # tag of the spans of averaging
SHUFFLE, WAIT = 1, 2
YIELD_NS = 20_000_000  # rounds are short: a checkpoint follows when this much time has passed
COPIES = ("P", "Q", "bu", "bi")


class AveragedSGD(BiasedSolver):
    """Periodic model averaging: K workers, K models, K shares of the ratings.

    Pseudo-code: *deal the shuffled ratings to the workers; repeat: each worker makes ``period``
    steps of sgd on its share and its own copy of the model; barrier; all copies become their
    average; barrier.*

    A row that few workers have touched must not be averaged with the copies that have not moved:
    "touching" weighs a copy of a row by its visits since the last average, "plain" does not and
    damps every step by 1/K. Rows that all touch are damped either way, so learning rates are
    multiplied by K. From different starts the average of models means nothing, as P Qᵀ
    stays what it is when both are rotated; that is here to be seen.

    Memory: 12 N + 4 (f + 1)(m + n) as sgd, and for each worker another model and the visits of
    its rows, 4 (f + 2)(m + n).

    Reproducibility: exact for a given number of workers; with one worker it is sgd bit for bit.
    """

    key = "averaged_sgd"
    rows_in_registers = True
    title = "Averaged SGD"
    paper = (
        "Povey, Zhang, Khudanpur: Parallel training of DNNs with natural gradient and parameter "
        "averaging, 2014"
    )
    equations = (
        r"\theta_k \leftarrow \text{SGD}_\tau(\theta_k; \text{share } k),\qquad "
        r"p_u \leftarrow \frac{\sum_k c_{ku}\, p_u^{(k)}}{\sum_k c_{ku}},\quad "
        r"c_{ku} = \text{visits of } u \text{ by } k \ \text{(plain: } c = 1)"
    )
    card = Card(
        brief="a model a worker, then averaged",
        parallel="Everything: each worker has a model and a share of the ratings of its own.",
        synchronises="Two barriers around each average, after every ``period`` steps a worker.",
        conflicts="None in memory; copies that drift apart are pulled together by averaging.",
        cost="8 f flops a rating, and 2 f K (m + n) for an average; each is K times as stale.",
        memory="12 N bytes and K + 1 models; plain averaging from different starts cannot learn.",
        kernel="kernels.sgd, the compiled loop of sgd, on a copy a worker; kernels.average.",
    )

    period = param.Integer(
        0,
        bounds=(0, 2**31 - 1),
        doc="Steps of each worker between two averages, τ; 0: one average at the end of an epoch.",
    )
    average = param.Selector(
        default="touching",
        objects=["touching", "plain"],
        doc="Weights of the copies of a row: touching, their visits since the last average; "
        "plain, all the same.",
    )
    starts = param.Selector(
        default="same",
        objects=["same", "different"],
        doc="Whether all copies start alike; different starts cannot be averaged, as is seen.",
    )
    scale_rate = param.Boolean(
        True,
        doc="Multiply the learning rates by the number of workers, as averages divide each "
        "worker's steps by it.",
    )
    by_user = param.Boolean(
        False, doc="Deal whole users to the workers, so that only Q is ever averaged."
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" with one worker, otherwise exact for that number of workers."""
        return "exact" if self.workers == 1 else f"exact at {self.workers} workers"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records, the model, and a copy and visit counts for each worker."""
        f, K, rows = Factors.width(self.rank), self.workers, n_users + n_items

        def part(name: str, part: str, formula: str, size: int) -> MemoryPart:
            return MemoryPart(name, part, "host", formula, size)

        return MemoryModel(
            (
                *self.model_parts(n_users, n_items, nnz),
                part("copies", "buffers", "4 K (f + 1)(m + n)", 4 * K * (f + 1) * rows),
                part("visits of rows", "workspace", "4 K (m + n)", 4 * K * rows),
            )
        )

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, layout_rng, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = (*NAMES, "average")
        copies = _Copies(self, problem, context, factors, init_rng)
        copies.deal(problem, layout_rng, draw_seed(order_rng))
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            seed = draw_seed(order_rng) if epoch > 1 else None
            for _ in copies.epoch(seed, schedule.factor(epoch)):
                yield Checkpoint("chunk", epoch, copies.visits)
            here = Checkpoint("chunk", epoch, copies.visits)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, copies.visits)


class _Copies:
    """The workers' models and shares, and where each worker is in its own."""

    def __init__(
        self,
        solver: AveragedSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.solver, self.context, self.factors = solver, context, factors
        ledger, self.workers = context.ledger, solver.workers
        self.scale = self.workers if solver.scale_rate else 1
        self.arrays: dict[str, npt.NDArray[np.float32]] = {}
        for name in COPIES:
            one = getattr(factors, name)
            shape = (self.workers, *one.shape)
            self.arrays[name] = ledger.empty(
                f"copies of {name}", shape, np.float32, part="buffers"
            )
            self.arrays[name][:] = one
        rows = {"P": problem.n_users, "Q": problem.n_items}
        self.touches = {
            name: ledger.empty(f"visits of rows of {name}", (self.workers, n), np.int32, fill=0)
            for name, n in rows.items()
        }
        if solver.starts == "different" and context.start is None:
            kind, scale, mean = solver.init, solver.init_scale, problem.train.mean
            for worker, name in itertools.product(range(1, self.workers), "PQ"):
                A = self.arrays[name][worker]
                draw(A, solver.rank, rng, kind=kind, scale=scale, mean=mean)
            for name in "PQ":
                getattr(factors, name)[:] = self.arrays[name].mean(axis=0)

    def deal(self, problem: Problem, rng: np.random.Generator, seed: np.uint64) -> None:
        """Give each worker its share of the ratings, shuffled."""
        t, K = problem.train, self.workers
        if self.solver.by_user:
            layout = grid(t, K, 1, rng)
            self.records = pack(self.context.ledger, layout.u, layout.i, layout.r)
            self.ends = layout.offsets.tolist()
            for k, (first, last) in enumerate(itertools.pairwise(self.ends)):
                shuffle(self.records, first, np.uint64(part_seed(seed, k)), last - first, 0)
        else:
            self.records = pack(self.context.ledger, t.u, t.i, t.r)
            shuffle(self.records, 0, seed, t.nnz, 0)
            self.ends = [t.nnz * k // K for k in range(K + 1)]
        self.at = self.ends[:-1]
        self.before = 0

    @property
    def visits(self) -> int:
        """Ratings visited since the start."""
        return self.before + sum(self.at) - sum(self.ends[:-1])

    def epoch(self, seed: np.uint64 | None, factor: float) -> Iterator[None]:
        """Visit all shares once, averaging every ``period`` steps; yields at safe points."""
        self.before, self.at = self.visits, self.ends[:-1]
        if seed is not None:
            yield from self._shuffle(seed)
        longest = max(b - a for a, b in itertools.pairwise(self.ends))
        period = self.solver.period or longest
        since, told = time.monotonic_ns(), self.visits
        for goal in range(period, longest + period, period):
            stops = [min(a + goal, b) for a, b in itertools.pairwise(self.ends)]
            while self.at != stops:
                left = self.context.chunk - (self.visits - told)
                self._visit(stops, max(1, left), factor)
                late = time.monotonic_ns() - since > YIELD_NS or self.context.spans.half_full
                if late or self.visits - told >= self.context.chunk or self.at != stops:
                    yield
                    since, told = time.monotonic_ns(), self.visits
            self._average()

    def _shuffle(self, seed: np.uint64) -> Iterator[None]:
        left = [b - a for a, b in itertools.pairwise(self.ends)]
        spans = self.context.spans

        def task(k: int) -> None:
            if left[k]:
                own = np.uint64(part_seed(seed, k))
                left[k] = shuffle_until(
                    self.records, self.ends[k], self.ends[k + 1], own, left[k], SOLO_NS, OPEN,
                    spans.rows, spans.fill, k,
                )  # fmt: skip

        while any(left):
            self.context.crew.run(task)
            yield

    def _visit(self, stops: list[int], most: int, factor: float) -> None:
        """Make one kernel call on each worker's share and copy; they wait for each other."""
        context, spans = self.context, self.context.spans
        if most < self.workers:  # so few that workers take turns
            turn = next(k for k in range(self.workers) if self.at[k] < stops[k])
            shares = [most if k == turn else 0 for k in range(self.workers)]
        else:
            shares = [most // self.workers] * self.workers

        def task(k: int) -> None:
            start, stop = self.at[k], min(stops[k], self.at[k] + shares[k])
            if start < stop:
                P, Q, bu, bi = (self.arrays[name][k] for name in COPIES)
                rates = self.solver.rates(context, self.factors, factor * self.scale)
                self.at[k] = sgd_until(
                    self.records, start, stop, SOLO_NS, OPEN, spans.rows, spans.fill, k,
                    P, Q, bu, bi, rates,
                )  # fmt: skip
                users, items = self.touches["P"][k], self.touches["Q"][k]
                count_touches(self.records, start, self.at[k], users, items)

        context.crew.run(task)
        self._draw_waits()

    def _draw_waits(self) -> None:
        """Draw the wait of each worker that was not the last."""
        spans, ends = self.context.spans, {}
        for k in range(self.workers):
            if spans.fill[k, 0]:
                ends[k] = int(spans.rows[k, spans.fill[k, 0] - 1, 1])
        last = max(ends.values(), default=0)
        for k, end in ends.items():
            if end < last:
                spans.add(k, end, last, op="wait", reason="barrier", tag=WAIT)

    def _average(self) -> None:
        """Let every copy become the average of all; each worker does its share of the rows."""
        factors, spans, K = self.factors, self.context.spans, self.workers
        plain = self.solver.average == "plain"

        def task(k: int) -> None:
            begin = spans.now_ns()
            for X, b, name, bias in (
                (factors.P, factors.bu, "P", "bu"),
                (factors.Q, factors.bi, "Q", "bi"),
            ):
                first, stop = len(X) * k // K, len(X) * (k + 1) // K
                copies, biases = self.arrays[name], self.arrays[bias]
                average_rows(X, b, copies, biases, self.touches[name], plain, first, stop)
            spans.add(k, begin, spans.now_ns(), tag=AVERAGE)

        self.context.crew.run(task)
        self._draw_waits()

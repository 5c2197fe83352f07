"""Mini-batch SGD: all gradients of a batch at the same factors, from one rating to all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.minibatch import COUNTS, ERRORS, QUIET, STEPS, SUMS, Batch, run_batches
from mfviz.kernels.order import shuffle
from mfviz.kernels.sgd import shuffle_until
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.budget import Budget
from mfviz.solvers.stochastic import NAMES, OPEN, SOLO_NS, BiasedSolver, draw_seed, pack
from mfviz.telemetry.events import Noticed
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["MinibatchSGD"]

Int64 = npt.NDArray[np.int64]
FORMS = ("sum", "mean", "row")  # in the order of kernels.minibatch
PHASES = (ERRORS, COUNTS, SUMS, STEPS)
WAIT = NAMES.index("wait")
ROOM = 1024  # steps of a kernel call, whose spans must find room
CALL_NS = 25_000_000  # aim of the time of a kernel call
ALONE = 1 << 13  # numbers in the rows of a batch, below which one worker makes all of it
ALONE_WORDS = (
    "Batches of {} rating(s) are less work than the barriers between workers: one worker makes "
    "them, the others wait."
)


class MinibatchSGD(BiasedSolver):
    """All ratings of a batch see the same factors; their gradients are added up and taken at once.

    Pseudo-code: *shuffle the ratings; for each batch B: for all of it at once: e = r - prediction;
    barrier; for all rows at once: G_u = sum (e q_i - lam p_u) over its ratings in B; barrier;
    P += lr G / d, Q alike; barrier* — with d = 1 (sum), the batch size (mean) or the number of the
    row's own ratings in B (row).

    With the sum a row that is hit once moves as in ``sgd``, and batches of one rating *are* sgd;
    rows that are hit often overshoot. With the mean the learning rate must grow with the batch.

    Memory: 12 N + 4 (f + 1)(m + n) as sgd; for the new rows 4 (f + 2)(m + n), 4 b for errors, 64
    for a counter, and with several workers 8 b for the lists of who owns which rows.

    Of a batch whose rows have fewer than 8192 numbers one worker makes all, and the others are
    drawn waiting: its work is some microseconds, no more than the barriers would take.

    Reproducibility: exact, whatever the workers; each row is added up by one worker, in order.
    """

    key = "minibatch_sgd"
    title = "Mini-batch SGD"
    paper = (
        "Ma, Bassily, Belkin: The power of interpolation: understanding the effectiveness of SGD "
        "in modern over-parametrized learning, 2018"
    )
    equations = (
        r"p_u \leftarrow p_u + \tfrac{\gamma}{d} \sum_{(u,i)\in B} (e_{ui} q_i - \lambda p_u),"
        r"\quad q_i \leftarrow q_i + \tfrac{\gamma}{d} \sum_{(u,i)\in B} "
        r"(e_{ui} p_u - \lambda q_i)\quad\text{all at the old } P, Q"
    )
    card = Card(
        brief="batches, dealt by owner of a row",
        parallel="The ratings of a batch for their errors, then the rows that it hits.",
        synchronises="Three barriers a batch; of a small one a worker makes all, the others wait.",
        conflicts="None: sums of a row are made by the worker that owns the row.",
        cost="8 f flops a rating where a batch hits a row once; its rows are written twice.",
        memory="12 N + 4 (f + 1)(m + n) bytes as sgd, and as much as the model for new rows.",
        kernel="kernels.minibatch: 16-lane vectors; arithmetic of sgd for a row hit once.",
    )

    batch = param.Integer(
        256, bounds=(0, 2**31 - 1), doc="Ratings of a batch, b; 0: all of them (gradient descent)."
    )
    form = param.Selector(
        default="sum",
        objects=list(FORMS),
        doc="What a row's gradient is divided by: sum, 1; mean, the batch size; row, the number "
        "of the row's ratings in the batch.",
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": neither workers nor chunks change a bit of the result."""
        return "exact"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records, model, new rows with their hits, errors of a batch, and a counter."""
        f, rows = Factors.width(self.rank), n_users + n_items

        def part(name: str, part: str, formula: str, size: int) -> MemoryPart:
            return MemoryPart(name, part, "host", formula, size)

        return MemoryModel(
            (
                *self.model_parts(n_users, n_items, nnz),
                part("new rows", "buffers", "4 (f + 1)(m + n)", 4 * (f + 1) * rows),
                part("hits", "workspace", "4 (m + n)", 4 * rows),
                part("errors", "workspace", "4 b", 4 * self._size(nnz)),
                part("shares", "workspace", *self._shares(nnz)),
                part("arrivals", "workspace", "64", 64),
            )
        )

    def _size(self, nnz: int) -> int:
        return min(self.batch or nnz, nnz)

    def team(self, nnz: int) -> int:
        """Workers that make a batch together, given the number of training ratings."""
        alone = self._size(nnz) * Factors.width(self.rank) < ALONE
        return 1 if alone else int(self.workers)

    def _shares(self, nnz: int) -> tuple[str, int]:
        """Memory of the workers' lists: its formula and its bytes."""
        team = self.team(nnz)
        if team == 1:
            return "0", 0
        return "8 b + 16 T (8 ceil(T / 8))", 8 * self._size(nnz) + 16 * team * padded(team)

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = (*NAMES, "errors", "steps", "batches")
        train, spans = problem.train, context.spans
        records = pack(context.ledger, train.u, train.i, train.r)
        batches = _Batches(self, context, factors, records, self._size(train.nnz))
        if batches.team < self.workers:
            context.emit(Noticed, level="info", message=ALONE_WORDS.format(batches.size))
        total, updates = train.nnz, 0
        shuffle(records, 0, draw_seed(order_rng), total, 0)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            if epoch > 1:
                seed, left = draw_seed(order_rng), total
                lane = (SOLO_NS, OPEN, spans.rows, spans.fill, 0)
                while left := shuffle_until(records, 0, total, seed, left, *lane):
                    yield Checkpoint("chunk", epoch, updates)
            for visits in batches.run(schedule.factor(epoch)):
                updates += visits
                if updates < epoch * total:
                    yield Checkpoint("batch", epoch, updates)
            here = Checkpoint("chunk", epoch, updates)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, updates)


def padded(workers: int) -> int:
    """Numbers of a worker's line of counts: whole cache lines, which two never write at once."""
    return -(-workers // 8) * 8


class _Batches:
    """The crew's way through the batches of an epoch."""

    def __init__(
        self,
        solver: MinibatchSGD,
        context: Context,
        factors: Factors,
        records: npt.NDArray[np.void],
        size: int,
    ) -> None:
        self.solver, self.context, self.factors, self.size = solver, context, factors, size
        self.records, ledger, model = records, context.ledger, factors
        m, n = len(model.P), len(model.Q)

        def rows(name: str, like: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return ledger.empty(
                f"new rows: {name}", like.shape, np.float32, part="buffers", fill=0
            )

        self.team = solver.team(len(records))
        b, lines = (0, 0) if self.team == 1 else (size, padded(self.team))
        own = ledger.empty("shares: ratings", (2, b), np.int32, fill=0)
        self.batch = Batch(
            e=ledger.empty("errors", size, np.float32, fill=0),
            own_u=own[0],
            own_i=own[1],
            ends=ledger.empty("shares: ends", (self.team, 2, lines), np.int64, fill=0),
            hits_u=ledger.empty("hits of users", m, np.int32, fill=0),
            hits_i=ledger.empty("hits of items", n, np.int32, fill=0),
            new_P=rows("P", model.P),
            new_Q=rows("Q", model.Q),
            new_bu=rows("user biases", model.bu),
            new_bi=rows("item biases", model.bi),
        )
        self.arrivals = ledger.empty("arrivals", 8, np.int64, fill=0)
        self.barriers = 0
        self.budget = Budget(0.02 / model.P.shape[1])

    def run(self, factor: float) -> Iterator[int]:
        """Go through all batches; yields the visits of each kernel call."""
        first, total = 0, len(self.records)
        while first < total:
            budget = min(self.context.chunk, self.budget.ratings(CALL_NS))
            if self.size > budget:
                last = min(first + self.size, total)
                yield from self._pieces(first, last, budget, factor)
            else:
                drawn = self.size >= QUIET
                most = min(budget // self.size, ROOM if drawn else 1 << 16)
                last = min(first + most * self.size, total)
                yield self._call(self._steps(first, last), last - first, factor)
            first = last

    def _steps(self, first: int, last: int) -> Int64:
        """All phases of whole batches; columns as in ``run_batches``."""
        starts = np.repeat(np.arange(first, last, self.size), len(PHASES))
        stops = np.minimum(starts + self.size, last)
        phases = np.tile(PHASES, len(starts) // len(PHASES))
        ends = (phases != COUNTS).astype(np.int64)
        return np.stack([starts, stops - starts, phases, starts, stops, ends], axis=1)

    def _pieces(self, first: int, last: int, budget: int, factor: float) -> Iterator[int]:
        """Do one batch that is too long for a call: each phase in pieces, a call a piece."""
        for phase in PHASES:
            for low in range(first, last, budget):
                high = min(low + budget, last)
                step = np.array([[first, last - first, phase, low, high, 0]])
                visits = self._call(step, high - low, factor)
                yield visits if phase == SUMS else 0

    def _call(self, steps: Int64, visits: int, factor: float) -> int:
        context, spans, model = self.context, self.context.spans, self.factors
        rates = self.solver.rates(context, model, factor)
        form, passed = FORMS.index(self.solver.form), self.barriers

        def task(worker: int) -> None:
            run_batches(
                steps, 0, len(steps), self.records, model.P, model.Q, model.bu, model.bi, rates,
                form, self.batch, self.arrivals, passed, worker, self.team,
                spans.rows, spans.fill,
            )  # fmt: skip

        began = time.monotonic_ns()
        if self.team == 1:
            task(0)
            ended = spans.now_ns()
            for idle in range(1, context.crew.workers):
                spans.add(idle, began, ended, op="wait", reason="barrier", tag=WAIT)
        else:
            context.crew.run(task)
            self.barriers += int(steps[:, 5].sum())
        if steps[-1, 2] != COUNTS:  # which says nothing of the other phases
            self.budget.learn(visits, began)
        return visits

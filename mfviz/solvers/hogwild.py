"""Hogwild!: threads that update one model at once, without locks and without waiting."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import param

from mfviz.data.problem import Problem
from mfviz.kernels.counted import counted_until
from mfviz.kernels.order import part_seed, shuffle
from mfviz.kernels.sgd import sgd_until, shuffle_until
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.stochastic import (
    FREE_NS,
    SOLO_NS,
    BiasedSolver,
    Records,
    draw_seed,
    free_run,
    gate_signal,
    pack,
)
from mfviz.telemetry.events import Measured
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["Hogwild"]


class Hogwild(BiasedSolver):
    """Each worker visits its share of the shuffled ratings and writes without asking.

    Pseudo-code: *deal the shuffled ratings to the workers; each: shuffle its share; for each
    (u, i, r) in it: update p_u and q_i as sgd does, whoever else may be at them.*

    The ratings are dealt once, in random order, and each worker shuffles its own share for each
    further epoch: to shuffle all of them again would keep the workers waiting. A write that meets
    another one is lost; that is tolerated because ratings are sparse.

    With ``count_conflicts`` rows carry marks, and each epoch tells how many visits met another
    worker at one of their rows, and how many writes of rows were lost (of two a visit). The marks
    make the workers slower, and so change what is counted.

    Memory: as sgd, 12 N + 4 (f + 1)(m + n); with marks 16 (m + n) + 64 T more.

    Its form for GPUs is batch-Hogwild!, in ``cumf_sgd``.

    Reproducibility: exact with one worker, where it is sgd bit for bit; statistical otherwise.
    """

    key = "hogwild"
    rows_in_registers = True
    title = "Hogwild!"
    paper = "Recht, Ré, Wright, Niu: Hogwild!: a lock-free approach to parallelizing SGD, 2011"
    equations = (
        r"e = r_{ui} - \mu - b_u - b_i - p_u^\top q_i,\quad "
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u),\quad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)\quad\text{by all workers at once}"
    )
    card = Card(
        brief="races on one model, no lock",
        parallel="Ratings: each worker has a share of them and writes to the one shared model.",
        synchronises="Only at the end of an epoch, to look at the model; never within it.",
        conflicts="Two workers may write one row at a time; some updates are lost or stale.",
        cost="8 f flops a rating; cache lines of popular items move between the cores.",
        memory="12 N + 4 (f + 1)(m + n) bytes, as sgd.",
        kernel="kernels.sgd, the loop of sgd, rows in registers, by all workers on shared arrays.",
    )

    count_conflicts = param.Boolean(
        False, doc="Count conflicts and lost writes of each epoch, by marks that slow it down."
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" with one worker, "statistical" otherwise."""
        return "exact" if self.workers == 1 else "statistical"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records of the ratings, the model, and marks where conflicts are counted."""
        parts = self.model_parts(n_users, n_items, nnz)
        if self.count_conflicts:
            rows, T = n_users + n_items, self.workers
            size = 16 * rows + 64 * T
            parts.append(MemoryPart("marks", "workspace", "host", "16 (m + n) + 64 T", size))
        return MemoryModel(tuple(parts))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        train = problem.train
        records = pack(context.ledger, train.u, train.i, train.r)
        shuffle(records, 0, draw_seed(order_rng), train.nnz, 0)
        shares = _Shares(self, context, factors, records)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            seed = draw_seed(order_rng) if epoch > 1 else None
            shares.begin(seed, schedule.factor(epoch))
            yield from free_run(context, shares.step, epoch, lambda: shares.visits)
            if shares.visits < epoch * train.nnz:
                return  # dismissed in the middle of an epoch
            shares.tell(epoch)
            here = Checkpoint("chunk", epoch, shares.visits)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, shares.visits)


class _Shares:
    """The workers' shares of the records, and where each worker is in its own."""

    def __init__(
        self, solver: Hogwild, context: Context, factors: Factors, records: Records
    ) -> None:
        self.solver, self.context, self.factors, self.records = solver, context, factors, records
        workers = context.crew.workers
        self.ends = [len(records) * w // workers for w in range(workers + 1)]
        self.at = self.ends[:-1]  # next record of each worker
        self.unshuffled = [0] * workers  # steps of each worker's shuffle that are left
        self.before = 0
        self.seed = np.uint64(0)
        self.factor = 1.0
        room = context.spans.rows.shape[1] // 2  # an epoch's spans are read at its end only
        self.most = max(context.chunk, len(records) // room + 1)
        self.signal = gate_signal(context)
        self.most_ns = FREE_NS if workers > 1 else SOLO_NS
        if solver.count_conflicts:
            count = len(factors.P) + len(factors.Q)
            self.marks = context.ledger.empty("marks", (2, count), np.int64, fill=0)
            self.conflicts = context.ledger.empty("conflicts", (workers, 8), np.int64, fill=0)

    @property
    def visits(self) -> int:
        """Ratings visited since the start; may be read while the workers go on."""
        return self.before + sum(self.at) - sum(self.ends[:-1])

    def begin(self, seed: np.uint64 | None, factor: float) -> None:
        """Send all workers back to the beginning of their shares, to be shuffled if seeded."""
        self.before, self.at = self.visits, self.ends[:-1]
        self.factor = factor
        if seed is not None:
            self.seed = seed
            self.unshuffled = [b - a for a, b in itertools.pairwise(self.ends)]

    def step(self, worker: int) -> bool:
        """Make one kernel call for a worker; False when its share is done."""
        first, last, spans = self.ends[worker], self.ends[worker + 1], self.context.spans
        lane = (self.most_ns, self.signal, spans.rows, spans.fill, worker)
        at, left = self.at[worker], self.unshuffled[worker]
        if left:
            seed = np.uint64(part_seed(self.seed, worker))
            self.unshuffled[worker] = shuffle_until(self.records, first, last, seed, left, *lane)
        elif at < last:
            model = self.factors
            rates = self.solver.rates(self.context, model, self.factor)
            stop = min(last, at + self.most)
            work = (self.records, at, stop, *lane, model.P, model.Q, model.bu, model.bi, rates)
            if self.solver.count_conflicts:
                self.at[worker] = counted_until(*work, *self.marks, self.conflicts)
            else:
                self.at[worker] = sgd_until(*work)
        return self.at[worker] < last

    def tell(self, epoch: int) -> None:
        """Emit what was counted in an epoch, and count anew."""
        if not self.solver.count_conflicts:
            return
        met, kept = int(self.conflicts[:, 0].sum()), int(self.marks[1].sum())
        lost = 2 * len(self.records) - kept
        for name, value, unit in (("conflicts", met, "visits"), ("lost writes", lost, "rows")):
            self.context.emit(Measured, epoch=epoch, name=name, value=float(value), unit=unit)
        self.marks[1], self.conflicts[:] = 0, 0

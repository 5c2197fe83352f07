"""APSGD: a group of workers on the users and one on the items, without a barrier between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import param

from mfviz.backends.host import cpu_count
from mfviz.data.problem import Problem
from mfviz.kernels.asgd import visit_rows
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import GRABS, ITEMS, SIDES, USERS, Side, make_sides, side_parts
from mfviz.solvers.stochastic import BiasedSolver, draw_seed, free_run
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["APSGD"]

CALL_NS = 15_000_000  # after which a worker passes the gate
LONGEST = 100_000  # ratings of a slice, so that a kernel call stays short
SPANS = 4096  # slices of an epoch at most; their spans are read at its end


class APSGD(BiasedSolver):
    """Asynchronous alternating SGD: both sides move at once, each row by one writer.

    Pseudo-code: *workers of the first group, until all users are done: take users; for each of
    their ratings: update p_u and b_u from the q_i of this moment; workers of the second group, at
    the same time: the same for the items.*

    ``asgd`` waits for all users before the first item moves. Here nobody waits: a worker reads
    the other side's rows while they are written, partly old and partly new, and as only one worker
    writes a row no update is lost. A group that is done first waits for the end of the epoch.

    The paper's text was not at hand. This follows one sentence about it (it builds on ASGD's
    decoupling, shares parameters through memory and alternates without barriers); its fuzzy rule
    for the hyper-parameters is not part of it.

    Memory: as asgd, 16 N + 8 (m + n + 2) + 4 (f + 1)(m + n), and 64 (T + 2) for counters.

    Reproducibility: statistical; what a worker reads depends on who was faster.
    """

    key = "apsgd"
    title = "APSGD"
    paper = (
        "Qin, Luo: Asynchronous parallel fuzzy stochastic gradient descent for high-dimensional "
        "incomplete data representation, 2024 (reconstruction)"
    )
    equations = (
        r"p_u \leftarrow p_u + \gamma (e\,\tilde q_i - \lambda p_u)\ \text{by group 1},\quad "
        r"q_i \leftarrow q_i + \gamma (e\,\tilde p_u - \lambda q_i)\ \text{by group 2 at once},"
        r"\quad \tilde p, \tilde q \text{ as they are at that moment}"
    )
    two_sided = True
    reconstruction = True
    card = Card(
        brief="users beside items, no barrier",
        parallel="Users in one group of workers and items in another, at the same time.",
        synchronises="Only at the end of an epoch, to look at the model; never within it.",
        conflicts="No lost updates, as a row has one writer; reads may be stale or half new.",
        cost="10 f flops a rating and epoch, as asgd, without its two barriers.",
        memory="16 N + 4 (f + 1)(m + n) bytes, as asgd.",
        kernel="kernels.asgd, the compiled loop of asgd, by both groups at once.",
    )

    workers = param.Integer(
        max(2, cpu_count()),
        bounds=(2, 64),
        doc="Threads; the first half of them works on the users, the others on the items.",
    )
    shuffle = param.Boolean(
        True, doc="Visit a row's ratings in a fresh random order each epoch (off: in file order)."
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "statistical": the two groups race on purpose."""
        return "statistical"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings in both orders, the model and the counters."""
        model = memory_parts(n_users, n_items, self.rank)
        size = 64 * (self.workers + 2)
        counters = MemoryPart("counters", "workspace", "host", "64 (T + 2)", size)
        return MemoryModel((*side_parts(n_users, n_items, nnz), *model, counters))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = SIDES
        groups = _Groups(self, context, factors, make_sides(problem, context, factors))
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            seeds = [draw_seed(order_rng) if self.shuffle else np.uint64(0) for _ in "PQ"]
            groups.begin(seeds, schedule.factor(epoch))
            yield from free_run(context, groups.step, epoch, lambda: groups.visits)
            if groups.visits < 2 * epoch * problem.train.nnz:
                return  # dismissed in the middle of an epoch
            here = Checkpoint("chunk", epoch, groups.visits)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, groups.visits)


class _Groups:
    """The two groups of workers, their sides and how far each has come."""

    def __init__(
        self, solver: APSGD, context: Context, factors: Factors, sides: tuple[Side, Side]
    ) -> None:
        self.solver, self.context, self.factors, self.sides = solver, context, factors, sides
        workers, nnz = context.crew.workers, len(sides[0].index)
        shared = context.ledger.empty("counters", (workers + 2, 8), np.int64, fill=0)
        self.ends, self.counters = shared[:workers], shared[workers:]
        first = (workers + 1) // 2
        self.groups = [USERS] * first + [ITEMS] * (workers - first)
        sizes = [-(-nnz // (GRABS * self.groups.count(side))) for side in (USERS, ITEMS)]
        self.sizes = [max(1, min(size, LONGEST), nnz // SPANS) for size in sizes]
        self.seeds = [np.uint64(0)] * 2
        self.factor = 1.0

    @property
    def visits(self) -> int:
        """Ratings visited since the start; may be read while the workers go on."""
        return int(self.ends[:, 1].sum())

    def begin(self, seeds: list[np.uint64], factor: float) -> None:
        """Open both sides again, from their first rows."""
        self.seeds, self.factor = seeds, factor
        self.counters[:] = 0
        self.ends[:, 2] = 0

    def step(self, worker: int) -> bool:
        """Make one kernel call for a worker; False when its side is done."""
        tag, spans = self.groups[worker], self.context.spans
        side = self.sides[tag]
        rates = self.solver.rates(self.context, self.factors, self.factor)
        visit_rows(
            side.X, side.Y, side.bx, side.by, side.indptr, side.index, side.r, 0, 0,
            len(side.index), self.sizes[tag], CALL_NS, self.counters[tag, :1], self.seeds[tag],
            rates, self.ends, spans.rows, spans.fill, worker, tag,
        )  # fmt: skip
        return not self.ends[worker, 2]

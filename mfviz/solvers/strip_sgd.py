"""Strip SGD: the project's own fast solver, built around caches and registers of a CPU core."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.cuda.rows import WIDEST, width_of
from mfviz.kernels.strip_layout import count, count_runs, deal, place
from mfviz.kernels.strips import OF_ALL, Items, Model, Strips, run_rounds
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.budget import Budget
from mfviz.solvers.device_strips import DeviceStrips, device_strip_parts
from mfviz.solvers.init import memory_parts
from mfviz.solvers.stochastic import NAMES, SOLO_NS, BiasedSolver, draw_seed
from mfviz.solvers.stratified import stratum_schedule
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["StripSGD", "strips_of_group"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

STRIP_BYTES = 1 << 20  # rows of Q that a strip may have: they stay in the second-level cache
LEAST_RUN = 8  # ratings of a run, on average; below that, fewer strips than the cache asks for


class StripSGD(BiasedSolver):
    """SGD on strips of items that stay in cache, user by user, four ratings at a time.

    Pseudo-code: *deal items to one group a worker, of equal rating mass, and cut each group into
    strips of 1 MiB of Q; order the ratings by strip, then by user. Each epoch, for each of T
    rounds: worker w takes its own users and group σ(w); for each strip, for each user: keep p in
    registers; for every four of the user's ratings, compute the four errors from one p, update
    the four rows of Q, then p; all wait.*

    The orders of strips, of groups and of users are drawn anew each epoch, those of users sixteen
    neighbours at a time. The ratings of one user in one strip keep their order.

    Memory: 8 N for items and values of the ratings in their order, 8 (strips m + 2) for the places
    of the runs, 4 (f + 1)(m + n) for the model, 4 (f + 1) n for items by strip while they are
    trained, 12 m + 20 n for counts and orders.

    On a GPU the worker is a thread block (``blocks``): it brings its group's rows of Q to shared
    memory, strip by strip, and its ``warps`` have users and items of their own by a smaller
    square. Ratings lie block by block, so that users keep their order; a launch is a round.

    Reproducibility: exact for a number of workers (groups follow from it): the blocks of a round
    share no user and no item. Chunks between two stops are rounded up to whole groups of four; on
    a GPU, where it is exact for blocks and warps, to whole rounds.
    """

    key = "strip_sgd"
    rows_in_registers = True
    title = "Strip SGD"
    paper = (
        "mfviz's own; orders as in Zhuang et al. 2013 (blocks by user) and Gemulla et al. 2011 "
        "(strata)"
    )
    equations = (
        r"e_j = r_{uj} - \mu - b_u - b_j - p_u^\top q_j,\quad "
        r"q_j \leftarrow q_j + \gamma (e_j\,p_u - \lambda q_j),\quad "
        r"p_u \leftarrow p_u + \gamma \textstyle\sum_{j=1}^{4} (e_j\,q_j - \lambda p_u)"
    )
    card = Card(
        brief="Latin square of strips, T barriers",
        parallel="A Latin square: in each round every worker has users and items of its own.",
        synchronises="All workers wait at a barrier after each of the T rounds of an epoch.",
        conflicts="None; groups of items have equal rating mass, so that waits are short.",
        cost="8 f flops a rating; a strip of Q stays in cache, p is read and written once a run.",
        memory="8 N + 8 strips m + 4 (f + 4)(m + 2 n) bytes; a strip is 1 MiB of Q.",
        kernel="kernels.runs: p in registers, four ratings share it and one reduction of sums. "
        "On a GPU kernels.cuda.strips: Q in shared memory, a warp a rating.",
    )

    backends = ("cpu", "cuda")
    blocks = param.Integer(
        0,
        bounds=(0, 1024),
        doc="Thread blocks on a GPU and rounds of an epoch (0: 128, or fewer for few ratings).",
    )
    warps = param.Integer(
        8,
        bounds=(1, 16),  # 512 threads of 128 registers are all that a block can have
        doc="Warps of a block on a GPU, each with users and items of its own.",
    )
    shuffle = param.Boolean(
        True, doc="Visit neighbourhoods of users, strips and groups in a fresh order each epoch."
    )
    strip_kib = param.Integer(
        STRIP_BYTES >> 10, bounds=(16, 1 << 20), doc="Rows of Q in a strip, in KiB."
    )
    decay = param.Number(
        0.92, bounds=(0.0, 1.0), inclusive_bounds=(False, True), doc="Base of exponential."
    )
    init_scale = param.Number(0.015, bounds=(0.0, 10.0), doc=BiasedSolver.param.init_scale.doc)

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact at N workers": groups and ranges follow from their number."""
        if backend != "cpu":
            return "exact"
        return "exact" if self.workers == 1 else f"exact at {self.workers} workers"

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at: each width of a row has its own, up to a limit."""
        return min(width_of(self.rank), super().kernel_rank)

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or why not; on a device shared memory holds strips of some rows."""
        if backend == "cuda" and self.rank > WIDEST:
            return f"{self.title} has rows in shared memory on CUDA: take a rank up to {WIDEST}."
        return super().supports(problem, backend)

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """One stream on a device; the workers on the CPU."""
        return super().lanes(backend) if backend == "cpu" else ("stream 0",)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings in the order of runs, places of the runs, counts and the model."""
        if backend != "cpu":
            return MemoryModel(tuple(device_strip_parts(self, n_users, n_items, nnz)))
        T = self.workers
        strips = strips_of_group(self, n_users, n_items, nnz)
        width, tables = Factors.width(self.rank), 8 * (3 * T + 2 + T * T + strips)
        return MemoryModel(
            (
                MemoryPart("ratings", "ratings by user", "host", "8 N", 8 * nnz),
                *memory_parts(n_users, n_items, self.rank),
                MemoryPart(
                    "places of runs", "workspace", "host", "8 (S T m + 2)",
                    8 * (strips * T * n_users + 2),
                ),
                MemoryPart("counts", "workspace", "host", "8 (m + n)", 8 * (n_users + n_items)),
                MemoryPart("order of users", "workspace", "host", "4 m", 4 * n_users),
                MemoryPart("order of items", "workspace", "host", "12 n", 12 * n_items),
                MemoryPart(
                    "items by strip", "workspace", "host", "4 (f + 1) n", 4 * (width + 1) * n_items
                ),
                MemoryPart("schedule", "workspace", "host", "8 (3 T + 2 + T² + S)", tables),
            )
        )  # fmt: skip

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, layout_rng, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = (*NAMES, "copy")
        kind = _Rounds if context.device is None else DeviceStrips
        rounds = kind(self, problem, context, factors)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            seed = rounds.begin(layout_rng, order_rng)
            try:
                for updates, running in rounds.run(seed, schedule.factor(epoch)):
                    if running or updates < epoch * problem.train.nnz:
                        yield Checkpoint("stratum", epoch, updates, running=running)
            except GeneratorExit:  # stopped within an epoch
                rounds.give_back()
                raise
            here = Checkpoint("stratum", epoch, epoch * problem.train.nnz)
            if schedule.needs_loss:
                context.refresh()
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, epoch * problem.train.nnz)


def strips_of_group(solver: StripSGD, n_users: int, n_items: int, nnz: int) -> int:
    """Return into how many strips each worker's group of items is cut.

    As many as the cache asks for, but not so many that runs get short: then the overhead of a run
    costs more than the cache saves.
    """
    bytes_of_group = 4 * Factors.width(solver.rank) * -(-n_items // solver.workers)
    wanted = -(-bytes_of_group // (solver.strip_kib << 10))
    most = nnz // (LEAST_RUN * n_users * solver.workers)
    return max(1, min(wanted, most))


class _Rounds:
    """The ratings laid out in strips, and the crew's way through them."""

    def __init__(
        self, solver: StripSGD, problem: Problem, context: Context, factors: Factors
    ) -> None:
        self.solver, self.context = solver, context
        self.workers = context.crew.workers
        self.factors = factors
        width, n = factors.P.shape[1], problem.n_items
        self.strips, order, firsts = self._lay_out(problem)
        self.items = Items(order, firsts, factors.Q, factors.bi)
        own = context.ledger.empty("items by strip", (width + 1) * n, np.float32)
        Q, bi = own[: width * n].reshape(n, width), own[width * n :]
        np.take(factors.Q, order, axis=0, out=Q)
        np.take(factors.bi, order, out=bi)
        self.model = Model(factors.P, Q, factors.bu, bi)
        self.loads = self._loads()
        self.cursors = np.zeros((self.workers, 8), dtype=np.int64)
        self.counter = np.zeros(8, dtype=np.int64)  # arrivals at barriers
        self.barriers = 0
        self.budget = Budget(2.0 * self.workers / width)

    def begin(self, layout_rng: np.random.Generator, order_rng: np.random.Generator) -> np.uint64:
        """Draw the order of an epoch; return the seed of the order of users."""
        if not self.solver.shuffle:
            return np.uint64(0)
        self.strips.schedule[:] = stratum_schedule("wor", self.workers, layout_rng)
        self.strips.turns[:] = layout_rng.permutation(len(self.strips.turns))
        return draw_seed(order_rng)

    def run(self, seed: np.uint64, factor: float) -> Iterator[tuple[int, bool]]:
        """Visit all ratings once; yields ratings visited since the start at safe points, False."""
        loads = self.loads[np.arange(self.workers), self.strips.schedule].max(axis=1)
        first, until = 0, 0
        while first < self.workers:
            budget = min(self.context.chunk, self.budget.ratings(SOLO_NS))
            left, last = max(1, budget // self.workers), first
            while last < self.workers and loads[last] - until <= left:
                left -= int(loads[last]) - until
                last, until = last + 1, 0
            until = until + left if last < self.workers else 0
            before, begin = self._visited(), time.monotonic_ns()
            self._call(first, last, until, seed, factor)
            visits = self._visited() - before
            self.budget.learn(visits, begin)
            first, seed = last, np.uint64(0)
            if visits:  # none where the last groups went beyond what was asked for
                yield before + visits, False

    def give_back(self) -> None:
        """Copy rows and biases of the items to the model that everybody sees.

        The kernel does it at the end of an epoch.
        """
        self.items.Q[self.items.order] = self.model.Q
        self.items.bi[self.items.order] = self.model.bi

    def _visited(self) -> int:
        return int(self.cursors[:, OF_ALL].sum())

    def _call(self, first: int, last: int, until: int, seed: np.uint64, factor: float) -> None:
        rates = self.solver.rates(self.context, self.factors, factor)
        spans, passed = self.context.spans, self.barriers

        def task(worker: int) -> None:
            run_rounds(
                self.strips, first, last, until, seed, self.cursors, self.counter, passed, worker,
                self.model, self.items, rates, spans.rows, spans.fill,
            )  # fmt: skip

        if self.workers == 1:
            task(0)  # a change of threads takes as long as thousands of ratings
        else:
            self.context.crew.run(task)
            self.barriers += last - first

    def _lay_out(self, problem: Problem) -> tuple[Strips, Int32, Int64]:
        """Count, deal items and users to groups and ranges of equal mass, and place ratings.

        Returns
        -------
        Strips
        items by group, strip and number of ratings
        places of the groups among them
        """
        solver, ledger, crew, T = self.solver, self.context.ledger, self.context.crew, self.workers
        train, m, n = problem.train, problem.n_users, problem.n_items
        each = strips_of_group(solver, m, n, train.nnz)
        counts = ledger.empty("counts", m + n, np.int64, fill=0)
        of_user, of_item = counts[:m], counts[m:]
        jobs = [(train.u, of_user), (train.i, of_item)]

        def count_sides(worker: int) -> None:
            for numbers, found in jobs[worker::T]:
                count(numbers, found)

        crew.run(count_sides)
        tables = ledger.empty("schedule", 3 * T + 2 + T * T + each, np.int64, fill=0)
        parts = np.split(tables, np.cumsum([T + 1, T, each, T + 1]))
        ranges, loads, turns, firsts, schedule = parts
        ranges[:] = np.searchsorted(np.cumsum(of_user), np.arange(T + 1) * train.nnz / T)
        ranges[0], ranges[-1] = 0, m
        strip_of_item, place_of_item, items = ledger.empty("order of items", (3, n), np.int32)
        popular = np.argsort(-of_item, kind="stable")
        deal(popular, of_item, loads, each, strip_of_item)
        items[:] = popular[np.argsort(strip_of_item[popular], kind="stable")]
        place_of_item[items] = np.arange(n, dtype=np.int32)
        firsts[:] = np.searchsorted(strip_of_item[items], np.arange(T + 1) * each)
        runs = ledger.empty("places of runs", each * T * m + 2, np.int64, fill=0)
        bounds = [(int(a), int(b)) for a, b in itertools.pairwise(ranges)]
        crew.run(lambda w: count_runs(train.u, train.i, strip_of_item, m, *bounds[w], runs))
        np.cumsum(runs, out=runs)
        ratings = ledger.empty("ratings", 2 * train.nnz, np.float32, part="ratings by user")
        i, r = ratings[: train.nnz].view(np.int32), ratings[train.nnz :]
        crew.run(
            lambda w: place(
                train.u, train.i, train.r, strip_of_item, place_of_item, m, *bounds[w], runs, i, r
            )
        )
        users = ledger.empty("order of users", m, np.int32)
        users[:] = np.arange(m, dtype=np.int32)
        turns[:] = np.arange(each)
        square = schedule.reshape(T, T)
        square[:] = stratum_schedule("seq", T, np.random.default_rng(0))
        return Strips(i, r, runs, users, ranges, turns, square), items, firsts

    def _loads(self) -> Int64:
        """Ratings of each worker's range in each group."""
        m, T, s = len(self.strips.users), self.workers, self.strips
        ends = s.runs[np.arange(T * len(s.turns))[:, None] * m + s.ranges]
        by_strip = np.diff(ends, axis=1)
        loads: Int64 = by_strip.reshape(T, len(s.turns), T).sum(axis=1).T
        return loads

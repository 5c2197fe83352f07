"""DSGD: strata of blocks that share no row and no column, with a barrier after each stratum."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.strata import run_steps, shuffle_blocks
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.blocks import lay_out_blocks
from mfviz.solvers.budget import Budget
from mfviz.solvers.schedules import SCHEDULES
from mfviz.solvers.stochastic import SOLO_NS, BiasedSolver, draw_seed
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["DSGD", "stratum_schedule"]

Int64 = npt.NDArray[np.int64]

STRATA = ("wor", "rseq", "seq")


class DSGD(BiasedSolver):
    """Stratified SGD: d × d blocks, d strata an epoch, all blocks of a stratum at once.

    Pseudo-code: *deal users and items to d row blocks and d column blocks at random; each epoch,
    for each of d strata: worker w runs sgd on the block of each of its row blocks; all wait.*

    Row block ``row`` belongs to worker ``row mod workers`` all the time, so its part of P stays
    with one core and the blocks of Q move. Each block is shuffled afresh, by the epoch's seed,
    before it is visited: that makes the result the same as that of one serial order.

    Memory: 12 N + 4 (f + 1)(m + n) as sgd, 8 d² for the schedule of strata and 8 (d² + 1) for the
    blocks' places.

    Reproducibility: exact for a given grid, whatever the workers, as blocks of a stratum share no
    factor; statistical without barriers (the racy teaching switch) and several workers.
    """

    key = "dsgd"
    rows_in_registers = True
    title = "DSGD"
    paper = (
        "Gemulla, Nijkamp, Haas, Sismanis: Large-scale matrix factorization with distributed "
        "stochastic gradient descent, 2011"
    )
    equations = (
        r"Z_s = \{(w, \sigma_s(w)) : w = 1..d\},\quad "
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u),\quad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)\quad "
        r"\text{for } (u,i) \in Z_s,\ s = 1..d"
    )
    card = Card(
        parallel="The d blocks of a stratum: they share no user and no item.",
        synchronises="All workers wait at a barrier after each of the d strata of an epoch.",
        conflicts="None while the barrier is on; unequal blocks cost waiting instead.",
        cost="8 f flops a rating; time is the sum over strata of the slowest worker's ratings.",
        memory="12 N + 4 (f + 1)(m + n) bytes and 16 d² for grid and schedule.",
        kernel="kernels.strata: the loop of sgd, rows in registers, on blocks; barriers inside.",
    )

    grid = param.Integer(8, bounds=(1, 256), doc="Blocks along each side, d; d strata an epoch.")
    strata = param.Selector(
        default="wor",
        objects=list(STRATA),
        doc="Order of strata: wor, rows and columns of the schedule permuted each epoch; rseq, "
        "columns relabelled each epoch; seq, always (s + w) mod d.",
    )
    shuffle = param.Boolean(
        True, doc="Deal users and items to blocks at random (off: in order of number, uneven)."
    )
    barrier = param.Boolean(
        True, doc="Wait after each stratum (off: workers race into each other's columns)."
    )
    schedule = param.Selector(
        default="bold", objects=list(SCHEDULES), doc=BiasedSolver.param.schedule.doc
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" with barriers, for this grid and any workers."""
        return "exact" if self.barrier or self.workers == 1 else "statistical"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records of the ratings in the order of blocks, the model, grid and schedule."""
        d = self.grid
        return MemoryModel(
            (
                *self.model_parts(n_users, n_items, nnz),
                MemoryPart("block offsets", "workspace", "host", "8 (d² + 1)", 8 * (d * d + 1)),
                MemoryPart("strata", "workspace", "host", "8 d²", 8 * d * d),
            )
        )

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, layout_rng, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        blocks = _Blocks(self, problem, context, factors, layout_rng)
        blocks.shuffle(draw_seed(order_rng))
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        updates = 0
        for epoch in range(1, self.epochs + 1):
            seed = draw_seed(order_rng) if epoch > 1 else np.uint64(0)
            blocks.strata[:] = stratum_schedule(self.strata, self.grid, layout_rng)
            for kind, visits in blocks.run(seed, schedule.factor(epoch)):
                updates += visits
                if updates < epoch * problem.train.nnz:
                    yield Checkpoint(kind, epoch, updates)
            here = Checkpoint("stratum", epoch, updates)
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, updates)


def stratum_schedule(kind: str, d: int, rng: np.random.Generator) -> Int64:
    """Return the column block of each row block (columns) in each stratum (rows): (d, d) int64.

    Parameters
    ----------
    kind : str
        "seq", "rseq" or "wor"; see the solver's setting.
    d : int
    rng : numpy.random.Generator
        Not used for "seq".
    """
    s, w = np.arange(d)[:, None], np.arange(d)[None, :]
    if kind == "seq":
        return (s + w) % d
    if kind == "rseq":
        return rng.permutation(d)[(s + w) % d]
    order, rows, cols = (rng.permutation(d) for _ in range(3))
    return cols[(order[s] + rows[w]) % d]


class _Blocks:
    """The ratings laid out in blocks, and the crew's way through them."""

    def __init__(
        self,
        solver: DSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.solver, self.context, self.factors = solver, context, factors
        d = solver.grid
        self.records, self.offsets = lay_out_blocks(
            problem, context, d, rng, shuffle=solver.shuffle
        )
        self.strata = context.ledger.empty("strata", (d, d), np.int64)
        self.counter = np.zeros(8, dtype=np.int64)  # arrivals at barriers
        self.barriers = 0
        self.budget = Budget(0.5 / factors.P.shape[1])

    def shuffle(self, seed: np.uint64) -> None:
        """Shuffle each block in place."""
        crew = self.context.crew
        crew.run(lambda w: shuffle_blocks(self.records, self.offsets, seed, w, crew.workers))

    def run(self, seed: np.uint64, factor: float) -> Iterator[tuple[str, int]]:
        """Visit all ratings once; yield at safe points what kind they are, and ratings visited."""
        budget = min(self.context.chunk, self.budget.ratings(SOLO_NS))
        steps, visits = self._steps(budget)
        first = 0
        while first < len(steps):
            last, total = first + 1, int(visits[first])
            while last < len(steps) and total + visits[last] <= budget:
                total += int(visits[last])
                last += 1
            begin = time.monotonic_ns()
            self._call(steps, first, last, seed, factor)
            self.budget.learn(total, begin)
            yield ("stratum" if steps[last - 1, 5] else "chunk"), total
            first = last

    def _steps(self, budget: int) -> tuple[Int64, Int64]:
        """Cut the strata into steps of at most ``budget`` ratings; see ``kernels.strata``.

        Returns
        -------
        (count, 6) int64 and (count,) int64
            The steps and the ratings of each. The last step of a stratum ends in its barrier.
        """
        d, rows = self.solver.grid, np.arange(self.solver.grid)
        sizes = np.diff(self.offsets).reshape(d, d)
        steps: list[tuple[int, ...]] = []
        visits: list[int] = []
        together, each = min(d, budget), max(1, budget // d)
        for s in range(d):
            mine = sizes[rows, self.strata[s]]
            for low in range(0, max(1, int(mine.max())), each):
                share = np.clip(mine - low, 0, each)
                for row in range(0, d, together):
                    steps.append((s, row, min(row + together, d), low, low + each, 0))
                    visits.append(int(share[row : row + together].sum()))
            steps[-1] = (*steps[-1][:5], 1)
        return np.array(steps, dtype=np.int64), np.array(visits, dtype=np.int64)

    def _call(self, steps: Int64, first: int, last: int, seed: np.uint64, factor: float) -> None:
        context, crew, model = self.context, self.context.crew, self.factors
        rates = self.solver.rates(context, model, factor)
        spans, passed = context.spans, self.barriers

        def task(worker: int) -> None:
            run_steps(
                steps, first, last, self.records, self.offsets, self.strata, seed, self.counter,
                passed, self.solver.barrier, worker, crew.workers,
                model.P, model.Q, model.bu, model.bi, rates, spans.rows, spans.fill,
            )  # fmt: skip

        crew.run(task)
        if self.solver.barrier:
            self.barriers += int(steps[first:last, 5].sum())

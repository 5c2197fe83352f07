"""SGD by strata: blocks that share no row and no column, all of a stratum at once, then a barrier.

A stratum of a d × d grid has d blocks, one in each row and in each column, so that their updates
do not meet: the result is that of visiting one block after the other. The crew's threads take the
row blocks, and the barriers are in the kernel (:mod:`mfviz.kernels.strata`).
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.strata import run_steps, shuffle_blocks
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.blocks import lay_out_blocks
from mfviz.solvers.budget import Budget
from mfviz.solvers.stochastic import SOLO_NS, BiasedSolver, draw_seed
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["LOOK", "STRATA", "Blocks", "StratifiedSGD", "stratum_schedule"]

Int64 = npt.NDArray[np.int64]

STRATA = ("wor", "rseq", "seq")
LOOK = "look"  # what an engine yields while it works on


class Engine(Protocol):
    """What visits the blocks of an epoch."""

    strata: Int64

    def run(self, seed: np.uint64, factor: float) -> Iterator[tuple[str, int]]:
        """Visit all ratings once; yields a kind of checkpoint, or LOOK, and ratings visited."""


class StratifiedSGD(BiasedSolver, param.ParameterizedABC):
    """Base of the solvers that visit strata of blocks.

    Attributes
    ----------
    barrier : bool
        Whether a barrier follows each stratum.
    reshuffles : bool
        Whether the ratings of a block are shuffled anew in each epoch.
    """

    rows_in_registers = True
    barrier = True
    reshuffles: ClassVar[bool] = True

    strata = param.Selector(
        default="wor",
        objects=list(STRATA),
        doc="Order of strata: wor, rows and columns of the schedule permuted each epoch; rseq, "
        "columns relabelled each epoch; seq, always (s + w) mod d.",
    )
    shuffle = param.Boolean(
        True, doc="Deal users and items to blocks at random (off: in order of number, uneven)."
    )

    @property
    @abstractmethod
    def blocks_a_side(self) -> int:
        """Row blocks, column blocks and strata, d."""

    def draw_strata(self, rng: np.random.Generator) -> Int64:
        """Draw the strata of an epoch: (d, d), as of :func:`stratum_schedule`."""
        return stratum_schedule(self.strata, self.blocks_a_side, rng)

    def engine(
        self, problem: Problem, context: Context, factors: Factors, rng: np.random.Generator,
        seed: np.uint64,
    ) -> Engine:  # fmt: skip
        """Lay the ratings out, each block shuffled by the seed, for who visits them."""
        blocks = Blocks(self, problem, context, factors, rng)
        blocks.shuffle(seed)
        return blocks

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records of the ratings in the order of blocks, the model, grid and schedule."""
        parts = (*self.model_parts(n_users, n_items, nnz), *self.grid_parts())
        return MemoryModel(parts)

    def grid_parts(self, place: str = "host") -> tuple[MemoryPart, MemoryPart]:
        """Memory of the blocks' places and of the strata."""
        d = self.blocks_a_side
        return (
            MemoryPart("block offsets", "workspace", place, "8 (d² + 1)", 8 * (d * d + 1)),
            MemoryPart("strata", "workspace", place, "8 d²", 8 * d * d),
        )

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, layout_rng, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        engine = self.engine(problem, context, factors, layout_rng, draw_seed(order_rng))
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        updates = 0
        for epoch in range(1, self.epochs + 1):
            again = self.reshuffles and epoch > 1
            seed = draw_seed(order_rng) if again else np.uint64(0)
            engine.strata[:] = self.draw_strata(layout_rng)
            for kind, visits in engine.run(seed, schedule.factor(epoch)):
                updates += visits
                if kind == LOOK:
                    yield Checkpoint("chunk", epoch, updates, running=True)
                elif updates < epoch * problem.train.nnz:
                    yield Checkpoint(kind, epoch, updates)
            here = Checkpoint("stratum", epoch, updates)
            if schedule.needs_loss:
                context.refresh()
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


class Blocks:
    """The ratings laid out in blocks, and the crew's way through them.

    Parameters
    ----------
    solver : StratifiedSGD
    problem : Problem
    context : Context
    factors : Factors
    rng : numpy.random.Generator
        Deals users and items to blocks.

    Attributes
    ----------
    strata : (d, d) int64
        Column block of each row block (columns) in each stratum (rows).
    """

    def __init__(
        self,
        solver: StratifiedSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.solver, self.context, self.factors = solver, context, factors
        d = solver.blocks_a_side
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
        d = self.solver.blocks_a_side
        rows = np.arange(d)
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

"""FPSGD: a free-block scheduler instead of barriers, and LIBMF's learning rate for each row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import param

from mfviz.data.problem import Problem
from mfviz.kernels.fpsgd import (
    BEGUN,
    TAKEN,
    Scheduler,
    all_have_begun,
    begin_iteration,
    fpsgd_until,
)
from mfviz.kernels.metrics import squared_deviation_slices
from mfviz.kernels.registers import parts_of
from mfviz.kernels.row_rates import SLOW, RowRates
from mfviz.kernels.sgd import WIDEST
from mfviz.solvers.base import Card, Checkpoint, Context, Factors, Solver
from mfviz.solvers.blocks import lay_out_blocks
from mfviz.solvers.init import INITS, make_factors, memory_parts
from mfviz.solvers.stochastic import (
    FREE_NS,
    NAMES,
    SOLO_NS,
    draw_seed,
    free_run,
    gate_signal,
    weighted_norms,
)
from mfviz.telemetry.events import BlockTaken
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["FPSGD", "deviation"]

_NEW, _BEGUN, _AT_WORK = range(3)  # how far a worker is in an iteration


class FPSGD(Solver):
    """Workers take the free block that was visited least; no barrier within an iteration.

    Pseudo-code: *deal users and items to d × d blocks at random and order each block by row (by
    column where m <= n); each worker, until d² blocks were given out: take the block of least
    count whose row block and column block are free; visit its ratings in order; give it back.*

    Each row has two learning rates, γ / sqrt(G): one for its first eight features and one for the
    others, with G the running mean of its squared gradients there. The first iteration trains the
    first eight features only. Ratings are divided by their standard deviation s, and λ with them.

    Memory: 12 N for the ratings in the order of blocks, 4 (f + 1)(m + n) for the factors and the
    (empty) biases, 16 (m + n) for the sums G and norms, and the tables of the scheduler.

    There is no CUDA form, as one lock would serve thousands of warps; cuMF_SGD's wavefront, in
    ``cumf_sgd``, has a lock a column instead.

    Reproducibility: exact with one worker. With several, which worker is ready first decides: the
    schedule is recorded (one ``block-taken`` event each), and replaying it gives the same bits.
    """

    key = "fpsgd"
    title = "FPSGD"
    paper = (
        "Zhuang, Chin, Juan, Lin: A fast parallel SGD for matrix factorization in shared memory "
        "systems, 2013; Chin, Zhuang, Juan, Lin: A learning-rate schedule for SGD to MF, 2015"
    )
    equations = (
        r"g_p = \lambda p_u - e\,q_i,\quad "
        r"p_u \leftarrow p_u - \tfrac{\gamma}{\sqrt{G_u}}\, g_p,\quad "
        r"G_u \leftarrow G_u + \tfrac{1}{k}\lVert g_p\rVert^2\quad\text{(the same for } q_i)"
    )
    card = Card(
        brief="free-block scheduler, no barrier",
        parallel="Free blocks of a grid: busy ones share no row block and no column block.",
        synchronises="A short lock at each choice of a block; all pause after d² blocks.",
        conflicts="None; a worker may have to wait for a free block where the grid is small.",
        cost="About 8 f flops a rating; d² block visits an iteration, d at least 2 T + 1.",
        memory="12 N + 4 (f + 5)(m + n) bytes and the scheduler's small tables.",
        kernel="kernels.row_rates: a run's row stays in registers; scheduler in the kernel.",
        accuracy="It has no biases (LIBMF's model is p·q alone) and spends features on them: "
        "where ratings have them, its test RMSE ends 0.01 to 0.03 above the best solver's.",
    )

    lam = param.Number(0.05, bounds=(0.0, 100.0), doc="Regularisation λ, of each rating.")
    lr = param.Number(
        0.1, bounds=(0.0, 10.0), doc="Learning rate γ, divided by sqrt(G) of each row."
    )
    grid = param.Integer(
        0,
        bounds=(0, 256),
        doc="Blocks along each side, d; 0: 2 × workers + 1, as LIBMF wants more than 4 T² blocks.",
    )
    init = param.Selector(
        default="uniform", objects=list(INITS), doc="Initial factors; LIBMF draws U[0,1)/√f."
    )
    init_scale = param.Number(1.0, bounds=(0.0, 10.0), doc="Factor of the initial values.")

    @property
    def blocks_a_side(self) -> int:
        """The grid's side d, after LIBMF's rule where none is given."""
        return int(self.grid or 2 * self.workers + 1)

    @property
    def spans_a_lane(self) -> int:
        """One worker may take most blocks; each is a wait and a visit, or several visits."""
        return max(super().spans_a_lane, 4 * self.blocks_a_side**2)

    @property
    def kernel_rank(self) -> int:
        """Rank that the kernels are compiled for: they depend on the width of a row."""
        return min(Factors.width(self.rank), WIDEST + 1)

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Refuse a grid that cannot keep every worker busy, as LIBMF does."""
        if self.blocks_a_side < self.workers:
            return (
                f"a grid of {self.grid} x {self.grid} blocks never has a free block for each of "
                f"{self.workers} workers; set grid to {2 * self.workers + 1} or more, or to 0."
            )
        return super().supports(problem, backend)

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" with one worker, "statistical" otherwise."""
        return "exact" if self.workers == 1 else "statistical"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Records of the ratings in the order of blocks, model, sums G and scheduler."""
        d, T = self.blocks_a_side, self.workers
        tables = 8 * (32 + 2 * d + 2 * d * d + 3 * d * d + 8 * T)
        return MemoryModel(
            (
                MemoryPart("ratings", "ratings by user", "host", "12 N", 12 * nnz),
                *memory_parts(n_users, n_items, self.rank),
                MemoryPart("user sums", "P", "host", "16 m", 16 * n_users),
                MemoryPart("item sums", "Q", "host", "16 n", 16 * n_items),
                MemoryPart("block offsets", "workspace", "host", "8 (d² + 1)", 8 * (d * d + 1)),
                MemoryPart("scheduler", "workspace", "host", "8 (32 + 2 d + 5 d² + 8 T)", tables),
            )
        )

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """Return the weighted-λ objective in the user's units."""
        norms = weighted_norms(problem, factors.P, factors.Q)
        return squared_error + self.lam * factors.scale * norms

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, layout_rng, order_rng = context.rng.spawn(3)
        context.names = NAMES
        factors = make_factors(self, problem, context, init_rng, scale=deviation(problem, context))
        blocks = _Blocks(self, problem, context, factors, layout_rng, draw_seed(order_rng))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            blocks.begin(epoch)
            yield from free_run(context, blocks.step, epoch, lambda: blocks.visits)
            if not blocks.complete:
                return  # dismissed in the middle of an epoch
            blocks.tell(epoch)
            yield Checkpoint("epoch", epoch, blocks.visits)


class _Blocks:
    """The ratings laid out in blocks, the row rates, and the scheduler that deals the blocks."""

    def __init__(
        self,
        solver: FPSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
        seed: np.uint64,
    ) -> None:
        self.solver, self.context, self.factors = solver, context, factors
        d, workers, ledger = solver.blocks_a_side, solver.workers, context.ledger
        self.by = "row" if problem.n_users > problem.n_items else "col"
        self.records, self.offsets = lay_out_blocks(
            problem, context, d, rng, by=self.by, scale=factors.scale
        )
        self.counts = np.diff(self.offsets).reshape(d, d).tolist()
        self.GP = ledger.empty("user sums", (problem.n_users, 4), np.float32, part="P", fill=1.0)
        self.GQ = ledger.empty("item sums", (problem.n_items, 4), np.float32, part="Q", fill=1.0)
        tables = ledger.empty("scheduler", 32 + 2 * d + 5 * d * d + 8 * workers, np.int64, fill=0)
        self.scheduler = _scheduler(tables, d, workers, seed)
        self.visited = np.zeros(workers, dtype=np.int64)
        self.finished = np.zeros(workers, dtype=np.int64)  # when each worker found nothing left
        self.stages = [_NEW] * workers
        self.signal = gate_signal(context)
        self.most_ns = FREE_NS if workers > 1 else SOLO_NS
        self.first = True
        width = factors.P.shape[1]
        self.parts = parts_of(width) if width <= WIDEST else ()
        room = context.spans.rows.shape[1] // 2  # an iteration's spans are read at its end only
        self.most = max(context.chunk, problem.train.nnz // room + 1)

    @property
    def visits(self) -> int:
        """Ratings visited since the start; may be read while the workers go on."""
        return int(self.visited.sum())

    @property
    def complete(self) -> bool:
        """Whether every block that was to be given out was visited."""
        s = self.scheduler
        return int(s.shared[TAKEN]) == len(s.choices) and max(s.held[:, 0].tolist()) < 0

    def begin(self, epoch: int) -> None:
        """Open the next iteration's quota of d × d blocks."""
        self.scheduler.shared[TAKEN] = self.scheduler.shared[BEGUN] = 0
        self.stages = [_NEW] * self.solver.workers
        self.finished[:] = 0
        self.first = epoch == 1

    def step(self, worker: int) -> bool:
        """Make one kernel call for a worker; False when no block is left for it."""
        spans, model = self.context.spans, self.factors
        if self.stages[worker] != _AT_WORK and not self._begin(worker):
            return True
        sides = (model.P, model.Q, self.GP, self.GQ)
        if self.by == "col":
            sides = (model.Q, model.P, self.GQ, self.GP)
        visits = fpsgd_until(
            self.records, self.offsets, self.scheduler, worker,
            self.most, self.most_ns, self.signal, *sides, self._rates(), self.parts,
            spans.rows, spans.fill,
        )  # fmt: skip
        if visits < 0:
            self.finished[worker] = spans.now_ns()
            return False
        self.visited[worker] += visits
        return True

    def _begin(self, worker: int) -> bool:
        """Let a worker begin the iteration with the others; False: it is wanted at the gate."""
        if self.stages[worker] == _NEW:
            model = self.factors
            begin_iteration(self.scheduler, model.P, model.Q, self.GP, self.GQ, worker)
            self.stages[worker] = _BEGUN
        if all_have_begun(self.scheduler, self.signal):
            self.stages[worker] = _AT_WORK
        return self.stages[worker] == _AT_WORK

    def tell(self, epoch: int) -> None:
        """Emit the choices of the iteration, and draw each worker's wait for the slowest one."""
        end = int(self.finished.max())
        for worker, since in enumerate(self.finished.tolist()):
            if since < end:
                self.context.spans.add(worker, since, end, op="wait", reason="barrier", tag=2)
        for wave, (row, col, worker) in enumerate(self.scheduler.choices.tolist()):
            self.context.emit(
                BlockTaken, epoch=epoch, wave=wave, row=row, col=col, worker=worker,
                ratings=self.counts[row][col],
            )  # fmt: skip

    def _rates(self) -> RowRates:
        """Return the rule's settings, in units of ratings divided by their deviation."""
        features = -(-self.solver.rank // SLOW) * SLOW
        fast = not self.first and features > SLOW
        return RowRates(
            lr=np.float32(self.context.lr),
            lam=np.float32(self.context.lam / self.factors.scale),
            per_slow=np.float32(1.0 / SLOW),
            per_fast=np.float32(1.0 / (features - SLOW) if fast else 0.0),
            fast=fast,
        )


def deviation(problem: Problem, context: Context) -> float:
    """Return the standard deviation of the ratings; 1 for ratings that are all alike.

    LIBMF takes 1e-4 there, which makes ratings of 3 into 30 000 and diverges.

    Parameters
    ----------
    problem : Problem
    context : Context
        Its crew adds up.
    """
    train, crew = problem.train, context.crew
    bounds = np.append(np.arange(0, train.nnz, 1 << 18), train.nnz)
    sums = np.zeros(len(bounds) - 1)
    mean = train.mean
    crew.run(lambda w: squared_deviation_slices(train.r, mean, bounds, sums, w, crew.workers))
    s = float(np.sqrt(np.cumsum(sums)[-1] / train.nnz))
    return s if s > 1e-4 else 1.0


def _scheduler(tables: np.ndarray, d: int, workers: int, seed: np.uint64) -> Scheduler:
    """Cut one block of memory into the tables of a scheduler; keys start as random fractions."""
    sizes = (32, 2 * d, d * d, d * d, 3 * d * d, 8 * workers)
    shared, busy, counts, keys, choices, held = np.split(tables, np.cumsum(sizes)[:-1])
    fractions = keys.view(np.float64)
    fractions[:] = np.random.default_rng(int(seed)).random(d * d)
    held.reshape(workers, 8)[:, 0] = -1
    return Scheduler(
        shared=shared,
        seed=seed,
        busy=busy.reshape(2, d),
        counts=counts.reshape(d, d),
        keys=fractions.reshape(d, d),
        choices=choices.reshape(d * d, 3),
        held=held.reshape(workers, 8),
    )

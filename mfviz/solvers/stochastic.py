"""What solvers that visit ratings one at a time have in common: settings, model, loss, order.

``sgd``, ``hogwild`` and ``dsgd`` differ only in who visits which rating when; their settings,
their initial state and the arithmetic of a visit come from here and from
:mod:`mfviz.kernels.sgd`. Each draws from three streams in this order: initial factors, layout,
order of visits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.metrics import squared_error, squared_norms
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.registers import parts_of
from mfviz.kernels.sgd import WIDEST, Rates
from mfviz.solvers.base import Checkpoint, Context, Factors, Solver
from mfviz.solvers.init import INITS, make_factors, memory_parts
from mfviz.solvers.schedules import SCHEDULES, Schedule
from mfviz.telemetry.events import Measured
from mfviz.telemetry.memory import Ledger, MemoryPart
from mfviz.theory.effective_ranks import effective_ranks

__all__ = [
    "FREE_NS",
    "NAMES",
    "OPEN",
    "SOLO_NS",
    "BiasedSolver",
    "draw_seed",
    "free_run",
    "gate_signal",
    "pack",
    "weighted_norms",
]

NAMES = ("update", "shuffle", "wait", "loss")  # span names by the tags that the kernels write
SOLO_NS = 40_000_000  # longest kernel call between two checkpoints
FREE_NS = 100_000_000  # longest kernel call of a free-running worker that nobody wants
OPEN = np.zeros(8, dtype=np.int64)  # the signal of a gate that is never shut
LOOK_S = 0.02  # how often the coordinator of free-running workers yields

Records = npt.NDArray[np.void]


class BiasedSolver(Solver):
    """Base of the solvers that train ``mu + bu[u] + bi[i] + p.q`` by stochastic descent.

    Attributes
    ----------
    rows_in_registers : bool
        Whether the kernel is compiled for the width of a row, to keep whole rows in registers.
    """

    rows_in_registers: ClassVar[bool] = False

    lr = param.Number(
        0.03, bounds=(0.0, 10.0), doc="Learning rate γ of the factors in the first epoch."
    )
    biases = param.Boolean(
        True, doc="Train a bias for each user and item beside the factors (off: p·q alone)."
    )
    centre = param.Boolean(True, doc="Subtract the mean of the training ratings (μ; off: μ = 0).")
    lr_bias = param.Number(0.01, bounds=(0.0, 10.0), doc="Learning rate of the biases.")
    lam_bias = param.Number(0.02, bounds=(0.0, 100.0), doc="Regularisation λ of the biases.")
    schedule = param.Selector(
        default="exponential",
        objects=list(SCHEDULES),
        doc="How learning rates change from epoch to epoch t: constant; exponential, decay^t; "
        "inverse, 1/(1+β t^1.5); bold driver, ×1.05 after a fall of the loss, ×0.5 otherwise.",
    )
    decay = param.Number(
        0.97, bounds=(0.0, 1.0), inclusive_bounds=(False, True), doc="Base of exponential."
    )
    beta = param.Number(0.1, bounds=(0.0, 100.0), doc="β of the inverse schedule.")
    init = param.Selector(
        default="normal",
        objects=list(INITS),
        doc="Initial factors: normal N(0,1); uniform U[0,1)/√f; positive, predictions start at "
        "the mean rating (for a model without μ).",
    )
    init_scale = param.Number(
        0.05, bounds=(0.0, 10.0), doc="Factor of the initial values; it matters a lot."
    )

    measure_ranks = param.Boolean(
        False,
        doc="Tell the effective ranks r and R of PᵀP and QᵀQ after each epoch: bounds of the "
        "batch size that gains.",
    )

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at: each width of a row has its own, up to a limit."""
        width = min(Factors.width(self.rank), WIDEST + 1)
        return width if self.rows_in_registers else super().kernel_rank

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """Return the weighted-λ objective, with the factors and biases as they are now."""
        loss = squared_error + self.lam * weighted_norms(problem, factors.P, factors.Q)
        if factors.biased:
            bu, bi = factors.bu.astype(np.float64), factors.bi.astype(np.float64)
            n_u, n_i = problem.train.user_counts, problem.train.item_counts
            loss += self.lam_bias * float(n_u @ (bu * bu) + n_i @ (bi * bi))
        return loss

    def model_parts(self, n_users: int, n_items: int, nnz: int) -> list[MemoryPart]:
        """Memory of records and model, which all of these solvers hold."""
        records = MemoryPart("ratings", "ratings by user", "host", "12 N", 12 * nnz)
        return [records, *memory_parts(n_users, n_items, self.rank)]

    def make_model(
        self, problem: Problem, context: Context, rng: np.random.Generator
    ) -> tuple[Factors, Schedule]:
        """Set ``context.factors`` and ``context.names``; return the model and its schedule."""
        context.names = NAMES
        mu = problem.train.mean if self.centre else 0.0
        factors = make_factors(self, problem, context, rng, mu=mu, biased=self.biases)
        return factors, Schedule(self.schedule, self.decay, self.beta)

    def rates(self, context: Context, factors: Factors, factor: float) -> Rates:
        """Return what the kernels need, from the live learning rate and λ."""
        width = factors.P.shape[1]
        return Rates(
            mu=np.float32(factors.mu),
            lr=np.float32(context.lr * factor),
            lam=np.float32(context.lam),
            lr_bias=np.float32(self.lr_bias * factor),
            lam_bias=np.float32(self.lam_bias),
            biased=bool(factors.biased),
            parts=parts_of(width) if self.rows_in_registers and width <= WIDEST else (),
        )

    def judge(
        self, schedule: Schedule, problem: Problem, context: Context, at: Checkpoint
    ) -> Iterator[Checkpoint]:
        """Tell the schedule the loss where it wants to know, yielding ``at`` in a long sum.

        Effective ranks are told here too, where they are asked for.
        """
        if self.measure_ranks:
            tell_ranks(context, at.epoch)
        if schedule.needs_loss:
            error = yield from training_error(problem, context, at)
            assert context.factors is not None
            lam, self.lam = self.lam, context.lam
            try:
                schedule.judge(self.objective(problem, context.factors, error))
            finally:
                self.lam = lam


def weighted_norms(
    problem: Problem, P: npt.NDArray[np.float32], Q: npt.NDArray[np.float32]
) -> float:
    """Return ``sum_u n_u |p_u|^2 + sum_i n_i |q_i|^2`` with n the numbers of training ratings."""
    train = problem.train
    return float(squared_norms(P, train.user_counts) + squared_norms(Q, train.item_counts))


def tell_ranks(context: Context, epoch: int) -> None:
    """Emit the effective ranks of both sides as measurements."""
    factors = context.factors
    assert factors is not None
    if not factors.finite():
        return
    for name, X in (("P", factors.P), ("Q", factors.Q)):
        for symbol, value in effective_ranks(X)._asdict().items():
            words = f"effective rank {symbol} of {name}"
            context.emit(Measured, epoch=epoch, name=words, value=value, unit="directions")


def training_error(
    problem: Problem, context: Context, at: Checkpoint
) -> Generator[Checkpoint, None, float]:
    """Sum the squared training errors with the whole crew; the value is the same for any crew.

    Parameters
    ----------
    problem : Problem
    context : Context
    at : Checkpoint
        Yielded between the parts of a long sum.
    """
    factors, crew, train = context.factors, context.crew, problem.train
    assert factors is not None
    size = max(1, (1 << 22) // factors.P.shape[1])
    bounds = [*range(0, train.nnz, size), train.nnz]
    sums = np.zeros(len(bounds) - 1)
    group = 16 * crew.workers

    def task(worker: int, first: int) -> None:
        begin = context.spans.now_ns()
        for s in range(first + worker, min(first + group, len(sums)), crew.workers):
            sums[s] = squared_error(
                train.u, train.i, train.r, bounds[s], bounds[s + 1],
                factors.P, factors.Q, factors.bu, factors.bi, factors.mu, factors.scale,
            )  # fmt: skip
        # nothing of the set-up is drawn, and nothing on lanes of streams, which others write
        if at.epoch and context.spans.of_workers:
            context.spans.add(worker, begin, context.spans.now_ns(), tag=3)

    for first in range(0, len(sums), group):
        if first:
            yield at
        crew.run(lambda worker, first=first: task(worker, first))  # type: ignore[misc]
    return float(np.cumsum(sums)[-1])


def pack(
    ledger: Ledger,
    u: npt.NDArray[np.int32],
    i: npt.NDArray[np.int32],
    r: npt.NDArray[np.float32],
) -> Records:
    """Copy ratings into 12-byte records, which are then shuffled and read in sequence."""
    records: Records = ledger.empty("ratings", len(r), TRIPLE, part="ratings by user")
    records["u"], records["i"], records["r"] = u, i, r
    return records


def draw_seed(rng: np.random.Generator) -> np.uint64:
    """Draw the seed of a shuffle; never 0, which means "leave the order alone" to a kernel."""
    return np.uint64(rng.integers(1, 1 << 63))


def gate_signal(context: Context) -> npt.NDArray[np.int64]:
    """Return what kernels look at to learn that they are wanted at the gate.

    A single worker stops at every checkpoint anyway; see :func:`free_run`.
    """
    return context.gate.signal if context.crew.workers > 1 else OPEN


def free_run(
    context: Context, step: Callable[[int], bool], epoch: int, updates: Callable[[], int]
) -> Iterator[Checkpoint]:
    """Keep workers going without a barrier, looking on; ends when all have returned.

    Parameters
    ----------
    context : Context
    step : callable
        ``step(worker)`` makes one kernel call; False when the worker is done with this epoch. It
        is called while ``context.gate()`` says so.
    epoch : int
    updates : callable
        Rating visits so far, read while the workers go on.

    Notes
    -----
    A single worker runs on the coordinator's thread and stops at every checkpoint, so that it can
    be stepped as finely as a serial solver.
    """
    if context.crew.workers == 1:
        while step(0):
            yield Checkpoint("chunk", epoch, updates())
        return

    def task(worker: int) -> None:
        while context.gate() and step(worker):
            pass

    context.crew.start(task)
    try:
        while not context.crew.wait(LOOK_S):
            yield Checkpoint("chunk", epoch, updates(), running=True)
    except GeneratorExit:
        context.gate.dismiss()
        context.crew.wait()
        raise

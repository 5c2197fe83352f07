"""cuMF_SGD: batch-Hogwild!, racing workers on chunks of ratings, factors in half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import param

from mfviz.data.problem import Problem
from mfviz.kernels.cuda.rows import WIDEST, width_of
from mfviz.solvers.base import Card, Checkpoint, Context, Factors, Solver
from mfviz.solvers.fpsgd import deviation
from mfviz.solvers.halves import half_parts
from mfviz.solvers.init import INITS, make_factors, memory_parts
from mfviz.solvers.partition_engines import PartsOnDevice, PartsOnHost
from mfviz.solvers.partitions import STREAMS, partition_parts
from mfviz.solvers.racing_chunks import CHUNK, ChunksOnDevice, ChunksOnHost, chunk_parts
from mfviz.solvers.schedules import Schedule
from mfviz.solvers.stochastic import NAMES, weighted_norms
from mfviz.solvers.wavefront import WaveOnDevice, WaveOnHost, wave_parts
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["CHUNK", "SCHEDULERS", "CuMFSGD"]

SPARSE = 20  # rows of the shorter side a racing worker, at least
MOST_WARPS = 4096
RATINGS = "ratings"
SCHEDULERS = ("batch_hogwild", "wavefront")


class Engine(Protocol):
    """What visits the ratings of an epoch."""

    factor: float

    @property
    def visits(self) -> int:
        """Ratings visited so far."""

    @property
    def complete(self) -> bool:
        """Whether the epoch was ended."""

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the order of an epoch."""

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        """Visit the ratings."""


class CuMFSGD(Solver):
    """Racing workers on chunks of 128 ratings, or workers that lock columns; halves either way.

    Pseudo-code of batch_hogwild: *each worker (a warp), N / (128 W) times an epoch: draw a place
    in the ratings; for the next 128 of them, in their order: p_u ← p_u + γ(e q_i − λ p_u) and q_i
    likewise, in float32; write both rows back in float16.*

    Chunks are drawn with replacement: an epoch has N visits or some more, but not of every rating.
    Ratings are divided by their standard deviation, and λ with them, so that halves suffice. The
    host draws the places, so that the CPU and a GPU can visit the same chunks.

    Racing converges while the workers are few beside users and items: on a GPU there are at most
    min(m, n) / 20 unless ``warps`` says otherwise.

    Pseudo-code of wavefront: *deal users to W rows of blocks and items to C columns; worker w, for
    each column in a random order of its own: wait for the column's lock and take it; visit the
    ratings of block (w, column); give the lock back.* Nobody writes what another one reads, and
    there is no barrier within an epoch; the paper has it, but not the authors' code, so that its
    details are a reconstruction.

    What is larger than the device is streamed, in as few parts as fit it unless they are set
    (``user_parts`` u, ``item_parts`` v): *deal users
    to u parts and items to v; for each of the u v blocks, in a random order: copy its ratings, and
    the parts of P and Q that are not there, while the block before it is visited; race on it; copy
    the part that has to make room home.* The result is that of one block after the other. On the
    CPU threads do the same, with copies from memory to memory.

    Memory: 12 N for the ratings, 2 f (m + n) for the factors; 8 bytes a chunk for the places, or
    28 W C for blocks, orders and their record on a GPU (40 W C on the CPU). Streamed, a device
    holds 24 N / (u v) + 4 f (m / u + n / v) and the places.

    Reproducibility: exact with one worker; statistical otherwise, as who comes first decides.
    """

    key = "cumf_sgd"
    title = "cuMF_SGD"
    paper = (
        "Xie, Tan, Fong, Liang: CuMF_SGD: parallelized stochastic gradient descent for matrix "
        "factorization on GPUs, 2017 (arXiv:1610.05838)"
    )
    equations = (
        r"p_u \leftarrow \mathrm{half}\bigl(p_u + \gamma_t (e\,q_i - \lambda p_u)\bigr),\quad "
        r"q_i \leftarrow \mathrm{half}\bigl(q_i + \gamma_t (e\,p_u - \lambda q_i)\bigr),\quad "
        r"\gamma_t = \gamma / (1 + \beta t^{1.5})"
    )
    backends = ("cpu", "cuda")
    card = Card(
        brief="racing chunks, or a wavefront",
        parallel="Chunks of 128 ratings, or blocks: on a GPU a warp has one, on the CPU a thread.",
        synchronises="At the end of an epoch; a wavefront's worker waits for its next column.",
        conflicts="Racing workers may lose updates; those of a wavefront never meet.",
        cost="8 f flops a rating and 12 + 8 f bytes: halves move half of what floats do. "
        "Streamed, 12 N and some parts of P and Q come over the bus.",
        memory="12 N + 2 f (m + n) bytes, streamed 24 N / (u v) + 4 f (m / u + n / v); "
        "4 f (m + n) on the host to look at the model.",
        kernel="kernels.cuda.chunks and .wavefront, eight halves a load; on the CPU "
        "kernels.chunks and .wavefront.",
        accuracy="It has no biases (the model is p·q alone) and spends features on them, and a "
        "visit rounds to float16: test RMSE ends up to 0.03 above the best solver's.",
    )

    published = {
        "cuMF_SGD, Netflix": {"rank": 128, "lam": 0.05, "lr": 0.08, "beta": 0.3, "epochs": 20},
        "cuMF_SGD, Yahoo! Music": {"rank": 128, "lam": 1.0, "lr": 0.08, "beta": 0.2},
        "cuMF_SGD, Hugewiki": {"rank": 128, "lam": 0.03, "lr": 0.08, "beta": 0.3},
    }

    lr = param.Number(0.08, bounds=(0.0, 10.0), doc="Learning rate γ of the first epoch.")
    beta = param.Number(0.1, bounds=(0.0, 100.0), doc="β of the schedule 1/(1+β t^1.5).")
    scheduler = param.Selector(
        default="batch_hogwild",
        objects=list(SCHEDULERS),
        doc="batch_hogwild: workers race on chunks of 128 consecutive ratings; wavefront: each "
        "has users of its own and locks a column of items at a time (a reconstruction).",
    )
    shuffle = param.Boolean(
        True,
        doc="Put the ratings in a random order once, in the set-up (off: file order); of a "
        "wavefront also users, items and each epoch's columns (off: in order of number).",
    )
    warps = param.Integer(
        0,
        bounds=(0, 65_536),
        doc="Workers on a GPU (0: as many as converge, up to 4096, or as have full blocks).",
    )
    columns = param.Integer(
        0, bounds=(0, 4096), doc="Columns of a wavefront (0: twice as many as workers)."
    )
    user_parts = param.Integer(
        0,
        bounds=(0, 64),
        doc="Parts of users, u: with u × v over 1 the ratings are streamed to the device, block "
        "by block, and so are parts of P and Q (0: 1, or as many as its free memory asks for).",
    )
    item_parts = param.Integer(
        0, bounds=(0, 64), doc="Parts of items, v (0: 1, or as many as free memory asks for)."
    )
    pinned = param.Boolean(
        True,
        doc="On a GPU, stream from pinned memory; off shows why overlap needs it. The CPU has no "
        "such memory.",
    )
    init = param.Selector(
        default="uniform", objects=list(INITS), doc="Initial factors; cuMF_SGD draws U[0,1)/√f."
    )
    init_scale = param.Number(1.0, bounds=(0.0, 10.0), doc="Factor of the initial values.")

    @property
    def streamed(self) -> bool:
        """Whether ratings come block by block."""
        return self.cuts != (1, 1)

    @property
    def cuts(self) -> tuple[int, int]:
        """Parts of users and of items."""
        return max(1, self.user_parts), max(1, self.item_parts)

    @property
    def threads(self) -> int:
        """Those that compute, and two that copy where ratings are streamed."""
        return int(self.workers) + 2 * self.streamed

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or why not; on a device a row has to fit the registers of a warp."""
        if self.streamed and self.scheduler == "wavefront":
            return (
                "A wavefront needs all ratings at once: set user_parts and item_parts to 1, or "
                "take scheduler=batch_hogwild."
            )
        u, v = self.cuts
        if u > problem.n_users or v > problem.n_items:
            return (
                f"{problem.n_users} users and {problem.n_items} items cannot be cut into "
                f"{u} x {v} parts: take fewer."
            )
        if backend == "cuda" and self.rank > WIDEST:
            return f"{self.title} keeps rows in registers on CUDA: take a rank of up to {WIDEST}."
        return super().supports(problem, backend)

    def cure(self, n_users: int, n_items: int, nnz: int, free: int) -> str:
        """Say into how many parts to cut what does not fit."""
        parts = self._cut(n_users, n_items, nnz, free)
        if not parts:
            return super().cure(n_users, n_items, nnz, free)
        first = "" if self.scheduler == "batch_hogwild" else "scheduler=batch_hogwild, "
        return (
            f"Set {first}user_parts={parts} and item_parts={parts}: ratings and factors are then "
            "streamed."
        )

    def room_for(self, n_users: int, n_items: int, nnz: int, free: int) -> dict[str, Any]:
        """Cut into parts what does not fit, unless parts are set or a wavefront needs it whole."""
        if self.user_parts or self.item_parts or self.scheduler == "wavefront":
            return {}
        parts = self._cut(n_users, n_items, nnz, free)
        return {"user_parts": parts, "item_parts": parts} if parts else {}

    def _cut(self, n_users: int, n_items: int, nnz: int, free: int) -> int:
        """Fewest parts of users, and as many of items, that fit ``free`` bytes; 0 if none do."""
        for parts in range(2, min(n_users, n_items, 64) + 1):
            cut = {"scheduler": "batch_hogwild", "user_parts": parts, "item_parts": parts}
            if type(self)(**{**self.settings(), **cut}).needs(n_users, n_items, nnz) <= free:
                return parts
        return 0

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at; on a device each width has its own."""
        return min(width_of(self.rank), WIDEST)

    def racing(self, n_users: int, n_items: int, backend: str = "cpu") -> int:
        """Workers that race for rows."""
        if backend == "cpu":
            return int(self.workers)
        fit = min(max(1, min(n_users, n_items) // SPARSE), MOST_WARPS)
        return int(self.warps) or fit

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" with one worker, "statistical" otherwise."""
        alone = self.workers == 1 if backend == "cpu" else self.warps == 1
        return "exact" if alone else "statistical"

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """The workers on the CPU, one stream on a device; three streams where ratings come."""
        if self.streamed:
            return tuple(f"{name} (CPU)" if backend == "cpu" else name for name in STREAMS)
        return super().lanes(backend) if backend == "cpu" else ("stream 0",)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings, factors in halves and in floats, and what the scheduler needs."""
        where = "host" if backend == "cpu" else "device"
        model = memory_parts(n_users, n_items, self.rank)
        if self.streamed:
            return MemoryModel((*model, *partition_parts(self, n_users, n_items, nnz, backend)))
        if self.scheduler == "wavefront":
            more = wave_parts(self, n_users, n_items, nnz, backend)
        else:
            more = chunk_parts(self.racing(n_users, n_items, backend), nnz, backend)
        parts = [
            *model,
            MemoryPart(RATINGS, "ratings by user", where, "12 N", 12 * nnz),
            *half_parts(n_users, n_items, self.rank, backend),
            *more,
        ]
        return MemoryModel(tuple(parts))

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """Return the weighted-λ objective in the user's units."""
        norms = weighted_norms(problem, factors.P, factors.Q)
        return squared_error + self.lam * factors.scale * norms

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, layout_rng, order_rng = context.rng.spawn(3)
        context.names = NAMES
        scale = deviation(problem, context)
        factors = make_factors(self, problem, context, init_rng, scale=scale)
        schedule = Schedule("inverse", beta=self.beta)
        kinds = ENGINES["streamed" if self.streamed else str(self.scheduler)]
        kind = kinds[0] if context.device is None else kinds[1]
        engine: Engine = kind(self, problem, context, factors, layout_rng)
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            engine.draw(order_rng)
            engine.factor = schedule.factor(epoch)
            yield from engine.run(epoch)
            if not engine.complete:
                return  # dismissed in the middle of an epoch
            yield Checkpoint("epoch", epoch, engine.visits)


ENGINES: dict[str, tuple[Callable[..., Engine], Callable[..., Engine]]] = {
    "batch_hogwild": (ChunksOnHost, ChunksOnDevice),
    "wavefront": (WaveOnHost, WaveOnDevice),
    "streamed": (PartsOnHost, PartsOnDevice),
}  # on the CPU and on a device

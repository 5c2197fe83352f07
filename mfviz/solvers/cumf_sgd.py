"""cuMF_SGD: batch-Hogwild!, racing workers on chunks of ratings, factors in half precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import param

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.chunks import visit_chunks
from mfviz.kernels.cuda.chunks import HALVES
from mfviz.kernels.cuda.rows import WIDEST, grid, width_of
from mfviz.solvers.base import Card, Checkpoint, Context, Factors, Solver
from mfviz.solvers.fpsgd import deviation
from mfviz.solvers.init import INITS, make_factors, memory_parts
from mfviz.solvers.schedules import Schedule
from mfviz.solvers.stochastic import (
    FREE_NS,
    NAMES,
    SOLO_NS,
    Records,
    free_run,
    gate_signal,
    pack,
    weighted_norms,
)
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["CHUNK", "CuMFSGD"]

CHUNK = 128  # consecutive ratings
SPARSE = 20  # rows of the shorter side a racing worker, at least
MOST_WARPS = 4096
WAIT = NAMES.index("wait")
RATINGS = "ratings"

Int64 = npt.NDArray[np.int64]


class CuMFSGD(Solver):
    """Batch-Hogwild!: each worker visits chunks of 128 consecutive ratings, without locks.

    Pseudo-code: *each worker (a warp), N / (128 W) times an epoch: draw a place in the ratings;
    for the next 128 of them, in their order: p_u ← p_u + γ(e q_i − λ p_u) and q_i likewise, in
    float32; write both rows back in float16.*

    Chunks are drawn with replacement: an epoch has N visits or some more, but not of every rating.
    Ratings are divided by their standard deviation, and λ with them, so that halves suffice. The
    host draws the places, so that the CPU and a GPU can visit the same chunks.

    Racing converges while the workers are few beside users and items: on a GPU there are at most
    min(m, n) / 20 unless ``warps`` says otherwise.

    Memory: 12 N for the ratings, 2 f (m + n) for the factors, 8 bytes a chunk for the places.

    Reproducibility: exact with one worker on the CPU; statistical otherwise.
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
        parallel="Chunks of 128 ratings: on a GPU a warp has one, on the CPU a thread.",
        synchronises="Only at the end of an epoch, to look at the model; never within it.",
        conflicts="Workers may write one row at a time; some updates are lost or stale.",
        cost="8 f flops a rating and 12 + 8 f bytes: halves move half of what floats do.",
        memory="12 N + 2 f (m + n) bytes, and 4 f (m + n) on the host to look at the model.",
        kernel="kernels.cuda.chunks: eight halves a load; on the CPU kernels.chunks.",
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
    shuffle = param.Boolean(
        True, doc="Put the ratings in a random order once, in the set-up (off: file order)."
    )
    warps = param.Integer(
        0, bounds=(0, 65_536), doc="Workers on a GPU (0: as many as converge, up to 4096)."
    )
    init = param.Selector(
        default="uniform", objects=list(INITS), doc="Initial factors; cuMF_SGD draws U[0,1)/√f."
    )
    init_scale = param.Number(1.0, bounds=(0.0, 10.0), doc="Factor of the initial values.")

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or why not; on a device a row has to fit the registers of a warp."""
        if backend == "cuda" and self.rank > WIDEST:
            return f"{self.title} keeps rows in registers on CUDA: take a rank of up to {WIDEST}."
        return super().supports(problem, backend)

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
        """One stream on a device; the workers on the CPU."""
        return super().lanes(backend) if backend == "cpu" else ("stream 0",)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings, factors in halves and in floats, and the places of the chunks."""
        W = self.racing(n_users, n_items, backend)
        places = 8 * W * -(-nnz // (W * CHUNK))
        parts = [*memory_parts(n_users, n_items, self.rank)]
        f, where = Factors.width(self.rank), "host"
        if backend != "cpu":
            f, where = width_of(self.rank), "device"
            parts.append(MemoryPart("chunks", "workspace", "host", "8 a chunk", places))
        parts += [
            MemoryPart(RATINGS, "ratings by user", where, "12 N", 12 * nnz),
            MemoryPart("P in halves", "P", where, "2 f m", 2 * f * n_users),
            MemoryPart("Q in halves", "Q", where, "2 f n", 2 * f * n_items),
            MemoryPart("places of chunks", "workspace", where, "8 a chunk", places),
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
        train = problem.train
        records = pack(context.ledger, train.u, train.i, train.r)
        records["r"] /= np.float32(scale)
        if self.shuffle:
            layout_rng.shuffle(records)
        schedule = Schedule("inverse", beta=self.beta)
        kind = _OnHost if context.device is None else _OnDevice
        race = kind(self, context, factors, records)
        del records  # a device has them now
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            race.starts[:] = order_rng.integers(0, train.nnz, race.starts.shape)
            race.factor = schedule.factor(epoch)
            yield from race.run(epoch)
            if race.visits < epoch * CHUNK * race.starts.size:
                return  # dismissed in the middle of an epoch
            yield Checkpoint("epoch", epoch, race.visits)


class _OnHost:
    """The threads of the crew, each with its chunks."""

    def __init__(
        self, solver: CuMFSGD, context: Context, factors: Factors, records: Records
    ) -> None:
        self.context, self.factors, self.records = context, factors, records
        ledger, W = context.ledger, context.crew.workers
        self.halves = []
        for name, A in (("P", factors.P), ("Q", factors.Q)):
            halves = ledger.empty(f"{name} in halves", A.shape, np.uint16, part=name)
            halves.view(np.float16)[:] = A
            self.halves.append(halves)
        shape = (W, -(-len(records) // (W * CHUNK)))
        self.starts: Int64 = ledger.empty("places of chunks", shape, np.int64, fill=0)
        self.factor = 1.0
        self.before = 0
        self.at = [0] * W
        room = context.spans.rows.shape[1] // 2  # an epoch's spans are read at its end only
        self.most = max(context.chunk, CHUNK * shape[1] // room + 1)
        context.refresh = self.refresh
        self.refresh()

    @property
    def visits(self) -> int:
        return self.before + sum(self.at)

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        self.before, self.at = self.visits, [0] * len(self.at)
        return free_run(self.context, self._step, epoch, lambda: self.visits)

    def _step(self, worker: int) -> bool:
        context, spans = self.context, self.context.spans
        at, last = self.at[worker], CHUNK * self.starts.shape[1]
        self.at[worker] = visit_chunks(
            self.records, self.starts[worker], CHUNK, at, min(last, at + self.most),
            FREE_NS if len(self.at) > 1 else SOLO_NS, gate_signal(context), *self.halves,
            np.float32(context.lr * self.factor), np.float32(context.lam / self.factors.scale),
            spans.rows, spans.fill, worker,
        )  # fmt: skip
        return self.at[worker] < last

    def refresh(self) -> None:
        for A, halves in zip((self.factors.P, self.factors.Q), self.halves, strict=True):
            A[:] = halves.view(np.float16)


class _OnDevice:
    """Warps of a device, each with its chunks."""

    def __init__(
        self, solver: CuMFSGD, context: Context, factors: Factors, records: Records
    ) -> None:
        assert context.device is not None
        self.context, self.factors, self.device = context, factors, context.device
        self.width = width_of(factors.rank)
        self.nnz = len(records)
        W = solver.racing(len(factors.P), len(factors.Q), "cuda")
        context.ledger.free(RATINGS)  # they move, and keep their name
        self.triples = self.device.send(RATINGS, records.view(np.int32), part="ratings by user")
        self.halves = [
            self.device.send(f"{name} in halves", A[:, : self.width].astype(np.float16), part=name)
            for name, A in (("P", factors.P), ("Q", factors.Q))
        ]
        shape = (W, -(-self.nnz // (W * CHUNK)))
        self.starts: Int64 = context.ledger.empty("chunks", shape, np.int64, fill=0)
        self.places = self.device.send("places of chunks", self.starts.ravel(), part="workspace")
        self.factor, self.visits = 1.0, 0
        context.refresh = self.refresh
        self.refresh()

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        """Send the places, then launch; finer than an epoch only where a chunk is asked for."""
        W, per = self.starts.shape
        stop, size = CHUNK * per, max(1, min(self.context.chunk // W, CHUNK * per))
        for low in range(0, stop, size):
            high, program = min(stop, low + size), Program()
            if low == 0:
                program.copy(0, self._send_places, bytes=self.starts.nbytes)
            program.kernel(0, self._launch(low, high), ratings=W * (high - low))
            for _ in self.device.run(program.ops, self.context.spans, WAIT):
                yield Checkpoint("chunk", epoch, self.visits, running=True)
            self.visits += W * (high - low)
            if high < stop:
                yield Checkpoint("chunk", epoch, self.visits)

    def _send_places(self, stream: Any) -> None:
        self.device.driver.upload(self.places, self.starts.ravel(), stream)

    def _launch(self, low: int, high: int) -> Any:
        driver, (W, per) = self.device.driver, self.starts.shape
        blocks, threads = grid(W, self.width, shuffle=driver.shuffles, each=HALVES)
        numbers = [np.int64(x) for x in (self.nnz, per, CHUNK, W, low, high)]
        values = self.triples.view(np.float32)

        def launch(stream: Any) -> None:
            lr = np.float32(self.context.lr * self.factor)
            lam = np.float32(self.context.lam / self.factors.scale)
            driver.launch(
                "visit_chunks", self.width, blocks, threads, stream,
                (*self.halves, self.triples, values, self.places, *numbers, lr, lam),
            )  # fmt: skip

        return launch

    def refresh(self) -> None:
        if self.device.lost:
            return
        for A, halves in zip((self.factors.P, self.factors.Q), self.halves, strict=True):
            found = np.empty((len(A), self.width), dtype=np.float16)
            self.device.driver.download(found, halves)
            A[:, : self.width] = found

"""Batch-Hogwild! on the CPU and on a device: racing workers, each with chunks of ratings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.chunks import visit_chunks
from mfviz.kernels.cuda.chunks import HALVES
from mfviz.kernels.cuda.rows import grid, width_of
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.halves import DeviceHalves, HostHalves
from mfviz.solvers.stochastic import (
    FREE_NS,
    NAMES,
    SOLO_NS,
    Records,
    free_run,
    gate_signal,
    pack,
)
from mfviz.telemetry.memory import MemoryPart

if TYPE_CHECKING:
    from mfviz.solvers.cumf_sgd import CuMFSGD

__all__ = ["CHUNK", "ChunksOnDevice", "ChunksOnHost", "chunk_parts"]

CHUNK = 128  # consecutive ratings
WAIT = NAMES.index("wait")
RATINGS = "ratings"

Int64 = npt.NDArray[np.int64]


def chunk_parts(workers: int, nnz: int, backend: str) -> list[MemoryPart]:
    """Memory of the places of the chunks."""
    places = 8 * workers * -(-nnz // (workers * CHUNK))
    if backend == "cpu":
        return [MemoryPart("places of chunks", "workspace", "host", "8 a chunk", places)]
    return [
        MemoryPart("chunks", "workspace", "host", "8 a chunk", places),
        MemoryPart("places of chunks", "workspace", "device", "8 a chunk", places),
    ]


def _records(
    solver: CuMFSGD, problem: Problem, context: Context, scale: float, rng: np.random.Generator
) -> Records:
    """Pack the ratings, divided by the scale, in their order or shuffled."""
    train = problem.train
    records = pack(context.ledger, train.u, train.i, train.r)
    records["r"] /= np.float32(scale)
    if solver.shuffle:
        rng.shuffle(records)
    return records


class _Chunks:
    """The places of an epoch's chunks, drawn by the host."""

    starts: Int64
    visits: int

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the places."""
        self._before = self.visits
        self.starts[:] = rng.integers(0, self._nnz, self.starts.shape)

    def _lay_out(self, nnz: int) -> None:
        self._nnz, self._before = nnz, 0

    @property
    def complete(self) -> bool:
        """Whether all chunks of the epoch were visited."""
        return self.visits == self._before + CHUNK * self.starts.size


class ChunksOnHost(_Chunks):
    """The threads of the crew, each with its chunks.

    Parameters
    ----------
    solver : CuMFSGD
    problem : Problem
    context : Context
    factors : Factors
    rng : numpy.random.Generator
        Shuffles the ratings.
    """

    def __init__(
        self,
        solver: CuMFSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.context, self.factors = context, factors
        self.records = _records(solver, problem, context, factors.scale, rng)
        W = context.crew.workers
        self.halves = HostHalves(context, factors)
        shape = (W, -(-len(self.records) // (W * CHUNK)))
        self.starts = context.ledger.empty("places of chunks", shape, np.int64, fill=0)
        self._lay_out(len(self.records))
        self.factor = 1.0
        self.before = 0
        self.at = [0] * W
        room = context.spans.rows.shape[1] // 2  # an epoch's spans are read at its end only
        self.most = max(context.chunk, CHUNK * shape[1] // room + 1)

    @property
    def visits(self) -> int:  # type: ignore[override]
        """Ratings visited; may be read while the workers go on."""
        return self.before + sum(self.at)

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        """Visit all chunks."""
        self.before, self.at = self.visits, [0] * len(self.at)
        return free_run(self.context, self._step, epoch, lambda: self.visits)

    def _step(self, worker: int) -> bool:
        context, spans = self.context, self.context.spans
        at, last = self.at[worker], CHUNK * self.starts.shape[1]
        self.at[worker] = visit_chunks(
            self.records, self.starts[worker], CHUNK, at, min(last, at + self.most),
            FREE_NS if len(self.at) > 1 else SOLO_NS, gate_signal(context), *self.halves.sides,
            np.float32(context.lr * self.factor), np.float32(context.lam / self.factors.scale),
            spans.rows, spans.fill, worker,
        )  # fmt: skip
        return self.at[worker] < last


class ChunksOnDevice(_Chunks):
    """Warps of a device, each with its chunks.

    Parameters
    ----------
    solver, problem, context, factors, rng
        As for :class:`ChunksOnHost`; the context has a device.
    """

    def __init__(
        self,
        solver: CuMFSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        assert context.device is not None
        self.context, self.factors, self.device = context, factors, context.device
        records = _records(solver, problem, context, factors.scale, rng)
        nnz = len(records)
        self.triples = self.device.send(RATINGS, records.view(np.int32), part="ratings by user")
        del records
        context.ledger.free(RATINGS)  # they have moved, and keep their name
        self.halves = DeviceHalves(context, factors, width_of(factors.rank))
        W = solver.racing(len(factors.P), len(factors.Q), "cuda")
        shape = (W, -(-nnz // (W * CHUNK)))
        self.starts = context.ledger.empty("chunks", shape, np.int64, fill=0)
        self._lay_out(nnz)
        self.places = self.device.send("places of chunks", self.starts.ravel(), part="workspace")
        self.factor, self.visits = 1.0, 0

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
        driver, (W, per), halves = self.device.driver, self.starts.shape, self.halves
        blocks, threads = grid(W, halves.width, shuffle=driver.shuffles, each=HALVES)
        numbers = [np.int64(x) for x in (self._nnz, per, CHUNK, W, low, high)]
        values = self.triples.view(np.float32)

        def launch(stream: Any) -> None:
            lr = np.float32(self.context.lr * self.factor)
            lam = np.float32(self.context.lam / self.factors.scale)
            driver.launch(
                "visit_chunks", halves.width, blocks, threads, stream,
                (*halves.sides, self.triples, values, self.places, *numbers, lr, lam),
            )  # fmt: skip

        return launch

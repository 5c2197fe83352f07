"""The wavefront of cuMF_SGD on the CPU and on a device: a row of blocks a worker, column locks.

The authors' code has batch-Hogwild! only. What is here follows what is commonly told of their
paper: how many columns there are, that locks spin and how runs are recorded is this project's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.cuda.chunks import HALVES
from mfviz.kernels.cuda.rows import grid, width_of
from mfviz.kernels.cuda.wavefront import visit_wavefront
from mfviz.kernels.strata import shuffle_blocks
from mfviz.kernels.wavefront import APART, HELD, LOG, Wave, wavefront_until
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.blocks import lay_out_blocks
from mfviz.solvers.halves import DeviceHalves, HostHalves
from mfviz.solvers.stochastic import (
    FREE_NS,
    NAMES,
    SOLO_NS,
    draw_seed,
    free_run,
    gate_signal,
)
from mfviz.telemetry.events import BlockTaken, Measured, Noticed
from mfviz.telemetry.memory import MemoryPart
from mfviz.telemetry.promises import MET

if TYPE_CHECKING:
    from mfviz.solvers.cumf_sgd import CuMFSGD

__all__ = ["WaveOnDevice", "WaveOnHost", "summed_up", "wave_parts", "wave_shape"]

Int64 = npt.NDArray[np.int64]

RATINGS = "ratings"
WAIT = NAMES.index("wait")
FULL = 32  # ratings of a block, at least, on average: taking a lock costs about as much as some
MOST_TOLD = 1 << 14  # blocks of an epoch that the run file tells one by one


def wave_shape(
    solver: CuMFSGD, n_users: int, n_items: int, nnz: int, backend: str
) -> tuple[int, int]:
    """Return the workers, which have a row of blocks each, and the columns.

    Parameters
    ----------
    solver : CuMFSGD
    n_users, n_items, nnz : int
    backend : str

    Notes
    -----
    On a device there are as many workers as have users of their own, twice as many columns as
    themselves to choose from, and blocks of 32 ratings; ``warps`` and ``columns`` say otherwise.
    """
    W = int(solver.workers)
    if backend != "cpu":
        fit = min(n_users, n_items // 2, math.isqrt(nnz // (2 * FULL)))
        W = int(solver.warps) or max(1, fit)
    return W, int(solver.columns) or 2 * W


def wave_parts(
    solver: CuMFSGD, n_users: int, n_items: int, nnz: int, backend: str
) -> list[MemoryPart]:
    """Memory of the grid, of the workers' orders and of the locks."""
    W, C = wave_shape(solver, n_users, n_items, nnz, backend)
    places, order = 8 * (W * C + 1), 8 * W * C
    if backend == "cpu":
        return [
            MemoryPart("block offsets", "workspace", "host", "8 (W C + 1)", places),
            MemoryPart("orders of columns", "workspace", "host", "8 W C", order),
            MemoryPart("column locks", "workspace", "host", "64 (C + 1)", 8 * APART * (C + 1)),
            MemoryPart("takings of columns", "workspace", "host", "24 W C", LOG * order),
            MemoryPart("columns in hand", "workspace", "host", "64 W", 8 * HELD * W),
        ]
    half = LOG * order // 2
    return [
        MemoryPart("block offsets", "workspace", "host", "8 (W C + 1)", places),
        MemoryPart("orders of columns", "workspace", "host", "8 W C", order),
        MemoryPart("takings of columns", "workspace", "host", "12 W C", half),
        MemoryPart("block offsets", "workspace", "device", "8 (W C + 1)", places),
        MemoryPart("orders of columns", "workspace", "device", "8 W C", order),
        MemoryPart("column locks", "workspace", "device", "4 (C + 1)", 4 * (C + 1)),
        MemoryPart("takings of columns", "workspace", "device", "12 W C", half),
    ]


def summed_up(log: npt.NDArray[Any], order: Int64, counts: Int64) -> dict[str, float]:
    """Sum up the blocks of an epoch, where they are too many to be told one by one.

    Parameters
    ----------
    log : (W, C, 3) int
        Of each worker and place of its order: the number of the lock, that of its giving back,
        and whether it had to be waited for. Both count in one sequence.
    order : (W, C) int64
        Columns of each worker in the order of its visits.
    counts : (W, C) int64
        Ratings of each block.

    Returns
    -------
    dict
        Blocks and their ratings, how many were held at once on average of the takings, and how
        many were taken while their column was held, which a working lock leaves at 0.
    """
    taken, until = (log[:, :, at].astype(np.int64).ravel() for at in (0, 1))
    columns = order.ravel()
    by_column = np.lexsort((taken, columns))
    same = np.diff(columns[by_column]) == 0
    early = taken[by_column][1:] < until[by_column][:-1]
    over = np.searchsorted(np.sort(until), taken, side="right")  # given back before each taking
    before = np.argsort(np.argsort(taken))
    return {
        "blocks": float(taken.size),
        "ratings of the largest block": float(counts.max()),
        "blocks held at once": float(np.mean(before - over + 1)),
        MET: float(np.count_nonzero(same & early)),
    }


class _Wave:
    """What both forms have: the blocks on the host, the orders of columns, and the record.

    Parameters
    ----------
    solver : CuMFSGD
    problem : Problem
    context : Context
    factors : Factors
    rng : numpy.random.Generator
        Deals users and items to blocks, then draws the seed of the order inside the blocks.
    """

    order: Int64

    def __init__(
        self,
        solver: CuMFSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.context, self.factors, self.factor = context, factors, 1.0
        self.shuffle, crew = solver.shuffle, context.crew
        where = "cpu" if context.device is None else "cuda"
        shape = wave_shape(solver, problem.n_users, problem.n_items, problem.train.nnz, where)
        self.workers, self.columns = shape
        self.records, self.offsets = lay_out_blocks(
            problem, context, self.workers, rng, shuffle=solver.shuffle, scale=factors.scale,
            columns=self.columns,
        )  # fmt: skip
        if solver.shuffle:
            seed = draw_seed(rng)
            crew.run(lambda w: shuffle_blocks(self.records, self.offsets, seed, w, crew.workers))
        self.order = context.ledger.empty("orders of columns", shape, np.int64)
        self.order[:] = np.arange(self.columns)
        self.counts = np.diff(self.offsets).reshape(shape)
        self._tells_blocks = self.counts.size <= MOST_TOLD
        context.emit(
            Noticed, level="info",
            message="The wavefront is not in the authors' code: its details are a reconstruction.",
        )  # fmt: skip
        if not self._tells_blocks:
            context.emit(
                Noticed, level="info",
                message=f"There are {self.counts.size:,} blocks an epoch: they are told summed "
                f"up, not one by one. Up to {MOST_TOLD:,} are; set warps or columns lower.",
            )  # fmt: skip

    def draw(self, rng: np.random.Generator) -> None:
        """Draw each worker's order of columns for an epoch."""
        if self.shuffle:
            rng.permuted(np.broadcast_to(np.arange(self.columns), self.order.shape), axis=1,
                         out=self.order)  # fmt: skip

    def rates(self) -> tuple[np.float32, np.float32]:
        """Learning rate, and λ in units of the divided ratings."""
        lam = self.context.lam / self.factors.scale
        return np.float32(self.context.lr * self.factor), np.float32(lam)

    def tell(self, epoch: int, log: npt.NDArray[Any]) -> None:
        """Tell how many blocks had to wait, and the blocks in the order of their locks."""
        waited = float(log[:, :, 2].sum())
        context, blocks = self.context, "blocks that waited for their column"
        context.emit(Measured, epoch=epoch, name=blocks, value=waited, unit="blocks")
        if not self._tells_blocks:
            for name, value in summed_up(log, self.order, self.counts).items():
                context.emit(Measured, epoch=epoch, name=name, value=value)
            return
        for at in np.argsort(log[:, :, 0], axis=None).tolist():
            worker, place = divmod(at, self.columns)
            col = int(self.order[worker, place])
            context.emit(
                BlockTaken, epoch=epoch, wave=int(log[worker, place, 0]), row=worker, col=col,
                worker=worker, ratings=int(self.counts[worker, col]),
                until=int(log[worker, place, 1]),
            )  # fmt: skip


class WaveOnHost(_Wave):
    """The threads of the crew, each with a row of blocks."""

    def __init__(
        self,
        solver: CuMFSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(solver, problem, context, factors, rng)
        ledger, (W, C) = context.ledger, self.order.shape
        self.halves = HostHalves(context, factors)
        self.wave = Wave(
            self.offsets,
            self.order,
            ledger.empty("column locks", APART * (C + 1), np.int64, fill=0),
            ledger.empty("takings of columns", (W, C, LOG), np.int64, fill=0),
            ledger.empty("columns in hand", (W, HELD), np.int64, fill=0),
        )
        self.wave.held[:, 0] = C
        self.visited = np.zeros(W, dtype=np.int64)
        self.finished = np.zeros(W, dtype=np.int64)  # when each worker found nothing left
        room = context.spans.rows.shape[1] // 2  # an epoch's spans are read at its end only
        self.most = max(context.chunk, problem.train.nnz // room + 1)

    @property
    def visits(self) -> int:
        """Ratings visited; may be read while the workers go on."""
        return int(self.visited.sum())

    @property
    def complete(self) -> bool:
        """Whether every worker has done its row of blocks."""
        return bool((self.wave.held[:, 0] == self.columns).all())

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        """Visit all ratings once."""
        wave, context = self.wave, self.context
        wave.locks[-APART] = 0
        wave.log[:] = 0
        wave.held[:, 0], wave.held[:, 1] = 0, -1
        self.finished[:] = 0
        yield from free_run(context, self._step, epoch, lambda: self.visits)
        if not self.complete:
            return
        end = int(self.finished.max())
        for worker, since in enumerate(self.finished.tolist()):
            if since < end:
                context.spans.add(worker, since, end, op="wait", reason="barrier", tag=WAIT)
        self.tell(epoch, wave.log)

    def _step(self, worker: int) -> bool:
        spans, alone = self.context.spans, self.workers == 1
        visits = wavefront_until(
            self.records, self.wave, worker, self.most, SOLO_NS if alone else FREE_NS,
            gate_signal(self.context), *self.halves.sides, *self.rates(), spans.rows, spans.fill,
        )  # fmt: skip
        if visits < 0:
            self.finished[worker] = spans.now_ns()
            return False
        self.visited[worker] += visits
        return True


class WaveOnDevice(_Wave):
    """Warps of a device, each with a row of blocks."""

    def __init__(
        self,
        solver: CuMFSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        assert context.device is not None
        super().__init__(solver, problem, context, factors, rng)
        self.device, self.visits, shape = context.device, 0, (*self.order.shape, LOG)
        send, records = self.device.send, self.records
        self._triples = send(RATINGS, records.view(np.int32), part="ratings by user")
        del self.records
        context.ledger.free(RATINGS)  # they have moved
        self.halves = DeviceHalves(context, factors, width_of(factors.rank))
        self._offsets = send("block offsets", self.offsets, part="workspace")
        self._order = send("orders of columns", self.order.ravel(), part="workspace")
        locks = np.zeros(self.columns + 1, dtype=np.int32)
        self._none_held = locks
        self._locks = send("column locks", locks, part="workspace")
        self._taken = context.ledger.empty("takings of columns", shape, np.int32, fill=0)
        self._log = send("takings of columns", self._taken.ravel(), part="workspace")

    @property
    def complete(self) -> bool:
        """A device ends what it has begun."""
        return True

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        """Visit all ratings once; wave by wave only where a chunk is asked for."""
        C, driver = self.columns, self.device.driver
        waves = np.take_along_axis(self.counts, self.order, axis=1).sum(axis=0)
        low = 0
        while low < C:
            high = low + 1
            while high < C and waves[low : high + 1].sum() <= self.context.chunk:
                high += 1
            program, visits = Program(), int(waves[low:high].sum())
            if low == 0:
                for target, source in (
                    (self._order, self.order.ravel()), (self._locks, self._none_held)
                ):  # fmt: skip
                    program.copy(0, _upload(driver, target, source), bytes=source.nbytes)
            program.kernel(0, self._launch(low, high), ratings=visits)
            for _ in self.device.run(program.ops, self.context.spans, WAIT):
                yield Checkpoint("chunk", epoch, self.visits, running=True)
            self.visits += visits
            if high < C:
                yield Checkpoint("chunk", epoch, self.visits)
            low = high
        driver.download(self._taken.reshape(-1), self._log)
        self.tell(epoch, self._taken)

    def _launch(self, low: int, high: int) -> Any:
        driver, halves = self.device.driver, self.halves
        blocks, threads = grid(self.workers, halves.width, shuffle=driver.shuffles, each=HALVES)
        numbers = [np.int64(x) for x in (self.workers, self.columns, low, high)]
        triples = self._triples
        places = (self._offsets, self._order, self._locks, self._log)

        def launch(stream: Any) -> None:
            driver.launch(
                visit_wavefront.name, halves.width, blocks, threads, stream,
                (
                    *halves.sides, triples, triples.view(np.float32), *places, *numbers,
                    *self.rates(),
                ),
            )  # fmt: skip

        return launch


def _upload(driver: Any, target: Any, source: npt.NDArray[Any]) -> Any:
    return lambda stream: driver.upload(target, source, stream)

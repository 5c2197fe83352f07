"""DS-SGD: users in one stream, items in the other; what its two forms have in common.

The main paper was not at hand; the supplement gives the update rules, the batch sizes and a memory
table. Streams, events and buffers are a reconstruction, and each solver's card says so.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import param

from mfviz.backends.host import cpu_count
from mfviz.backends.streams import Program, segments
from mfviz.data.problem import Problem
from mfviz.solvers.base import Checkpoint, Context
from mfviz.solvers.schedules import Schedule
from mfviz.solvers.sides import ITEMS, USERS
from mfviz.solvers.stream_engines import Engine, engine_parts, make_engine
from mfviz.solvers.two_copies import NAMES, TwoCopies
from mfviz.telemetry.memory import MemoryModel

__all__ = ["MODES", "PAPER", "DualStreams", "M", "N"]

PAPER = (
    "Hu, Qin, Wu, Luo: supplement on DS-SGD, dual-stream stochastic gradient descent "
    "(reconstruction)"
)
MODES = ("asynchronous", "alternate")
M, N = USERS, ITEMS  # streams


class DualStreams(TwoCopies, param.ParameterizedABC):
    """Base of DS-SGD-C and DS-SGD-D."""

    reconstruction = True

    workers = param.Integer(
        max(2, cpu_count()),
        bounds=(2, 64),
        doc="Threads that compute, on the CPU; asynchronous streams have half of them each.",
    )
    mode = param.Selector(
        default="asynchronous",
        objects=list(MODES),
        doc="asynchronous: both sides move at once and read each other as they are; alternate: "
        "items follow when all users are done, which is MSGD exactly.",
    )

    buffered: ClassVar[bool] = False  # whether batches come to buffers
    pinned = False  # whether the host keeps them in pinned memory

    @property
    def from_disk(self) -> bool:
        """Whether batches come from a file."""
        return False

    def ranges(self, nnz: int) -> list[tuple[int, int]]:
        """Return the ranges of the batches that ratings are cut into: here all are in one."""
        return [(0, nnz)]

    @property
    def teams(self) -> tuple[range, range, range]:
        """Threads on the CPU of the streams M and N, and those that copy."""
        T, last = self.workers, range(self.workers, self.threads)
        if self.mode == "alternate":
            return range(T), range(T), last
        half = (T + 1) // 2
        return range(half), range(half, T), last

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" for alternate; "statistical" where the two streams race on purpose."""
        return "exact" if self.mode == "alternate" else "statistical"

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """The streams; on the CPU they are lanes of threads, and say so."""
        names = ["stream M", "stream N"]
        if self.buffered and self.mode == "asynchronous":
            names.append("copy stream")
        return tuple(f"{name} (CPU)" if backend == "cpu" else name for name in names)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Both copies or the buffers of their batches, the model, and what the engine adds."""
        return MemoryModel(tuple(engine_parts(self, n_users, n_items, nnz, backend)))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = NAMES
        engine = make_engine(self, problem, context, factors, order_rng)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)
        for epoch in range(1, self.epochs + 1):
            yield from self._epoch(engine, problem, context, schedule, epoch)

    def _epoch(
        self, engine: Engine, problem: Problem, context: Context, schedule: Schedule, epoch: int
    ) -> Iterator[Checkpoint]:
        nnz = problem.train.nnz
        engine.factor = schedule.factor(epoch)
        ops = self.program(engine, nnz, context.chunk, epoch).ops
        done = 2 * (epoch - 1) * nnz
        for part in segments(ops, context.chunk):
            for _ in engine.run(part):
                yield Checkpoint("chunk", epoch, engine.visits, running=True)
            done += sum(op.ratings for op in part)
            if done < 2 * epoch * nnz:
                yield Checkpoint("batch", epoch, done)
        if schedule.needs_loss:
            context.refresh()
        yield from self.judge(schedule, problem, context, Checkpoint("batch", epoch, done))
        yield Checkpoint("epoch", epoch, done)

    @abstractmethod
    def program(self, engine: Engine, nnz: int, chunk: int, epoch: int) -> Program:
        """Write down an epoch.

        Parameters
        ----------
        engine : Engine
        nnz : int
        chunk : int
            Most ratings of a kernel.
        epoch : int
            From 1.
        """

    def kernels(
        self, program: Program, engine: Engine, tag: int, bounds: tuple[int, int],
        block: tuple[int, int], chunk: int,
    ) -> None:  # fmt: skip
        """Issue the visit of a batch to its side's stream.

        Parameters
        ----------
        program : Program
        engine : Engine
        tag : int
            ``M`` or ``N``.
        bounds : (int, int)
            Ratings of the batch.
        block : (int, int)
            Batch, and the buffer that it is in: 0 and 1 of users, 2 and 3 of items.
        chunk : int
            Most ratings of a kernel.
        """
        low, high = bounds
        while low < high:
            stop = min(high, low + chunk)
            run = engine.visit(tag, low, stop, *block)
            program.kernel(tag, run, ratings=stop - low, tag=tag, block=block)
            low = stop

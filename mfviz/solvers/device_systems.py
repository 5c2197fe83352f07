"""The systems of rows on a device, batch by batch of rows: ALS and cuMF_ALS on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.cuda.als import gram_shape, solver_threads
from mfviz.kernels.cuda.rows import WIDEST, width_of
from mfviz.solvers.base import Checkpoint, Context
from mfviz.solvers.device_model import (
    DeviceModel,
    DeviceSide,
    device_side_parts,
    model_parts,
    send_side,
)
from mfviz.solvers.init import memory_parts
from mfviz.solvers.row_systems import RowSystems
from mfviz.solvers.sides import make_sides
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["DeviceSystems"]

NAMES = ("users", "items", "wait", "solve users", "solve items")
WAIT, SOLVE = 2, 3  # tags
ROOM = 1 << 28  # bytes of the systems that are held at a time, if nothing else is asked for


class DeviceSystems(RowSystems):
    """Row systems on the CPU or on a device, which sums those of many rows and then solves them.

    Attributes
    ----------
    batch : int
        Rows whose systems a device holds at a time; 0: as many as 256 MiB hold.
    """

    backends = ("cpu", "cuda")
    batch = 0

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at; on a device each width has its own."""
        return width_of(self.rank) if self.rank <= WIDEST else super().kernel_rank

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or why not; on a device a block has a row's system."""
        if backend == "cuda" and self.rank > WIDEST:
            return f"{self.title} has a thread a feature on CUDA: take a rank of up to {WIDEST}."
        return super().supports(problem, backend)

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """One stream on a device; the workers on the CPU."""
        return super().lanes(backend) if backend == "cpu" else ("stream 0",)

    def rows_of(self, n_users: int, n_items: int) -> int:
        """Return how many rows have their systems on a device at a time."""
        most, f = max(n_users, n_items), width_of(self.rank)
        return min(most, self.batch or max(1, ROOM // (self._bytes * f * f + 4 * f)))

    @property
    def _bytes(self) -> int:
        """Bytes of a number of A."""
        return 2 if self.stored == "half" else 4

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings in both orders, the model, and the systems of a batch of rows."""
        if backend == "cpu":
            return super().memory(n_users, n_items, nnz, backend)
        f, rows = width_of(self.rank), self.rows_of(n_users, n_items)
        size = rows * (self._bytes * f * f + 4 * f)
        formula = f"B ({self._bytes} f² + 4 f)"
        parts = [
            *device_side_parts(n_users, n_items, nnz),
            *model_parts(n_users, n_items, f, biased=self.biases),
            MemoryPart("row systems", "workspace", "device", formula, size),
            *memory_parts(n_users, n_items, self.rank),
        ]
        return MemoryModel(tuple(parts))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        if context.device is None:
            yield from super().iterate(problem, context)
            return
        context.names = NAMES
        factors = self.make_model(problem, context, zero="P")
        sides = [send_side(context, side) for side in make_sides(problem, context, factors)]
        there = _OnDevice(self, context, self.rows_of(problem.n_users, problem.n_items))
        visits = 0
        yield Checkpoint("epoch", 0, visits)
        for epoch in range(1, self.epochs + 1):
            for side in sides:
                for program in there.batches(side):
                    for _ in there.device.run(program.ops, context.spans, WAIT):
                        yield Checkpoint("chunk", epoch, visits, running=True)
                    visits += sum(op.ratings for op in program.ops)
                    if visits % problem.train.nnz:
                        yield Checkpoint("chunk", epoch, visits)
                if side is sides[0]:
                    yield Checkpoint("half-sweep", epoch, visits)
            yield Checkpoint("epoch", epoch, visits)


class _OnDevice:
    """The model and the systems of a batch of rows on a device, and the kernels' launches."""

    def __init__(self, solver: DeviceSystems, context: Context, rows: int) -> None:
        assert context.device is not None
        assert context.factors is not None
        self.solver, self.context, self.device = solver, context, context.device
        f = width_of(solver.rank)
        self.model, self.rows = DeviceModel(context, context.factors, f), rows
        kind = np.float16 if solver.stored == "half" else np.float32
        empty = self.device.empty
        self.A = empty("row systems: A", (rows * f, f), kind, part="workspace")
        self.b = empty("row systems: b", (rows, f), np.float32, part="workspace")

    def batches(self, side: DeviceSide) -> Iterator[Program]:
        """Write down batch after batch of rows; one that a chunk is asked of may be a row."""
        first = 0
        while first < side.rows:
            most = int(side.places[first]) + self.context.chunk
            stop = int(np.searchsorted(side.places, most, side="right")) - 1
            stop = min(max(stop, first + 1), first + self.rows, side.rows)
            program = Program()
            visits = int(side.places[stop] - side.places[first])
            block = (first, stop)
            program.kernel(
                0, self._sum(side, first, stop), ratings=visits, tag=side.tag, block=block
            )
            program.kernel(0, self._solve(side, first, stop), tag=SOLVE + side.tag, block=block)
            yield program
            first = stop

    def _sum(self, side: DeviceSide, first: int, stop: int) -> Any:
        solver, model, driver = self.solver, self.model, self.device.driver
        blocks, threads = gram_shape(model.width, shuffle=driver.shuffles)
        name = "gram_half" if solver.stored == "half" else "gram"
        b = model.biases or [self.b[0]] * 2  # or unused

        def launch(stream: Any) -> None:
            mu, lam_bias = np.float32(model.factors.mu), np.float32(solver.lam_bias)
            driver.launch(
                name, model.width, blocks * (stop - first), threads, stream,
                (
                    model.X[side.tag], model.X[1 - side.tag], b[side.tag], b[1 - side.tag],
                    side.indptr, side.index, side.r, self.A, self.b, np.int64(first), mu,
                    lam_bias, bool(solver.weighted), bool(solver.biases),
                ),
            )  # fmt: skip

        return launch

    def _solve(self, side: DeviceSide, first: int, stop: int) -> Any:
        solver, width, driver = self.solver, self.model.width, self.device.driver
        threads, name, more = solver_threads(width, shuffle=driver.shuffles), "solve_systems", []
        if solver.solve == "cg":
            name = "approach_systems_half" if solver.stored == "half" else "approach_systems"
            more = [np.int64(solver.cg_steps), np.float32(solver.cg_tolerance)]

        def launch(stream: Any) -> None:
            lam, weighted = np.float32(self.context.lam), bool(solver.weighted)
            X = self.model.X[side.tag]
            driver.launch(
                name, width, stop - first, threads, stream,
                (X, side.indptr, self.A, self.b, np.int64(first), lam, weighted, *more),
            )  # fmt: skip

        return launch

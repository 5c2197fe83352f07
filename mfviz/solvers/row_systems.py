"""Alternating least squares row by row, on the CPU; :mod:`.device_systems` adds devices."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import param

from mfviz.backends.host import cpu_count
from mfviz.data.problem import Problem
from mfviz.kernels.als import BLOCK, solve_rows
from mfviz.kernels.bias import centre_rows
from mfviz.kernels.cg import WIDEST, Stored, approach_rows
from mfviz.kernels.registers import parts_of
from mfviz.solvers.alternating import AlternatingSolver
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.budget import Budget
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import BARRIER, CALL_NS, Side, make_sides, side_parts
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["NAMES", "RowSystems"]

NAMES = ("users", "items", "barrier", "biases")
BIASES = 3
SLOW = 10.0  # multiply-adds that a core makes in a nanosecond, at least
SHARES = 4  # a worker takes one part in so many of what would be its own if all were as fast


class RowSystems(AlternatingSolver):
    """Base of the solvers that solve a small linear system for each row, users and items in turn.

    Attributes
    ----------
    simultaneous : bool
        Whether both sides are solved from old values.
    """

    simultaneous = False

    epochs = param.Integer(15, bounds=(1, 10_000), doc="Sweeps over both sides.")
    solve = param.Selector(
        default="cholesky",
        objects=["cholesky", "cg"],
        doc="How a row's system is solved: cholesky, exactly; cg, a few steps of conjugate "
        "gradients from the row's old features.",
    )
    cg_steps = param.Integer(3, bounds=(1, 4096), doc="Steps of cg; f of them solve exactly.")
    cg_tolerance = param.Number(
        0.0,
        bounds=(0.0, 1.0),
        doc="Share of its first length at which the residual of cg is short enough; 0: never.",
    )

    @property
    def stored(self) -> str:
        """Precision that a row's system is stored in for cg: here it is not stored at all."""
        return ""

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at: those of cg depend on the width of a row."""
        return min(Factors.width(self.rank), WIDEST + 1) if self.solve == "cg" else 32

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Predict what :meth:`iterate` will hold for ``nnz`` training ratings."""
        f, T = Factors.width(self.rank), self.workers

        def part(name: str, part: str, formula: str, size: int) -> MemoryPart:
            return MemoryPart(name, part, "host", formula, size)

        parts = [
            *side_parts(n_users, n_items, nnz),
            *memory_parts(n_users, n_items, self.rank),
            part("row systems", "workspace", *self._systems(f, T)),
            part("row counter and ends", "workspace", "64 (T + 1)", 64 * (T + 1)),
        ]
        if self.simultaneous:
            parts.append(part("old P", "buffers", "4 m f", 4 * n_users * f))
            if self.biases:
                parts.append(part("old user biases", "buffers", "4 m", 4 * n_users))
        if self.biases:
            parts.append(part("ratings without biases", "workspace", "4 N", 4 * nnz))
        return MemoryModel(tuple(parts))

    def _systems(self, f: int, T: int) -> tuple[str, int]:
        """Memory of the workers' systems: its formula and its bytes."""
        if self.solve == "cholesky":
            return "T (8 f² + 272 f)", T * (8 * f * f + 272 * f)
        if self.stored:
            return "T (8 f² + 298 f)", T * (8 * f * f + 298 * f)
        return "32 T f", 32 * T * f

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see the class."""
        context.names = NAMES
        factors = self.make_model(problem, context, zero="" if self.simultaneous else "P")
        users, items = make_sides(problem, context, factors)
        if self.simultaneous:
            items = self._frozen(items, context)
        worker = _Workspace(self, context, problem.train.nnz)
        updates = 0
        yield Checkpoint("epoch", 0, updates)
        for epoch in range(1, self.epochs + 1):
            for side in (users, items):
                if self.simultaneous and side is users:
                    items.Y[:], items.by[:] = factors.P, factors.bu
                for first, stop in worker.chunks(side):
                    worker.solve(side, first, stop)
                    updates += int(side.indptr[stop] - side.indptr[first])
                    if stop < len(side.X):
                        yield Checkpoint("chunk", epoch, updates)
                if side is users:
                    yield Checkpoint("half-sweep", epoch, updates)
            yield Checkpoint("epoch", epoch, updates)

    def _frozen(self, items: Side, context: Context) -> Side:
        """Let the items read copies of the users' side."""
        ledger, P, bu = context.ledger, items.Y, items.by
        old_P = ledger.empty("old P", P.shape, np.float32, part="buffers")
        if self.biases:
            bu = ledger.empty("old user biases", bu.shape, np.float32, part="buffers")
        return replace(items, Y=old_P, by=bu)


class _Workspace:
    """Arrays of all workers, and the call that sends them over a chunk of rows."""

    def __init__(self, solver: RowSystems, context: Context, nnz: int) -> None:
        f, workers = Factors.width(solver.rank), solver.workers

        def take(name: str, shape: tuple[int, ...], kind: Any) -> npt.NDArray[Any]:
            return context.ledger.empty(name, shape, kind, part="workspace", fill=0)

        self.solver, self.context = solver, context
        exact = solver.solve == "cholesky"
        self.parts: list[Any] = [parts_of(f) if f <= WIDEST else ()] * workers
        self.vectors = take("row systems: b", (workers, 2 if exact else 4, f), np.float64)
        if exact or solver.stored:
            self.systems = take("row systems: A", (workers, f * f), np.float64)
            self.packed = take("row systems: packed", (workers, BLOCK * f), np.float32)
        if solver.stored:
            known = take("row systems: A p = b", (workers, f), np.float64)
            halves = take("row systems: halves", (workers, 1, f), np.uint16)
            self.parts = [
                Stored(
                    self.systems[w].reshape(f, f), known[w], self.packed[w : w + 1], halves[w],
                    solver.stored == "half",
                )
                for w in range(workers)
            ]  # fmt: skip
        shared = take("row counter and ends", (workers + 1, 8), np.int64)
        self.ends, self.counter = shared[:workers], shared[workers, :1]
        if solver.biases:
            self.target = take("ratings without biases", (nnz,), np.float32)
        self.budget = Budget(SLOW * min(workers, cpu_count()) / (f * f / 2))

    def chunks(self, side: Side) -> Iterator[tuple[int, int]]:
        """Cut the rows of a side so that each chunk is short in time and in ratings."""
        first, rows = 0, len(side.X)

        def cost(stop: int) -> float:
            return self._work(side, first, stop)

        while first < rows:
            left = cost(rows)
            calls = math.ceil(left / self.budget.ratings(CALL_NS))
            most = int(side.indptr[first]) + self.context.chunk
            few = int(np.searchsorted(side.indptr, most, side="right")) - 1
            fits = bisect_right(range(first + 1, rows + 1), left / calls, key=cost)
            stop = first + max(1, min(fits, few - first))
            yield first, stop
            first = stop

    def _work(self, side: Side, first: int, stop: int) -> float:
        """Work of some rows, in ratings: beside its ratings, a row has its system to solve."""
        f = side.X.shape[1]
        return float(side.indptr[stop] - side.indptr[first]) + (stop - first) * f / 3

    def _centre(self, side: Side, first: int, stop: int, share: int) -> None:
        """Set the biases of rows ``first`` to ``stop`` and take all biases off their ratings."""
        factors, spans = self.context.factors, self.context.spans
        assert factors is not None
        biases = self.solver.biases_of(side, factors)
        self.counter[0] = first

        def task(worker: int) -> None:
            centre_rows(
                side.X, side.Y, biases, side.indptr, side.index, side.r, self.target, stop, share,
                self.counter, spans.rows, spans.fill, worker, BIASES,
            )  # fmt: skip

        self.context.crew.run(task)

    def solve(self, side: Side, first: int, stop: int) -> None:
        """Solve rows ``first`` to ``stop`` of a side and draw each worker's wait for the last."""
        context, spans = self.context, self.context.spans
        workers, lam, weighted = len(self.ends), float(context.lam), self.solver.weighted
        share, began = SHARES * workers, time.monotonic_ns()
        r = side.r
        if self.solver.biases:
            self._centre(side, first, stop, share)
            r = self.target
        self.counter[0] = first

        system = (side.X, side.Y, side.indptr, side.index, r, stop, share, self.counter, lam)
        solver = self.solver

        def task(worker: int) -> None:
            lane = (self.ends, spans.rows, spans.fill, worker, side.tag)
            vectors = self.vectors[worker]
            if solver.solve == "cg":
                steps, tolerance = solver.cg_steps, float(solver.cg_tolerance)
                parts = self.parts[worker]
                approach_rows(*system, weighted, steps, tolerance, vectors, parts, *lane)
            else:
                A, packed = self.systems[worker], self.packed[worker : worker + 1]
                solve_rows(*system, weighted, A, vectors, packed, *lane)

        context.crew.run(task)
        self.budget.learn(round(self._work(side, first, stop)), began)
        last = int(self.ends[:, 0].max())
        for worker, end in enumerate(self.ends[:, 0].tolist()):
            if end < last:
                spans.add(worker, end, last, op="wait", reason="barrier", tag=BARRIER)

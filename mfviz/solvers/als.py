"""Exact alternating least squares, row by row (ALS and ALS-WR)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import param

from mfviz.backends.host import cpu_count
from mfviz.data.problem import Problem
from mfviz.kernels.als import BLOCK, group_by_row, solve_rows
from mfviz.kernels.cg import WIDEST, approach_rows
from mfviz.kernels.metrics import squared_norms
from mfviz.kernels.registers import parts_of
from mfviz.solvers.base import Card, Checkpoint, Context, Factors, Solver
from mfviz.solvers.init import INITS, make_factors, memory_parts
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["ALS"]

NAMES = ("users", "items", "barrier")
USERS, ITEMS, BARRIER = range(3)
CHUNK_FLOPS = 3e8  # multiply-adds a core between two checkpoints: 10 to 30 ms
GRABS = 16  # portions of a chunk that each worker takes on average


@dataclass(frozen=True)
class _Side:
    """What one half-sweep works on: X is solved for fixed Y, from ratings grouped by row of X."""

    tag: int
    X: npt.NDArray[np.float32]
    Y: npt.NDArray[np.float32]
    indptr: npt.NDArray[np.int64]
    index: npt.NDArray[np.int32]
    r: npt.NDArray[np.float32]


class ALS(Solver):
    """Alternating least squares with an exact solution for every row.

    For fixed items the best features of a user are a small linear system of their own, so all
    users are solved side by side; then all items for those users::

        for each user u:  A = sum_i q_i q_i^T + lam c_u I;   p_u = A^-1 sum_i r_ui q_i
        barrier
        for each item i:  the same with users and items swapped

    with ``c_u`` the number of ratings of u (``weighted``, ALS-WR) or 1. A row without ratings
    becomes 0. Ratings are used as they are, without centring, and factors start positive: with a
    mean removed, or with plain lambda, the same ranks end at a clearly worse test error.

    Notes
    -----
    Memory: ``16 N + 8 (m + n + 2)`` for the ratings in both orders, ``4 (f + 1)(m + n)`` for the
    model, and ``8 f^2 + 272 f`` a worker (``32 f`` with cg), with f padded to a multiple of 16.

    Reproducibility: exact to the last bit, whatever the workers and chunks; a row has one writer
    and reads only the other side.

    Checkpoints lie at least one row apart: one row of 10^5 ratings at rank 256, or of a thousand
    at rank 1000, takes longer than the usual 50 ms. What happens to singular systems (``lam = 0``)
    is told in :mod:`mfviz.kernels.als`.
    """

    key = "als"
    title = "ALS (exact)"
    paper = (
        "Zhou, Wilkinson, Schreiber, Pan: Large-scale parallel collaborative filtering for the "
        "Netflix Prize, AAIM 2008"
    )
    equations = (
        r"p_u = \Big(\sum_{i\in\Omega_u} q_i q_i^\top + \lambda\, n_u I\Big)^{-1}"
        r"\sum_{i\in\Omega_u} r_{ui}\, q_i, \qquad "
        r"q_i = \Big(\sum_{u\in\Omega_i} p_u p_u^\top + \lambda\, n_i I\Big)^{-1}"
        r"\sum_{u\in\Omega_i} r_{ui}\, p_u"
    )
    two_sided = True
    has_lr = False
    card = Card(
        parallel="Every row of a side is an independent job; workers take rows as they get free.",
        synchronises="One barrier after the users and one after the items of each sweep.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="2 N f² + (m + n) f³ / 3 flops a sweep: quadratic in the rank, then cubic.",
        memory="Ratings twice (by user and by item), the factors, and one f × f matrix a worker.",
        kernel="Gram: 8 × 16 register tiles, float32; Cholesky in blocks and cg in rows, float64.",
    )

    epochs = param.Integer(15, bounds=(1, 10_000), doc="Sweeps over both sides.")
    weighted = param.Boolean(
        True, doc="Count λ once for each rating of a row (ALS-WR) instead of once for the row."
    )
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
    simultaneous = param.Boolean(
        False, doc="Solve both sides from old values at once, to see why ALS must alternate."
    )
    init = param.Selector(
        default="positive",
        objects=list(INITS),
        doc="Initial factors: positive, predictions start at the mean rating; uniform U[0,1)/√f; "
        "normal N(0,1). The users' are replaced before they are read.",
    )
    init_scale = param.Number(
        1.0, bounds=(0.0, 10.0), inclusive_bounds=(False, True), doc="Factor of initial values."
    )

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at: those of cg depend on the width of a row."""
        return min(Factors.width(self.rank), WIDEST + 1) if self.solve == "cg" else 32

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": neither workers nor chunks change a bit of the result."""
        return "exact"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Predict what :meth:`iterate` will hold for ``nnz`` training ratings."""
        f, T = Factors.width(self.rank), self.workers

        def part(name: str, part: str, formula: str, size: int) -> MemoryPart:
            return MemoryPart(name, part, "host", formula, size)

        by_user, by_item = 8 * nnz + 8 * (n_users + 1), 8 * nnz + 8 * (n_items + 1)
        parts = [
            part("ratings by user", "ratings by user", "8 N + 8 (m + 1)", by_user),
            part("ratings by item", "ratings by item", "8 N + 8 (n + 1)", by_item),
            *memory_parts(n_users, n_items, self.rank),
            part("row systems", "workspace", "T (8 f² + 272 f)", T * (8 * f * f + 272 * f))
            if self.solve == "cholesky"
            else part("row systems", "workspace", "32 T f", 32 * T * f),
            part("row counter and ends", "workspace", "64 (T + 1)", 64 * (T + 1)),
        ]
        if self.simultaneous:
            parts.append(part("old P", "buffers", "4 m f", 4 * n_users * f))
        return MemoryModel(tuple(parts))

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """Return squared error plus λ times the (weighted) squared norms of all rows."""
        train, norms = problem.train, 0.0
        for X, count in ((factors.P, train.user_counts), (factors.Q, train.item_counts)):
            norms += squared_norms(X, count if self.weighted else np.ones(len(X)))
        return squared_error + self.lam * norms

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see the class."""
        context.names = NAMES
        factors = make_factors(self, problem, context)
        frozen_P = factors.P
        if self.simultaneous:
            frozen_P = context.ledger.empty("old P", factors.P.shape, np.float32, part="buffers")
        train = problem.train
        users = self._side(USERS, train.u, train.i, train.r, factors.P, factors.Q, context)
        items = self._side(ITEMS, train.i, train.u, train.r, factors.Q, frozen_P, context)
        worker = _Workspace(self, context)
        updates = 0
        yield Checkpoint("epoch", 0, updates)
        for epoch in range(1, self.epochs + 1):
            for side in (users, items):
                if self.simultaneous and side is users:
                    frozen_P[:] = factors.P
                for first, stop in self._chunks(side, context):
                    worker.solve(side, first, stop, self.weighted)
                    updates += int(side.indptr[stop] - side.indptr[first])
                    if stop < len(side.X):
                        yield Checkpoint("chunk", epoch, updates)
                if side is users:
                    yield Checkpoint("half-sweep", epoch, updates)
            yield Checkpoint("epoch", epoch, updates)

    @staticmethod
    def _side(
        tag: int,
        row: npt.NDArray[np.int32],
        col: npt.NDArray[np.int32],
        r: npt.NDArray[np.float32],
        X: npt.NDArray[np.float32],
        Y: npt.NDArray[np.float32],
        context: Context,
    ) -> _Side:
        """Group the ratings by row of X, in arrays of the ledger."""
        part = ("ratings by user", "ratings by item")[tag]
        nnz = len(r)
        indptr = context.ledger.empty(f"{part}: rows", len(X) + 1, np.int64, part=part)
        index = context.ledger.empty(f"{part}: index", nnz, np.int32, part=part)
        value = context.ledger.empty(f"{part}: values", nnz, np.float32, part=part)
        group_by_row(row, col, r, indptr, index, value)
        return _Side(tag, X, Y, indptr, index, value)

    def _chunks(self, side: _Side, context: Context) -> Iterator[tuple[int, int]]:
        """Cut the rows of a side so that each chunk is short in time and in ratings."""
        f = side.X.shape[1]
        budget = CHUNK_FLOPS * min(self.workers, cpu_count())
        first, rows = 0, len(side.X)

        def cost(stop: int) -> float:
            ratings = int(side.indptr[stop] - side.indptr[first])
            if ratings > context.chunk:
                return np.inf
            return ratings * f * f / 2 + (stop - first) * f**3 / 6

        while first < rows:
            fits = bisect_right(range(first + 1, rows + 1), budget, key=cost)
            stop = first + max(1, fits)
            yield first, stop
            first = stop


class _Workspace:
    """Arrays of all workers, and the call that sends them over a chunk of rows."""

    def __init__(self, solver: ALS, context: Context) -> None:
        f, workers = Factors.width(solver.rank), solver.workers

        def take(name: str, shape: tuple[int, ...], kind: Any) -> npt.NDArray[Any]:
            return context.ledger.empty(name, shape, kind, part="workspace", fill=0)

        self.solver, self.context = solver, context
        exact = solver.solve == "cholesky"
        self.parts = parts_of(f) if f <= WIDEST else ()
        self.vectors = take("row systems: b", (workers, 2 if exact else 4, f), np.float64)
        if exact:
            self.systems = take("row systems: A", (workers, f * f), np.float64)
            self.packed = take("row systems: packed", (workers, BLOCK * f), np.float32)
        shared = take("row counter and ends", (workers + 1, 8), np.int64)
        self.ends, self.counter = shared[:workers], shared[workers, :1]

    def solve(self, side: _Side, first: int, stop: int, weighted: bool) -> None:
        """Solve rows ``first`` to ``stop`` of a side and draw each worker's wait for the last."""
        context, spans = self.context, self.context.spans
        workers, lam = len(self.ends), float(context.lam)
        grab = max(1, (stop - first) // (GRABS * workers))
        self.counter[0] = first

        system = (side.X, side.Y, side.indptr, side.index, side.r, stop, grab, self.counter, lam)
        solver = self.solver

        def task(worker: int) -> None:
            lane = (self.ends, spans.rows, spans.fill, worker, side.tag)
            vectors = self.vectors[worker]
            if solver.solve == "cg":
                steps, tolerance = solver.cg_steps, float(solver.cg_tolerance)
                approach_rows(*system, weighted, steps, tolerance, vectors, self.parts, *lane)
            else:
                A, packed = self.systems[worker], self.packed[worker]
                solve_rows(*system, weighted, A, vectors, packed, *lane)

        context.crew.run(task)
        last = int(self.ends[:, 0].max())
        for worker, end in enumerate(self.ends[:, 0].tolist()):
            if end < last:
                spans.add(worker, end, last, op="wait", reason="barrier", tag=BARRIER)

"""Ratings grouped by row, once by user and once by item, and the crew's way over a side.

For solvers that update one side while the other is fixed: a side's rows are independent jobs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mfviz.data.problem import Problem
from mfviz.kernels.als import group_by_row
from mfviz.kernels.metrics import squared_norms
from mfviz.kernels.rows import begin_at
from mfviz.solvers.base import Context, Factors
from mfviz.solvers.budget import Budget
from mfviz.telemetry.memory import MemoryPart

__all__ = [
    "BARRIER",
    "ITEMS",
    "SIDES",
    "USERS",
    "Side",
    "Sweeper",
    "end_of_row",
    "make_sides",
    "penalty",
    "side_parts",
]

SIDES = ("users", "items", "barrier", "loss")  # span names by tag; "loss" as in stochastic.py
USERS, ITEMS, BARRIER = range(3)
CALL_NS = 25_000_000  # aim of the time between two checkpoints
GRABS = 16  # slices of a chunk that each worker takes on average


@dataclass(frozen=True)
class Side:
    """What one half of an epoch works on: rows of X, with ratings grouped by row of X.

    Attributes
    ----------
    tag : int
        ``USERS`` or ``ITEMS``.
    X, Y : (rows, f), (cols, f) float32
        The side that is updated, and the other one.
    bx, by : (rows,), (cols,) float32
        Biases of the two.
    indptr : (rows + 1,) int64
    index : (nnz,) int32
        Row of Y of each rating.
    r : (nnz,) float32
    """

    tag: int
    X: npt.NDArray[np.float32]
    Y: npt.NDArray[np.float32]
    bx: npt.NDArray[np.float32]
    by: npt.NDArray[np.float32]
    indptr: npt.NDArray[np.int64]
    index: npt.NDArray[np.int32]
    r: npt.NDArray[np.float32]


def make_sides(problem: Problem, context: Context, factors: Factors) -> tuple[Side, Side]:
    """Group the training ratings by user and by item, in arrays of the ledger."""
    train, P, Q, bu, bi = problem.train, factors.P, factors.Q, factors.bu, factors.bi
    sides = []
    for tag, row, col, X, Y, bx, by in (
        (USERS, train.u, train.i, P, Q, bu, bi),
        (ITEMS, train.i, train.u, Q, P, bi, bu),
    ):
        part = ("ratings by user", "ratings by item")[tag]
        indptr = context.ledger.empty(f"{part}: rows", len(X) + 1, np.int64, part=part)
        index = context.ledger.empty(f"{part}: index", train.nnz, np.int32, part=part)
        value = context.ledger.empty(f"{part}: values", train.nnz, np.float32, part=part)
        group_by_row(row, col, train.r, indptr, index, value)
        sides.append(Side(tag, X, Y, bx, by, indptr, index, value))
    return sides[0], sides[1]


def side_parts(n_users: int, n_items: int, nnz: int) -> list[MemoryPart]:
    """Memory of what :func:`make_sides` allocates."""
    by_user, by_item = "ratings by user", "ratings by item"
    return [
        MemoryPart(by_user, by_user, "host", "8 N + 8 (m + 1)", 8 * nnz + 8 * (n_users + 1)),
        MemoryPart(by_item, by_item, "host", "8 N + 8 (n + 1)", 8 * nnz + 8 * (n_items + 1)),
    ]


def penalty(problem: Problem, factors: Factors, weighted: bool) -> float:
    """Return the squared norms of all rows, each times its number of ratings if ``weighted``."""
    train, norms = problem.train, 0.0
    for X, count in ((factors.P, train.user_counts), (factors.Q, train.item_counts)):
        norms += squared_norms(X, count if weighted else np.ones(len(X)))
    return norms


def end_of_row(indptr: npt.NDArray[np.int64], low: int, high: int) -> int:
    """Return the end of the last row that ends by ``high``, or of the row that begins at ``low``.

    Parameters
    ----------
    indptr : (rows + 1,) int64
    low : int
        Where a row begins.
    high : int
    """
    if high >= indptr[-1]:
        return int(indptr[-1])
    row = int(begin_at(indptr, high + 1)) - 1  # last one that begins at or before
    return int(indptr[row] if indptr[row] > low else indptr[row + 1])


class Sweeper:
    """Sends the crew over a side in chunks, and draws each worker's wait for the last.

    Parameters
    ----------
    context : Context
        Its ledger gives the counters: ``64 (T + 1)`` bytes, as :meth:`part` says.
    whole_rows : bool
        Whether a chunk ends where a row does, as for solvers that cannot stop within one.
    """

    def __init__(self, context: Context, *, whole_rows: bool) -> None:
        self.context, self.whole_rows = context, whole_rows
        workers = context.crew.workers
        shared = context.ledger.empty("row counter and ends", (workers + 1, 8), np.int64, fill=0)
        self.ends, self.counter = shared[:workers], shared[workers, :1]
        self.budget = Budget(1e-3)

    @staticmethod
    def part(workers: int) -> MemoryPart:
        """Memory of the counters."""
        name, size = "row counter and ends", 64 * (workers + 1)
        return MemoryPart(name, "workspace", "host", "64 (T + 1)", size)

    def sweep(
        self, side: Side, kernel: Callable[[int, int, int, int], None]
    ) -> Iterator[tuple[int, int]]:
        """Work through a side; yields the ratings ``low`` to ``high`` of each chunk when done.

        Parameters
        ----------
        side : Side
        kernel : callable
            ``kernel(worker, low, high, size)`` takes slices of ``size`` ratings until
            none is left.
        """
        nnz, low = len(side.index), 0
        while low < nnz:
            budget = min(self.context.chunk, self.budget.ratings(CALL_NS))
            high = min(nnz, low + budget)
            if self.whole_rows:
                high = end_of_row(side.indptr, low, high)
            began = time.monotonic_ns()
            self._call(side, low, high, kernel)
            self.budget.learn(high - low, began)
            yield low, high
            low = high

    def _call(
        self, side: Side, low: int, high: int, kernel: Callable[[int, int, int, int], None]
    ) -> None:
        crew = self.context.crew
        size = max(1, -(-(high - low) // (GRABS * crew.workers)))
        self.counter[0] = 0
        crew.run(lambda worker: kernel(worker, low, high, size))
        self.draw_waits()

    def draw_waits(self) -> None:
        """Draw a wait at a barrier on the lane of each worker that was not the last."""
        last = int(self.ends[:, 0].max())
        for worker, end in enumerate(self.ends[:, 0].tolist()):
            if end < last:
                spans = self.context.spans
                spans.add(worker, end, last, op="wait", reason="barrier", tag=BARRIER)

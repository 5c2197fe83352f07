"""Coordinate descent feature by feature, on the CPU: what CCD++ and cuMF_CCD have in common."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.bias import Biases, step_rows
from mfviz.kernels.ccdpp import Order, refresh, rewind, run_passes, subtract_model
from mfviz.solvers.alternating import AlternatingSolver
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.budget import Budget
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import (
    CALL_NS,
    GRABS,
    ITEMS,
    SIDES,
    USERS,
    Side,
    end_of_row,
    make_sides,
    side_parts,
)
from mfviz.telemetry.events import Measured
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["DRIFT", "Featurewise", "subtract_start"]

Int64 = npt.NDArray[np.int64]
Steps = list[tuple[int, ...]]
STEPS = 512  # of one kernel call, whose spans must find room
STILL = 5  # features that gain next to nothing at once, after which an epoch is over
DRIFT = "residual drift"  # name of a measurement
SEEN = (2, 4)  # numbers of a user and of an item that lie side by side for the other's passes
RESIDUAL = len(SIDES)  # tag of the span in which the residual is computed anew
BIASES = RESIDUAL + 1


class Featurewise(AlternatingSolver):
    """Base of the solvers that fit one feature of all items and users at a time.

    Attributes
    ----------
    stop_below : float
        Share of the best gain below which a feature is left; 0: never.
    refresh : int
        Epochs after which the residual is computed anew; 0: never.
    check_residual : int
        Epochs after which it is only told how far the residual is off; 0: never.
    """

    stop_below = 0.0
    refresh = 0
    check_residual = 0

    epochs = param.Integer(15, bounds=(1, 10_000), doc="Outer iterations, over all features.")
    inner = param.Integer(1, bounds=(1, 100), doc="Times that a feature is fitted in a row.")
    zero_items = param.Boolean(
        True, doc="Start with Q = 0, as LIBPMF does (not where a start is given)."
    )

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Residual in both orders, the model, the features one by one, and counters."""
        m, n, k, T = n_users, n_items, self.rank, self.workers

        def part(name: str, formula: str, size: int) -> MemoryPart:
            return MemoryPart(name, "workspace", "host", formula, size)

        parts = [
            *side_parts(m, n, nnz),
            *memory_parts(m, n, k),
            part("features one by one", "4 k (m + n)", 4 * k * (m + n)),
            part("what users are seen by", "8 m", 8 * m),
            part("what items are seen by", "16 n", 16 * n),
            part("counters", "64 (T + 1)", 64 * (T + 1)),
        ]
        if self.stop_below:
            parts.append(part("gains", "4 (m + n)", 4 * (m + n)))
        if self.biases:
            parts.append(part("steps of biases", "4 (m + n)", 4 * (m + n)))
        return MemoryModel(tuple(parts))

    def start_model(self, problem: Problem, context: Context) -> Factors:
        """Make the factors as the first feature finds them."""
        factors = self.make_model(problem, context, zero="Q")
        if self.zero_items and context.start is None:
            factors.Q[:] = 0.0
        return factors

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        context.names = (*SIDES, "residual", "biases")
        self.start_model(problem, context)
        passes = _Passes(self, problem, context)
        yield Checkpoint("epoch", 0, 0)

        passes.clear_empty_rows()
        for epoch in range(1, self.epochs + 1):
            if self.biases:
                for _ in passes.fit_biases():
                    yield Checkpoint("chunk", epoch, passes.visits)
            for _ in passes.epoch():
                yield Checkpoint("chunk", epoch, passes.visits)
            look = self.refresh or self.check_residual
            if look and epoch % look == 0:
                for _ in passes.refresh(epoch, repair=bool(self.refresh)):
                    yield Checkpoint("chunk", epoch, passes.visits)
            yield Checkpoint("epoch", epoch, passes.visits)


def subtract_start(context: Context, sides: Sequence[Side]) -> None:
    """Take what the model explains at the start off the ratings of both sides, in place."""
    factors, workers = context.factors, context.crew.workers
    assert factors is not None
    if not (factors.Q.any() or factors.biased):
        return
    mu = np.float32(factors.mu)

    def task(worker: int) -> None:
        for side in sides:
            rows = len(side.X)
            subtract_model(
                side.X, side.Y, side.bx, side.by, mu, side.indptr, side.index, side.r,
                rows * worker // workers, rows * (worker + 1) // workers,
            )  # fmt: skip

    context.crew.run(task)


class _Passes:
    """Residual and features in the order of the passes, and the crew's way through them."""

    def __init__(self, solver: Featurewise, problem: Problem, context: Context) -> None:
        self.solver, self.problem, self.context = solver, problem, context
        factors, ledger, workers = context.factors, context.ledger, context.crew.workers
        assert factors is not None
        self.orders, self.sides, self.steps = [], make_sides(problem, context, factors), []
        for side in self.sides:
            name, rows = SIDES[side.tag], len(side.X)
            XT = ledger.empty(f"{name} by feature", (solver.rank, rows), np.float32)
            XT[:] = side.X.T[: solver.rank]
            gain = ledger.empty(f"gains of {name}", rows if solver.stop_below else 0, np.float32)
            shape = (rows, SEEN[side.tag])
            seen = ledger.empty(f"what {name} are seen by", shape, np.float32, fill=0)
            order = Order(side.X, XT, side.indptr, side.index, side.r, gain, seen)
            self.orders.append(order)
            if solver.biases:
                self.steps.append(ledger.empty(f"steps of biases of {name}", rows, np.float32))
        subtract_start(context, self.sides)
        shared = ledger.empty("counters", (workers + 1, 8), np.int64, fill=0)
        self.counted, self.arrivals = shared[:workers], shared[workers]
        self.barriers = 0
        self.pending = self.before = -1
        self.best_gain, self.untouched = 0.0, True
        self.budget = Budget(1e-1)

    @property
    def visits(self) -> int:
        """Ratings visited since the start."""
        return int(self.counted[:, 0].sum())

    @property
    def _mu(self) -> np.float32:
        assert self.context.factors is not None
        return np.float32(self.context.factors.mu)

    def clear_empty_rows(self) -> None:
        """Set the features of rows without ratings to 0; passes need not meet such rows."""
        for order in self.orders:
            empty = np.diff(order.indptr) == 0
            order.X[empty] = 0.0
            order.XT[:, empty] = 0.0

    def fit_biases(self) -> Iterator[None]:
        """Fit the items' biases, then the users', and bring both residuals up to date.

        The feature that is pending is taken off on the way.
        """
        factors, pieces, t = self.context.factors, self._pieces(), self.pending
        assert factors is not None
        for step in self.steps:
            step[:] = 0.0
        for s, pending, on in ((ITEMS, t, True), (USERS, t, True), (ITEMS, -1, False)):
            biases = self.solver.biases_of(self.sides[s], factors, on=on)
            for low, high in pieces[s]:
                self._step_biases(s, pending, biases, low, high)
                yield
        self.pending = -1

    def _step_biases(self, s: int, pending: int, biases: Biases, low: int, high: int) -> None:
        spans, crew = self.context.spans, self.context.crew
        order, other, taken = self.orders[s], self.orders[1 - s], np.zeros(1, dtype=np.int64)
        size = max(1, -(-(high - low) // (GRABS * crew.workers)))

        def task(worker: int) -> None:
            step_rows(
                order, other.XT, pending, biases, self.steps[1 - s], self.steps[s], low, high,
                size, taken, spans.rows, spans.fill, worker, BIASES,
            )  # fmt: skip

        crew.run(task)

    def epoch(self) -> Iterator[None]:
        """Fit every feature, yielding at safe points."""
        pieces, users = self._pieces(), self.orders[USERS]
        users.seen[:, 0] = users.XT[0]
        users.seen[:, 1] = users.XT[max(self.pending, 0)]
        if self.solver.stop_below:
            yield from self._until_still(pieces)
            return
        steps: Steps = []
        for t in range(self.solver.rank):
            for again in range(self.solver.inner):
                steps += self._fit(pieces, t, again)
        yield from self._run(steps)

    def _until_still(self, pieces: list[list[tuple[int, int]]]) -> Iterator[None]:
        """Fit features, leaving one that gains no more and the epoch when five are still."""
        still, first = 0, self.untouched
        self.untouched = False
        for t in range(self.solver.rank):
            for again in range(self.solver.inner):
                yield from self._run(self._fit(pieces, t, again))
                gain = sum(float(o.gain.sum(dtype=np.float64)) for o in self.orders)
                if gain < self.best_gain * self.solver.stop_below:
                    still += again == 0
                    break
                if not first:  # the very first fit explains the mean and gains out of all scale
                    self.best_gain = max(self.best_gain, gain)
                first = False
            if still >= STILL:
                return

    def _pieces(self) -> list[list[tuple[int, int]]]:
        """Cut each side into whole rows of no more ratings than lie between two checkpoints."""
        most = min(self.context.chunk, self.budget.ratings(CALL_NS))
        found = []
        for order in self.orders:
            low, pieces = 0, []
            while low < len(order.R):
                high = end_of_row(order.indptr, low, low + most)
                pieces.append((low, high))
                low = high
            found.append(pieces)
        return found

    def _fit(self, pieces: list[list[tuple[int, int]]], t: int, again: int) -> Steps:
        """Steps of one fit of feature ``t``: items, then users; columns as in ``Feature``."""
        if again == 0:
            self.before, self.pending = self.pending, t
        part = t * self.solver.inner + again
        steps: Steps = []
        for side in (ITEMS, USERS):
            for low, high in pieces[side]:
                steps.append((side, t, self.before, int(again > 0), low, high, part, 0))
            steps[-1] = (*steps[-1][:-1], 1)
        return steps

    def _run(self, steps: Steps) -> Iterator[None]:
        """Send the crew through steps, as many in a call as are short enough; yield after each."""
        most = min(self.context.chunk, self.budget.ratings(CALL_NS))
        table = np.array(steps, dtype=np.int64)
        sizes = table[:, 5] - table[:, 4]
        first = 0
        while first < len(table):
            last, total = first + 1, int(sizes[first])
            while last < min(len(table), first + STEPS) and total + sizes[last] <= most:
                total += int(sizes[last])
                last += 1
            began = time.monotonic_ns()
            self._call(table, first, last)
            self.budget.learn(total, began)
            if last < len(table):
                yield
            first = last

    def _call(self, table: Int64, first: int, last: int) -> None:
        solver, context, spans = self.solver, self.context, self.context.spans
        workers, (users, items) = context.crew.workers, self.orders
        taken = np.zeros(len(table), dtype=np.int64)
        parts, lam = solver.rank * solver.inner, float(context.lam)

        def task(worker: int) -> None:
            run_passes(
                table, first, last, taken, GRABS * workers, parts, users, items, lam,
                solver.weighted, self.arrivals, self.barriers, workers, self.counted,
                spans.rows, spans.fill, worker,
            )  # fmt: skip

        context.crew.run(task)
        self.barriers += int(table[first : last - 1, 7].sum()) + 1

    def refresh(self, epoch: int, *, repair: bool) -> Iterator[None]:
        """Tell how far the residual is off, and compute it anew if it is to be repaired."""
        train, workers = self.problem.train, self.context.crew.workers
        rows = ((train.u, train.i), (train.i, train.u))
        drifts = [0.0, 0.0]
        step = min(self.context.chunk, max(1, CALL_NS // self.sides[USERS].X.shape[1]))

        def task(worker: int, start: int) -> None:
            begin = self.context.spans.now_ns()
            for s in range(worker, 2, workers):
                (row, col), own, side = rows[s], self.orders[s], self.sides[s]
                drift = refresh(
                    row, col, train.r, start, min(start + step, train.nnz), side.X, side.Y,
                    side.bx, side.by, self._mu, self.pending, own.indptr, own.R, repair,
                )  # fmt: skip
                drifts[s] = max(drifts[s], drift)
            if worker < 2:
                self.context.spans.add(worker, begin, self.context.spans.now_ns(), tag=RESIDUAL)

        for start in range(0, train.nnz, step):
            if start:
                yield
            self.context.crew.run(lambda worker, start=start: task(worker, start))  # type: ignore[misc]
        for order in self.orders:
            rewind(order.indptr)
        if repair:
            self.pending = -1
        self.context.emit(Measured, epoch=epoch, name=DRIFT, value=max(drifts), unit="rating")

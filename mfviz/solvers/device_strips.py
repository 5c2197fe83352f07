"""Strip SGD on a device: ratings in blocks of users and parts of strips, a launch a round."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.cuda.rows import width_of
from mfviz.kernels.cuda.strips import rows_that_fit, strip_threads, visit_strips
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.strip_layout import deal
from mfviz.solvers.base import Context, Factors
from mfviz.solvers.blocks import place_ratings
from mfviz.solvers.device_model import DeviceModel, model_parts
from mfviz.solvers.init import memory_parts
from mfviz.solvers.stochastic import NAMES
from mfviz.solvers.stratified import stratum_schedule
from mfviz.telemetry.memory import MemoryPart

if TYPE_CHECKING:
    from mfviz.solvers.strip_sgd import StripSGD

__all__ = ["DeviceStrips", "StripShape", "device_strip_parts", "strip_shape"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

RATINGS = "ratings"
WAIT = NAMES.index("wait")
MOST_BLOCKS = 128  # about as many as a large GPU has processors
FULL = 8  # ratings of a warp between two barriers


@dataclass(frozen=True)
class StripShape:
    """How users and items are cut.

    Attributes
    ----------
    blocks : int
        Thread blocks, each with a range of users, and groups of items; also rounds, G.
    strips : int
        Of a group, S.
    warps : int
        Workers of a block, with users of their own; also parts of a strip, T.
    """

    blocks: int
    strips: int
    warps: int

    @property
    def rows(self) -> int:
        """Ranges of users."""
        return self.blocks * self.warps

    @property
    def columns(self) -> int:
        """Parts of strips."""
        return self.blocks * self.strips * self.warps

    @property
    def schedule(self) -> int:
        """Numbers of an epoch's schedule."""
        return self.blocks**2 + self.warps**2 + self.strips


def strip_shape(solver: StripSGD, n_users: int, n_items: int, nnz: int) -> StripShape:
    """Return how many blocks, strips and warps there are.

    Parameters
    ----------
    solver : StripSGD
    n_users, n_items, nnz : int

    Notes
    -----
    As many as asked for, but each has a user and an item; strips as few as fit shared memory. If
    nothing is asked for, a warp has eight ratings or more between two barriers, on average.
    """
    T = min(int(solver.warps), n_users, n_items)
    most = int(solver.blocks) or min(MOST_BLOCKS, max(1, math.isqrt(nnz // FULL) // T))
    G = min(most, min(n_users, n_items) // T)
    S, fits = 1, rows_that_fit(width_of(solver.rank))
    while T * -(-n_items // (G * S * T)) > fits:
        S += 1
    return StripShape(G, S, T)


def device_strip_parts(solver: StripSGD, n_users: int, n_items: int, nnz: int) -> list[MemoryPart]:
    """Memory of :class:`DeviceStrips` and of the model on the host."""
    s = strip_shape(solver, n_users, n_items, nnz)
    parts = [
        MemoryPart(RATINGS, "ratings by user", "device", "12 N", 12 * nnz),
        *model_parts(n_users, n_items, width_of(solver.rank), biased=solver.biases),
    ]
    if not solver.biases:
        parts.append(MemoryPart("no biases", "workspace", "device", "4 n", 4 * n_items))
    sizes = (
        ("block offsets", "8 (G² S T² + 1)", 8 * (s.rows * s.columns + 1)),
        ("places of strips", "8 (G S + 1)", 8 * (s.blocks * s.strips + 1)),
        ("schedule", "8 (G² + T² + S)", 8 * s.schedule),
    )
    parts += [MemoryPart(name, "workspace", "device", law, held) for name, law, held in sizes]
    order = MemoryPart("order of items", "workspace", "host", "4 n", 4 * n_items)
    schedule = MemoryPart("schedule", "workspace", "host", "8 (G² + T² + S)", 8 * s.schedule)
    return [*parts, order, schedule, *memory_parts(n_users, n_items, solver.rank)]


class _Model(DeviceModel):
    """A model whose items lie by strip on the device.

    Parameters
    ----------
    context, factors, width
        As for :class:`~mfviz.solvers.device_model.DeviceModel`.
    items : (n,) int32
        Items in the order of their places there.
    """

    def __init__(self, context: Context, factors: Factors, width: int, items: Int32) -> None:
        self._items = items
        factors.Q[:], factors.bi[:] = factors.Q[items], factors.bi[items]
        super().__init__(context, factors, width)
        self._put_back()

    def refresh(self) -> None:
        """Copy the model to the host; from a device that has failed nothing comes."""
        if self.device.lost:
            return
        super().refresh()
        self._put_back()

    def _put_back(self) -> None:
        factors = self.factors
        factors.Q[self._items], factors.bi[self._items] = factors.Q.copy(), factors.bi.copy()


class DeviceStrips:
    """Blocks of ratings on a device, and the program of a round.

    Parameters
    ----------
    solver : StripSGD
    problem : Problem
    context : Context
        With a device; its ``refresh`` is set.
    factors : Factors
    """

    def __init__(
        self, solver: StripSGD, problem: Problem, context: Context, factors: Factors
    ) -> None:
        assert context.device is not None
        self.solver, self.context, self.device = solver, context, context.device
        self.shape = strip_shape(solver, problem.n_users, problem.n_items, problem.train.nnz)
        self.visits = 0
        ledger, send, s = context.ledger, self.device.send, self.shape
        items = ledger.empty("order of items", problem.n_items, np.int32)
        records = ledger.empty(RATINGS, problem.train.nnz, TRIPLE, part="ratings by user")
        offsets, firsts = np.zeros(s.rows * s.columns + 1, np.int64), self._deal(problem, items)
        self._place(problem, items, firsts, records, offsets)
        sizes = np.diff(offsets).reshape(s.blocks, s.warps, s.blocks, s.strips * s.warps)
        self._loads: Int64 = sizes.sum(axis=(1, 3))  # of each range of a block in each group
        self._triples = send(RATINGS, records.view(np.int32), part="ratings by user")
        del records
        ledger.free(RATINGS)  # they have moved
        self.model = _Model(context, factors, width_of(factors.rank), items)
        self._biases = self.model.biases
        if not factors.biased:
            nothing = np.zeros(problem.n_items, np.float32)
            self._biases = [send("no biases", nothing, part="workspace")] * 2
        self._offsets = send("block offsets", offsets, part="workspace")
        self._firsts = send("places of strips", firsts, part="workspace")
        self._schedule = ledger.empty("schedule", s.schedule, np.int64)
        self._lay_schedule("seq", np.arange(s.strips), _NONE)
        self._there = send("schedule", self._schedule, part="workspace")

    def _deal(self, problem: Problem, items: Int32) -> Int64:
        """Deal items to parts of equal mass; write their order, return where strips begin."""
        s, n = self.shape, problem.n_items
        counts = problem.train.item_counts.astype(np.int64)
        popular = np.argsort(-counts, kind="stable")
        dealt = np.empty(n, np.int32)
        deal(popular, counts, np.zeros(s.rows, np.int64), s.strips, dealt)
        owner, strip = np.divmod(dealt, s.strips)
        group, part = np.divmod(owner, s.warps)
        self._column = ((group * s.strips + strip) * s.warps + part).astype(np.int32)
        items[:] = popular[np.argsort(self._column[popular], kind="stable")]
        strips = np.arange(s.blocks * s.strips + 1) * s.warps
        found: Int64 = np.searchsorted(self._column[items], strips).astype(np.int64)
        return found

    def _place(
        self, problem: Problem, items: Int32, firsts: Int64, records: Any, offsets: Int64
    ) -> None:
        """Write the ratings by block and user, items counted from the first of their strip."""
        s, train = self.shape, problem.train
        mass = np.arange(1, s.rows) * train.nnz / s.rows
        cuts = np.searchsorted(np.cumsum(train.user_counts), mass)
        rows = np.searchsorted(cuts, np.arange(problem.n_users), side="right").astype(np.int32)
        dealt = (rows, self._column)
        place_ratings(problem, self.context.crew, dealt, s.columns, records, offsets, by="row")
        local = np.empty(problem.n_items, np.int32)
        local[items] = np.arange(problem.n_items, dtype=np.int32)
        local -= firsts[self._column // s.warps].astype(np.int32)
        for low in range(0, train.nnz, 1 << 22):  # in pieces: the whole would be copied
            part = records["i"][low : low + (1 << 22)]
            part[:] = local[part]

    def begin(self, layout_rng: np.random.Generator, order_rng: np.random.Generator) -> np.uint64:
        """Draw the order of an epoch: groups, parts and strips."""
        if self.solver.shuffle:
            self._lay_schedule("wor", None, layout_rng)
        return np.uint64(0)

    def _lay_schedule(self, kind: str, turns: Int64 | None, rng: np.random.Generator) -> None:
        """Write both squares and the turns of strips, or a random order of these."""
        sides = (self.shape.blocks, self.shape.warps)
        outer, inner = (stratum_schedule(kind, side, rng).ravel() for side in sides)
        last = rng.permutation(self.shape.strips) if turns is None else turns
        self._schedule[:] = np.concatenate([outer, inner, last])

    def run(self, seed: np.uint64, factor: float) -> Iterator[tuple[int, bool]]:
        """Visit all ratings once; yields ratings visited so far, and whether it runs on."""
        G = self.shape.blocks
        outer = self._schedule[: G * G].reshape(G, G)
        visits = self._loads[np.arange(G), outer].sum(axis=1)
        low = 0
        while low < G:
            high, program = low + 1, Program()
            while high < G and visits[low : high + 1].sum() <= self.context.chunk:
                high += 1
            if low == 0:
                program.copy(0, self._send_schedule, bytes=self._schedule.nbytes)
            for k in range(low, high):
                program.kernel(0, self._launch(k, factor), ratings=int(visits[k]))
            for _ in self.device.run(program.ops, self.context.spans, WAIT):
                yield self.visits, True
            self.visits += int(visits[low:high].sum())
            yield self.visits, False
            low = high

    def give_back(self) -> None:
        """Nothing is kept from those who look: ``refresh`` brings it."""

    def _send_schedule(self, stream: Any) -> None:
        self.device.driver.upload(self._there, self._schedule, stream)

    def _launch(self, k: int, factor: float) -> Any:
        s, model, triples, there = self.shape, self.model, self._triples, self._there
        G, T = s.blocks, s.warps
        outer, rest = there[G * k : G * (k + 1)], G * G
        order = (outer, there[rest : rest + T * T], there[rest + T * T :])
        whole = [np.int64(x) for x in (G, s.strips, T)]
        threads = strip_threads(T, shuffle=self.device.driver.shuffles)

        def launch(stream: Any) -> None:
            rates = self.solver.rates(self.context, model.factors, factor)
            self.device.driver.launch(
                visit_strips.name, model.width, G, threads, stream,
                (
                    *model.X, *self._biases, triples, triples.view(np.float32), self._offsets,
                    self._firsts, *order, *whole,
                    rates.mu, rates.lr, rates.lam, rates.lr_bias, rates.lam_bias, rates.biased,
                ),
            )  # fmt: skip

        return launch


_NONE = np.random.default_rng(0)  # "seq" draws nothing

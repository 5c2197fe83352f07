"""What runs the programs of DS-SGD: streams of a device, or teams of threads on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mfviz.backends.device import Device
from mfviz.backends.streams import HostStreams, Op
from mfviz.data.problem import Problem
from mfviz.kernels.asgd import visit_rows
from mfviz.kernels.order import TRIPLE
from mfviz.solvers.base import Context, Factors
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import GRABS, ITEMS, USERS
from mfviz.solvers.stochastic import Records
from mfviz.solvers.two_copies import (
    PARTS,
    WAITING,
    Copies,
    OnDevice,
    copy_parts,
    device_parts,
    flat,
    on_disk,
    pointer_part,
)
from mfviz.telemetry.memory import MemoryPart

if TYPE_CHECKING:
    from mfviz.solvers.dual_streams import DualStreams

__all__ = ["Engine", "engine_parts", "make_engine"]

SIDES = (USERS, ITEMS)
BUFFERS = tuple(f"buffer {which} of {side}" for side in ("users", "items") for which in (0, 1))
COPIERS = 2  # position of the threads that copy among the teams
CALL_NS = 15_000_000  # after which a thread passes the gate
LONGEST = 100_000  # ratings of a slice, so that a kernel call stays short


class Engine(Protocol):
    """What runs a program."""

    factor: float

    def visit(
        self, tag: int, low: int, high: int, batch: int, buffer: int
    ) -> Callable[[Any], Any]:
        """Return the visit of a side's ratings ``low`` to ``high`` of a batch in a buffer."""

    def send(self, tag: int, batch: int, buffer: int) -> Callable[[Any], Any]:
        """Return the copy of a batch to a buffer."""

    def run(self, ops: list[Op]) -> Iterator[None]:
        """Run operations; yields now and then."""

    @property
    def visits(self) -> int:
        """Ratings visited so far; may be read while streams run."""


def make_engine(
    solver: DualStreams,
    problem: Problem,
    context: Context,
    factors: Factors,
    rng: np.random.Generator,
) -> Engine:
    """Sort the two copies, put them or their buffers in place and return what works on them.

    Parameters
    ----------
    solver : DualStreams
    problem : Problem
    context : Context
    factors : Factors
    rng : numpy.random.Generator
        Draws the order of each row's ratings.
    """
    kind = _OnHost if context.device is None else _OnStreams
    return kind(solver, problem, context, factors, rng)


class _Engine(ABC):
    """What both engines have: the copies on the host, and the batches that they are cut into.

    Parameters
    ----------
    solver, problem, context, factors, rng
        As for :func:`make_engine`.
    """

    def __init__(
        self,
        solver: DualStreams,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.solver, self.context = solver, context
        self._batches = solver.ranges(problem.train.nnz)
        self._lay_out(Copies(solver, problem, context, rng, self._room()), factors)

    @property
    def _longest(self) -> int:
        """Ratings of the longest batch."""
        return max(high - low for low, high in self._batches)

    def _room(self) -> Callable[[str, int, str], Records] | None:
        """Where the copies on the host are made: None for what the ledger gives."""
        return on_disk if self.solver.from_disk else None

    @abstractmethod
    def _lay_out(self, copies: Copies, factors: Factors) -> None:
        """Make both copies, and put them or the buffers of their batches in place."""


class _OnHost(_Engine):
    """Each side's stream is a team of threads; copies have a thread more."""

    def _lay_out(self, copies: Copies, factors: Factors) -> None:
        solver, context = self.solver, self.context
        self.factors, self.factor = factors, 1.0
        self._pointers = copies.pointers
        self._sources = [copies.make(tag) for tag in SIDES]
        P, Q, bu, bi = factors.P, factors.Q, factors.bu, factors.bi
        self._sides = ((P, Q, bu, bi), (Q, P, bi, bu))
        self._buffers = [
            context.ledger.empty(name, self._longest, TRIPLE, part="buffers")
            for name in BUFFERS
            if solver.buffered
        ]
        self._ends = context.ledger.empty("counters", (solver.threads, 8), np.int64, fill=0)
        self._streams = HostStreams(context.crew, context.gate, self._team)

    @property
    def visits(self) -> int:
        return int(self._ends[:, 1].sum())

    def _team(self, op: Op) -> range:
        return self.solver.teams[op.stream if op.kind == "kernel" else COPIERS]

    def visit(
        self, tag: int, low: int, high: int, batch: int, buffer: int
    ) -> Callable[[int], bool]:
        X, Y, bx, by = self._sides[tag]
        records = self._buffers[buffer] if self._buffers else self._sources[tag]
        base = self._batches[batch][0]
        index, r = records[("i", "u")[tag]], records["r"]
        size = -(-(high - low) // (GRABS * len(self.solver.teams[tag])))
        counter, scratch, ends = np.zeros(1, np.int64), self._streams.scratch, self._ends

        def run(thread: int) -> bool:
            ends[thread, 2] = 0
            visit_rows(
                X, Y, bx, by, self._pointers[tag], index, r, base, low, high,
                max(1, min(size, LONGEST)), CALL_NS, counter, np.uint64(0),
                self.solver.rates(self.context, self.factors, self.factor),
                ends, scratch.rows, scratch.fill, thread, tag,
            )  # fmt: skip
            return not ends[thread, 2]

        return run

    def send(self, tag: int, batch: int, buffer: int) -> Callable[[int], None]:
        low, high = self._batches[batch]
        target = flat(self._buffers[buffer][: high - low])
        source = flat(self._sources[tag][low:high])
        return lambda thread: np.copyto(target, source)

    def run(self, ops: list[Op]) -> Iterator[None]:
        return self._streams.run(ops, self.context.spans, WAITING)


class _OnStreams(_Engine):
    """Streams of a device; all ratings lie there, or two buffers a side that batches come to."""

    def _lay_out(self, copies: Copies, factors: Factors) -> None:
        solver, context = self.solver, self.context
        self.visits = 0
        if solver.buffered:
            self._sources = [flat(copies.make(tag)) for tag in SIDES]
            self._triples = [
                self.device.empty(name, 3 * self._longest, np.int32, part="buffers")
                for name in BUFFERS
            ]
        else:
            self._triples = []
            for tag, part in enumerate(PARTS):
                there = self.device.send(part, flat(copies.make(tag)), part=part)
                context.ledger.free(part)  # the copy on the host
                self._triples += [there, there]  # in the place of two buffers
        self._there = OnDevice(solver, context, factors, copies.pointers)

    @property
    def device(self) -> Device:
        """Where the streams are."""
        assert self.context.device is not None
        return self.context.device

    def _room(self) -> Callable[[str, int, str], Records] | None:
        if self.solver.from_disk or not (self.solver.buffered and self.solver.pinned):
            return super()._room()

        def pinned(name: str, nnz: int, part: str) -> Records:
            records: Records = self.device.pinned(name, (3 * nnz,), np.int32, part=part).view(
                TRIPLE
            )
            return records

        return pinned

    @property
    def factor(self) -> float:
        return self._there.factor

    @factor.setter
    def factor(self, value: float) -> None:
        self._there.factor = value

    def visit(
        self, tag: int, low: int, high: int, batch: int, buffer: int
    ) -> Callable[[Any], None]:
        base = self._batches[batch][0]
        return self._there.visit(tag, low, high, base, self._triples[buffer])

    def send(self, tag: int, batch: int, buffer: int) -> Callable[[Any], None]:
        low, high = self._batches[batch]
        target = self._triples[buffer][: 3 * (high - low)]
        source = self._sources[tag][3 * low : 3 * high]
        return lambda stream: self.device.driver.upload(target, source, stream)

    def run(self, ops: list[Op]) -> Iterator[None]:
        yield from self.device.run(ops, self.context.spans, WAITING)
        self.visits += sum(op.ratings for op in ops)


def engine_parts(
    solver: DualStreams, n_users: int, n_items: int, nnz: int, backend: str
) -> list[MemoryPart]:
    """Memory of an engine with the model.

    Parameters
    ----------
    solver : DualStreams
    n_users, n_items, nnz : int
    backend : str
        "cpu" or a device.
    """
    resident, place = not solver.buffered, "host" if backend == "cpu" else "device"
    parts: list[MemoryPart] = []
    if solver.buffered:
        B = max(high - low for low, high in solver.ranges(nnz))
        parts += [MemoryPart(name, "buffers", place, "12 B", 12 * B) for name in BUFFERS]
    on_host = copy_parts(n_users, n_items, nnz)
    if solver.from_disk:
        on_host = [pointer_part(n_users, n_items)]
    if backend != "cpu":
        held = device_parts(solver, n_users, n_items, nnz, resident=resident)
        copies = [part for part in on_host if part.part in PARTS] if solver.buffered else []
        return [*parts, *held, *copies]
    size = 64 * solver.threads
    counters = MemoryPart("counters", "workspace", "host", "64 T", size)
    return [*parts, *on_host, *memory_parts(n_users, n_items, solver.rank), counters]

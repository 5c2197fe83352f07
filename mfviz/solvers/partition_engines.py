"""What runs the partitions of cuMF_SGD: three streams of a device, or threads of the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.streams import HostStreams, Op, segments
from mfviz.data.problem import Problem
from mfviz.kernels.chunks import visit_chunks
from mfviz.kernels.cuda.chunks import HALVES
from mfviz.kernels.cuda.rows import grid
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.strata import shuffle_blocks
from mfviz.solvers.base import Checkpoint, Context, Factors
from mfviz.solvers.blocks import deal_sides, place_ratings
from mfviz.solvers.partitions import (
    SIDES,
    SPANS,
    WAITING,
    Issue,
    Piece,
    pieces_of,
    shape_of,
)
from mfviz.solvers.racing_chunks import CHUNK
from mfviz.solvers.stochastic import FREE_NS, draw_seed

if TYPE_CHECKING:
    from mfviz.solvers.cumf_sgd import CuMFSGD

__all__ = ["PartsOnDevice", "PartsOnHost"]

Run = Callable[[Any], Any]


class _Parts(ABC):
    """The ratings block by block and the model part by part, both on the host.

    Parameters
    ----------
    solver : CuMFSGD
    problem : Problem
    context : Context
        Its ``refresh`` is set.
    factors : Factors
    rng : numpy.random.Generator
        Deals users and items to parts, then draws the seed of the order inside the blocks.
    """

    def __init__(
        self,
        solver: CuMFSGD,
        problem: Problem,
        context: Context,
        factors: Factors,
        rng: np.random.Generator,
    ) -> None:
        self.context, self.factors, self.factor, self.visits = context, factors, 1.0, 0
        self.shuffle, self.complete, self._runs = solver.shuffle, True, False
        context.names = SPANS
        where, nnz = "cpu" if context.device is None else "cuda", problem.train.nnz
        self.shape = shape_of(solver, problem.n_users, problem.n_items, nnz, where)
        self._pinned = solver.pinned and context.device is not None
        ledger, (u, v) = context.ledger, self.shape.parts
        self.records = self._room("ratings", (3 * nnz,), np.int32, "ratings by user").view(TRIPLE)
        self.offsets = ledger.empty("block offsets", u * v + 1, np.int64)
        self._lay_out(problem, rng)
        self.starts = self._room("chunks", (self.shape.places,), np.int64, "workspace")
        self.pieces: list[Piece] = []
        self._held = [[-1, -1], [-1, -1]]  # as planned
        self._there = [[-1, -1], [-1, -1]]  # as it is
        self._make_buffers()
        context.refresh = self.refresh
        self.refresh()

    def _lay_out(self, problem: Problem, rng: np.random.Generator) -> None:
        """Deal the sides, put the ratings into blocks and the rows of a part side by side."""
        crew, ledger = self.context.crew, self.context.ledger
        (u, v), dealer = self.shape.parts, rng if self.shuffle else None
        dealt = deal_sides(problem, (u, v), dealer)
        place_ratings(
            problem, crew, dealt, v, self.records, self.offsets, scale=self.factors.scale
        )
        if self.shuffle:
            seed = draw_seed(rng)
            crew.run(lambda w: shuffle_blocks(self.records, self.offsets, seed, w, crew.workers))
        self.home, self._places, self._firsts = [], [], []
        models = (self.factors.P, self.factors.Q)
        for name, A, part, many, field in zip(
            SIDES, models, dealt, (u, v), ("u", "i"), strict=True
        ):
            places = ledger.empty(f"places of {name}", len(A), np.int32)
            places[np.argsort(part, kind="stable")] = np.arange(len(A), dtype=np.int32)
            firsts = np.append(0, np.cumsum(np.bincount(part, minlength=many)))
            for block in range(u * v):  # a block at a time: the whole would be copied
                mine = self.records[field][self.offsets[block] : self.offsets[block + 1]]
                mine[:] = places[mine] - firsts[divmod(block, v)[field == "i"]]
            home = self._room(f"{name} in halves", (len(A), self.shape.width), np.float16, name)
            home[places] = A[:, : self.shape.width]
            self._places.append(places)
            self._firsts.append(firsts)
            self.home.append(home)

    def _room(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, part: str
    ) -> npt.NDArray[Any]:
        """Make room for what is copied to the buffers: pinned where that is asked for."""
        if self._pinned:
            assert self.context.device is not None
            return self.context.device.pinned(name, shape, dtype, part=part)
        return self.context.ledger.empty(name, shape, dtype, part=part)

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the order of the blocks of an epoch, and the places of their chunks."""
        count = len(self.offsets) - 1
        order = rng.permutation(count) if self.shuffle else np.arange(count)
        self.pieces = pieces_of(self.shape, self.offsets, order.tolist())
        for piece in self.pieces:
            many = piece.workers * piece.chunks
            own = self.starts[piece.first : piece.first + many]
            own[:] = rng.integers(0, piece.high - piece.low, many)

    def run(self, epoch: int) -> Iterator[Checkpoint]:
        """Visit all pieces once."""
        context, end = self.context, self.visits + sum(piece.visits for piece in self.pieces)
        issue = Issue(self, self.shape, self._held, self._bytes)
        for ops in segments(issue.epoch(self.pieces, context.chunk), context.chunk):
            self._runs, self.complete = True, False
            try:
                for _ in self._run(ops):
                    yield Checkpoint("chunk", epoch, self.visits, running=True)
            finally:
                self._runs = False
            self.complete = True
            self.visits += sum(op.ratings for op in ops)
            if self.visits < end:
                yield Checkpoint("chunk", epoch, self.visits)

    def refresh(self) -> None:
        """Bring parts home that lie in buffers, then the model up to date.

        While streams run nobody knows what lies where: the model stays as it was.
        """
        if self._runs or (self.context.device is not None and self.context.device.lost):
            return
        for side, held in enumerate(self._there):
            for slot, part in enumerate(held):
                if part >= 0:
                    self._fetch(side, slot, part)
        for A, home, places in zip(
            (self.factors.P, self.factors.Q), self.home, self._places, strict=True
        ):
            A[:, : self.shape.width] = home[places]

    def rates(self) -> tuple[np.float32, np.float32]:
        """Learning rate, and λ in units of the divided ratings."""
        lam = self.context.lam / self.factors.scale
        return np.float32(self.context.lr * self.factor), np.float32(lam)

    def carry(self, side: int, slot: int, part: int, home: bool) -> Run:
        """Return the copy of a part to its buffer, or home."""
        copy = self._copy_home(side, slot, part) if home else self._copy_in(side, slot, part)

        def run(stream: Any) -> None:
            copy(stream)
            if not home:
                self._there[side][slot] = part

        return run

    def _bytes(self, side: int, part: int) -> int:
        return int(self._rows(side, part).nbytes)

    def _rows(self, side: int, part: int) -> npt.NDArray[np.float16]:
        """Rows of a part at home."""
        rows: npt.NDArray[np.float16] = self.home[side][
            self._firsts[side][part] : self._firsts[side][part + 1]
        ]
        return rows

    @abstractmethod
    def _make_buffers(self) -> None:
        """Make two buffers for pieces, and two for parts of each side."""

    @abstractmethod
    def bring(self, k: int, piece: Piece) -> Run:
        """Return the copy of a piece to a buffer."""

    @abstractmethod
    def visit(self, k: int, piece: Piece, slots: list[int], low: int, high: int) -> Run:
        """Return the visit of a piece's ratings ``low`` to ``high`` of each worker."""

    @abstractmethod
    def _copy_in(self, side: int, slot: int, part: int) -> Run: ...

    @abstractmethod
    def _copy_home(self, side: int, slot: int, part: int) -> Run: ...

    @abstractmethod
    def _fetch(self, side: int, slot: int, part: int) -> None:
        """Bring a part home, now."""

    @abstractmethod
    def _run(self, ops: list[Op]) -> Iterator[None]:
        """Run operations; yields now and then."""


class PartsOnHost(_Parts):
    """Threads visit what two other threads copy in and out."""

    def _make_buffers(self) -> None:
        ledger, s = self.context.ledger, self.shape
        self._pieces = [
            ledger.empty(f"buffer {k} of ratings", s.ratings, TRIPLE, part="buffers")
            for k in (0, 1)
        ]
        self._chunks = [
            ledger.empty(f"buffer {k} of chunks", s.chunks, np.int64, part="buffers")
            for k in (0, 1)
        ]
        self._slots = [
            [
                ledger.empty(f"buffer {k} of {name}", (rows, s.width), np.uint16, part=name)
                for k in (0, 1)
            ]
            for name, rows in zip(SIDES, s.rows, strict=True)
        ]
        workers = self.context.crew.workers - 2
        teams = (range(workers), (workers,), (workers + 1,))
        self._streams = HostStreams(
            self.context.crew, self.context.gate, lambda op: teams[op.stream]
        )

    def bring(self, k: int, piece: Piece) -> Run:
        """Return the copy of a piece to a buffer."""
        many = piece.workers * piece.chunks
        pairs = (
            (self._pieces[k][: piece.high - piece.low], self.records[piece.low : piece.high]),
            (self._chunks[k][:many], self.starts[piece.first : piece.first + many]),
        )

        def run(thread: int) -> None:
            for target, source in pairs:
                np.copyto(target, source)

        return run

    def _pair(self, side: int, slot: int, part: int) -> tuple[Any, Any]:
        rows = self._rows(side, part)
        return self._slots[side][slot][: len(rows)].view(np.float16), rows

    def _copy_in(self, side: int, slot: int, part: int) -> Run:
        buffer, rows = self._pair(side, slot, part)
        return lambda thread: np.copyto(buffer, rows)

    def _copy_home(self, side: int, slot: int, part: int) -> Run:
        buffer, rows = self._pair(side, slot, part)
        return lambda thread: np.copyto(rows, buffer)

    def _fetch(self, side: int, slot: int, part: int) -> None:
        self._copy_home(side, slot, part)(0)

    def visit(self, k: int, piece: Piece, slots: list[int], low: int, high: int) -> Run:
        """Return the visit of a piece's ratings."""
        records = self._pieces[k][: piece.high - piece.low]
        many, signal = piece.workers * piece.chunks, self.context.gate.signal
        starts = self._chunks[k][:many].reshape(piece.workers, piece.chunks)
        P, Q = (self._slots[side][slot] for side, slot in enumerate(slots))
        at, scratch = [low] * piece.workers, self._streams.scratch

        def run(thread: int) -> bool:
            if thread >= piece.workers:
                return False
            at[thread] = visit_chunks(
                records, starts[thread], CHUNK, at[thread], high, FREE_NS, signal, P, Q,
                *self.rates(), scratch.rows, scratch.fill, thread,
            )  # fmt: skip
            return at[thread] < high

        return run

    def _run(self, ops: list[Op]) -> Iterator[None]:
        return self._streams.run(ops, self.context.spans, WAITING)


class PartsOnDevice(_Parts):
    """A device with room for two pieces, and for two parts of each side."""

    def _make_buffers(self) -> None:
        assert self.context.device is not None
        self.device, s = self.context.device, self.shape
        empty = self.device.empty
        self._pieces = [
            empty(f"buffer {k} of ratings", 3 * s.ratings, np.int32, part="buffers")
            for k in (0, 1)
        ]
        self._chunks = [
            empty(f"buffer {k} of chunks", s.chunks, np.int64, part="buffers") for k in (0, 1)
        ]
        self._slots = [
            [
                empty(f"buffer {k} of {name}", (rows, s.width), np.float16, part=name)
                for k in (0, 1)
            ]
            for name, rows in zip(SIDES, s.rows, strict=True)
        ]

    def bring(self, k: int, piece: Piece) -> Run:
        """Return the copy of a piece to a buffer."""
        upload, many = self.device.driver.upload, piece.workers * piece.chunks
        flat = self.records[piece.low : piece.high].view(np.int32)
        pairs = (
            (self._pieces[k][: len(flat)], flat),
            (self._chunks[k][:many], self.starts[piece.first : piece.first + many]),
        )

        def run(stream: Any) -> None:
            for target, source in pairs:
                upload(target, source, stream)

        return run

    def _copy_in(self, side: int, slot: int, part: int) -> Run:
        rows, driver = self._rows(side, part), self.device.driver
        buffer = self._slots[side][slot][: len(rows)]
        return lambda stream: driver.upload(buffer, rows, stream)

    def _copy_home(self, side: int, slot: int, part: int) -> Run:
        rows, driver = self._rows(side, part), self.device.driver
        buffer = self._slots[side][slot][: len(rows)]
        return lambda stream: driver.download(rows, buffer, stream)

    def _fetch(self, side: int, slot: int, part: int) -> None:
        rows = self._rows(side, part)
        self.device.driver.download(rows, self._slots[side][slot][: len(rows)])

    def visit(self, k: int, piece: Piece, slots: list[int], low: int, high: int) -> Run:
        """Return the visit of a piece's ratings."""
        driver, width, W = self.device.driver, self.shape.width, piece.workers
        blocks, threads = grid(W, width, shuffle=driver.shuffles, each=HALVES)
        triples, chunks = self._pieces[k], self._chunks[k]
        sides = [self._slots[side][slot] for side, slot in enumerate(slots)]
        whole = (piece.high - piece.low, piece.chunks, CHUNK, W, low, high)
        numbers = [np.int64(x) for x in whole]

        def run(stream: Any) -> None:
            driver.launch(
                "visit_chunks", width, blocks, threads, stream,
                (*sides, triples, triples.view(np.float32), chunks, *numbers, *self.rates()),
            )  # fmt: skip

        return run

    def _run(self, ops: list[Op]) -> Iterator[None]:
        return self.device.run(ops, self.context.spans, WAITING)

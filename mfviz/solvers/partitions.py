"""cuMF_SGD on ratings larger than the device: partitions that are copied while others compute.

Users are dealt to u parts and items to v parts; a *block* is the ratings of a part of users and a
part of items. The device has room for two pieces of blocks and for two parts of P and of Q; three
streams compute, copy in and copy out. A part of P or Q stays where it is while blocks that need it
follow each other, and is copied home before another one takes its place: the result is that of
visiting one block after the other.

The authors' code has outer partitions one after the other and double-buffers inside them. Here
both are one level, and a block that is longer than the average is cut into pieces, so that the
buffers have a size that is known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.streams import Op, Program
from mfviz.kernels.cuda.rows import width_of
from mfviz.solvers.base import Factors
from mfviz.solvers.racing_chunks import CHUNK
from mfviz.solvers.stochastic import NAMES
from mfviz.telemetry.memory import MemoryPart

if TYPE_CHECKING:
    from mfviz.solvers.cumf_sgd import CuMFSGD

__all__ = [
    "COMPUTE", "IN", "OUT", "SIDES", "SPANS", "STREAMS", "WAITING", "Issue", "Piece", "Shape",
    "partition_parts", "pieces_of", "shape_of",
]  # fmt: skip

Int64 = npt.NDArray[np.int64]

STREAMS = ("compute", "copies in", "copies out")
COMPUTE, IN, OUT = range(3)
SIDES = ("P", "Q")
SPANS = (*NAMES, "ratings in", "P in", "Q in", "P out", "Q out")  # by tag
RATINGS_IN, SIDE_IN, SIDE_OUT = 4, 5, 7
WAITING = NAMES.index("wait")
TRIPLE_BYTES = 12


@dataclass(frozen=True)
class Shape:
    """Sizes that follow from the numbers of users, items and ratings alone.

    Attributes
    ----------
    parts : (int, int)
        Parts of users and of items.
    rows : (int, int)
        Users and items of the largest part.
    ratings : int
        Most ratings of a piece.
    workers : int
        That race in a piece, if it is long enough.
    chunks : int
        Most chunks of a piece.
    places : int
        Most chunks of an epoch.
    width : int
        Columns of P and Q.
    """

    parts: tuple[int, int]
    rows: tuple[int, int]
    ratings: int
    workers: int
    chunks: int
    places: int
    width: int


def shape_of(solver: CuMFSGD, n_users: int, n_items: int, nnz: int, backend: str) -> Shape:
    """Work the sizes out.

    Parameters
    ----------
    solver : CuMFSGD
    n_users, n_items, nnz : int
    backend : str
    """
    u, v = solver.cuts
    rows = -(-n_users // u), -(-n_items // v)
    ratings, W = -(-nnz // (u * v)), solver.racing(*rows, backend)
    # a block has at most one piece more than it has ratings for, a piece one chunk a worker
    places = -(-nnz // CHUNK) + 2 * u * v * W
    width = Factors.width(solver.rank) if backend == "cpu" else width_of(solver.rank)
    return Shape((u, v), rows, ratings, W, -(-ratings // CHUNK) + W, places, width)


def partition_parts(
    solver: CuMFSGD, n_users: int, n_items: int, nnz: int, backend: str
) -> list[MemoryPart]:
    """Memory of the buffers, and of what they are filled from."""
    s, where = shape_of(solver, n_users, n_items, nnz, backend), "device"
    if backend == "cpu":
        where = "host"
    parts = [
        MemoryPart("ratings", "ratings by user", "host", "12 N", TRIPLE_BYTES * nnz),
        MemoryPart("block offsets", "workspace", "host", "8 (u v + 1)",
                   8 * (s.parts[0] * s.parts[1] + 1)),
        MemoryPart("chunks", "workspace", "host", "8 (N / 128 + 2 u v W)", 8 * s.places),
    ]  # fmt: skip
    for name, count, rows, letter in zip(SIDES, (n_users, n_items), s.rows, "mn", strict=True):
        formula, size = f"2 f {letter}", 2 * s.width
        parts += [
            MemoryPart(f"{name} in halves", name, "host", formula, size * count),
            MemoryPart(f"places of {name}", "workspace", "host", f"4 {letter}", 4 * count),
            *[
                MemoryPart(f"buffer {k} of {name}", name, where, f"{formula} / parts", size * rows)
                for k in (0, 1)
            ],
        ]
    for k in (0, 1):
        held = TRIPLE_BYTES * s.ratings
        parts += [
            MemoryPart(f"buffer {k} of ratings", "buffers", where, "12 N / (u v)", held),
            MemoryPart(f"buffer {k} of chunks", "buffers", where, "8 a chunk", 8 * s.chunks),
        ]
    return parts


@dataclass(frozen=True)
class Piece:
    """Ratings that are copied and visited together.

    Attributes
    ----------
    block : (int, int)
        Part of users and part of items.
    low, high : int
        Places of its ratings.
    first : int
        Place of its first chunk among those of the epoch.
    workers, chunks : int
        Workers, and chunks of each.
    """

    block: tuple[int, int]
    low: int
    high: int
    first: int
    workers: int
    chunks: int

    @property
    def visits(self) -> int:
        """Ratings that are visited in it."""
        return CHUNK * self.chunks * self.workers


def pieces_of(shape: Shape, offsets: Int64, order: list[int]) -> list[Piece]:
    """Cut the blocks of an epoch into pieces.

    Parameters
    ----------
    shape : Shape
    offsets : (blocks + 1,) int64
        Places of the blocks.
    order : list of int
        Numbers of the blocks.
    """
    found, first = [], 0
    for block in order:
        begin, end = int(offsets[block]), int(offsets[block + 1])
        many = -(-(end - begin) // shape.ratings)
        cuts = [begin + (end - begin) * k // many for k in range(many + 1)] if many else []
        for low, high in pairwise(cuts):
            W = max(1, min(shape.workers, (high - low) // CHUNK))
            each = -(-(high - low) // (W * CHUNK))
            found.append(Piece(divmod(block, shape.parts[1]), low, high, first, W, each))
            first += W * each
    return found


class Issue:
    """Issues the copies and visits of an epoch, with the events between them.

    Parameters
    ----------
    make : object
        Gives what operations do: ``bring(k, piece)`` copies a piece to buffer k, ``carry(side,
        slot, part, home)`` a part to its buffer or home, ``visit(k, piece, slots, low, high)``
        visits so many ratings of each worker.
    shape : Shape
    held : list of list of int
        Part in each buffer of each side, -1: none; is changed to what they hold at the end.
    bytes_of : callable
        ``bytes_of(side, part)``.
    """

    def __init__(
        self, make: Any, shape: Shape, held: list[list[int]], bytes_of: Callable[[int, int], int]
    ) -> None:
        self.make, self.shape, self.held, self._bytes = make, shape, held, bytes_of
        self.program = Program()
        self._used = [0, 0]  # buffers that the last piece used

    def epoch(self, pieces: list[Piece], chunk: int) -> list[Op]:
        """Write an epoch down.

        Parameters
        ----------
        pieces : list of Piece
        chunk : int
            Most visits of a kernel.
        """
        for number, piece in enumerate(pieces):
            self._piece(number % 2, piece, chunk)
        return self.program.ops

    def _piece(self, k: int, piece: Piece, chunk: int) -> None:
        program = self.program
        program.wait(IN, ("visited", k))
        program.copy(
            IN, self.make.bring(k, piece), tag=RATINGS_IN, block=piece.block,
            bytes=TRIPLE_BYTES * (piece.high - piece.low) + 8 * piece.workers * piece.chunks,
        )  # fmt: skip
        program.record(IN, ("brought", k))
        slots = [self._have(side, part) for side, part in enumerate(piece.block)]
        program.wait(COMPUTE, ("brought", k))
        for side, slot in enumerate(slots):
            program.wait(COMPUTE, ("in", side, slot))
        stop = CHUNK * piece.chunks
        size = max(1, min(chunk // piece.workers, stop))
        for low in range(0, stop, size):
            high = min(stop, low + size)
            run = self.make.visit(k, piece, slots, low, high)
            visits = piece.workers * (high - low)
            program.kernel(COMPUTE, run, ratings=visits, block=piece.block)
        program.record(COMPUTE, ("visited", k))
        for side, slot in enumerate(slots):
            program.record(COMPUTE, ("used", side, slot))

    def _have(self, side: int, part: int) -> int:
        """Bring a part to a buffer that the last piece does not use; return which."""
        held = self.held[side]
        if part in held:
            self._used[side] = held.index(part)
            return self._used[side]
        slot, program = 1 - self._used[side], self.program
        if held[slot] >= 0:
            program.wait(OUT, ("used", side, slot))
            self._carry(OUT, side, slot, held[slot])
            program.record(OUT, ("out", side, slot))
            program.wait(IN, ("out", side, slot))  # so that what is copied in later has come home
        self._carry(IN, side, slot, part)
        program.record(IN, ("in", side, slot))
        held[slot], self._used[side] = part, slot
        return slot

    def _carry(self, stream: int, side: int, slot: int, part: int) -> None:
        home = stream == OUT
        self.program.copy(
            stream, self.make.carry(side, slot, part, home), kind="d2h" if home else "h2d",
            bytes=self._bytes(side, part), tag=(SIDE_OUT if home else SIDE_IN) + side,
            block=(part, slot),
        )  # fmt: skip

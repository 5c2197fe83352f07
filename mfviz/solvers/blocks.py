"""The ratings of a problem as a grid of blocks, laid out by the crew.

The grid is that of :func:`mfviz.data.layout.grid`, which says what a block is; this is its fast
way into packed records, without the table of where each rating came from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfviz.backends.host import Crew
from mfviz.data.layout import deal
from mfviz.data.problem import Problem
from mfviz.kernels.grid_layout import count_blocks, order_block, place_blocks
from mfviz.kernels.order import TRIPLE
from mfviz.solvers.base import Context
from mfviz.solvers.stochastic import Records

__all__ = ["deal_sides", "lay_out_blocks", "place_ratings"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


def lay_out_blocks(
    problem: Problem,
    context: Context,
    d: int,
    rng: np.random.Generator,
    *,
    shuffle: bool = True,
    by: str = "",
    scale: float = 1.0,
    columns: int = 0,
) -> tuple[Records, Int64]:
    """Copy the training ratings into records, block by block of a grid.

    Parameters
    ----------
    problem : Problem
    context : Context
        Its crew does the work and its ledger gives the arrays.
    d : int
        Row blocks.
    rng : numpy.random.Generator
        Deals users, then items, to blocks.
    shuffle : bool
        Whether they are dealt at random.
    by, scale
        As for :func:`place_ratings`.
    columns : int
        Column blocks c; 0: d.

    Returns
    -------
    (nnz,) TRIPLE and (d * c + 1,) int64
        Block ``row * c + col`` owns records ``offsets[block] : offsets[block + 1]``.
    """
    nnz, shape, ledger = problem.train.nnz, (d, columns or d), context.ledger
    records: Records = ledger.empty("ratings", nnz, TRIPLE, part="ratings by user")
    offsets: Int64 = ledger.empty("block offsets", shape[0] * shape[1] + 1, np.int64)
    dealt = deal_sides(problem, shape, rng if shuffle else None)
    place_ratings(problem, context.crew, dealt, shape[1], records, offsets, by=by, scale=scale)
    return records, offsets


def deal_sides(
    problem: Problem, shape: tuple[int, int], rng: np.random.Generator | None
) -> tuple[Int32, Int32]:
    """Deal users to row blocks, then items to column blocks; see :func:`mfviz.data.layout.deal`.

    Parameters
    ----------
    problem : Problem
    shape : (int, int)
        Row blocks and column blocks.
    rng : numpy.random.Generator, optional
        Deals at random; without it blocks are of contiguous numbers.
    """
    return deal(problem.n_users, shape[0], rng), deal(problem.n_items, shape[1], rng)


def place_ratings(
    problem: Problem,
    crew: Crew,
    dealt: tuple[Int32, Int32],
    columns: int,
    records: Records,
    offsets: Int64,
    *,
    by: str = "",
    scale: float = 1.0,
) -> None:
    """Write the training ratings block by block.

    Parameters
    ----------
    problem : Problem
    crew : Crew
    dealt : (m,) and (n,) int32
        Row block of each user and column block of each item.
    columns : int
        Column blocks.
    records : (nnz,) TRIPLE, written
    offsets : (blocks + 1,) int64, written
        Places of the blocks.
    by : str
        Order inside each block: "" as in the source, "row" user by user, "col" item by item; in
        the last case the field ``u`` of a record is its item, and ``i`` its user.
    scale : float
        Values are divided by it.
    """
    train, T, blocks = problem.train, crew.workers, len(offsets) - 1
    rows, cols = dealt[0] * np.int32(columns), dealt[1]
    parts = [train.nnz * w // T for w in range(T + 1)]
    starts = np.zeros((T, blocks), dtype=np.int64)

    def count(w: int) -> None:
        count_blocks(train.u, train.i, rows, cols, parts[w], parts[w + 1], starts[w])

    def place(w: int) -> None:
        place_blocks(
            train.u, train.i, train.r, np.float32(scale), rows, cols, parts[w], parts[w + 1],
            starts[w], by == "col", records,
        )  # fmt: skip

    crew.run(count)
    offsets[0] = 0
    np.cumsum(starts.sum(axis=0), out=offsets[1:])
    starts[:] = offsets[:-1] + np.cumsum(starts, axis=0) - starts
    crew.run(place)
    if by:
        rows_of_u = problem.n_users if by == "row" else problem.n_items
        crew.run(lambda w: _order(records, offsets, rows_of_u, w, T))


def _order(records: Records, offsets: Int64, rows: int, worker: int, workers: int) -> None:
    """Order every ``workers``-th block by the field ``u``, which has so many values."""
    places = np.empty(rows + 1, dtype=np.int64)
    scratch = np.empty(int(np.diff(offsets).max()), dtype=TRIPLE)
    for block in range(worker, len(offsets) - 1, workers):
        order_block(records, offsets[block], offsets[block + 1], places, scratch)

"""The ratings of a problem as a grid of blocks, laid out by the crew.

The grid is that of :func:`mfviz.data.layout.grid`, which says what a block is; this is its fast
way into packed records, without the table of where each rating came from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfviz.data.layout import deal
from mfviz.data.problem import Problem
from mfviz.kernels.grid_layout import count_blocks, order_block, place_blocks
from mfviz.kernels.order import TRIPLE
from mfviz.solvers.base import Context
from mfviz.solvers.stochastic import Records

__all__ = ["lay_out_blocks"]

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
    d, columns : int
        Row blocks and column blocks c; 0 columns: d.
    rng : numpy.random.Generator
        Deals users, then items, to blocks.
    shuffle : bool
        Whether they are dealt at random.
    by : str
        Order inside each block: "" as in the source, "row" user by user, "col" item by item; then
        the field ``u`` of a record is its item, and ``i`` its user.
    scale : float
        Divides the values.

    Returns
    -------
    (nnz,) TRIPLE and (d * c + 1,) int64
        Block ``row * c + col`` owns records ``offsets[block] : offsets[block + 1]``.
    """
    train, crew, T = problem.train, context.crew, context.crew.workers
    c = columns or d
    records: Records = context.ledger.empty("ratings", train.nnz, TRIPLE, part="ratings by user")
    offsets = context.ledger.empty("block offsets", d * c + 1, np.int64)
    dealer = rng if shuffle else None
    rows, cols = deal(problem.n_users, d, dealer) * np.int32(c), deal(problem.n_items, c, dealer)
    parts = [train.nnz * w // T for w in range(T + 1)]
    starts = np.zeros((T, d * c), dtype=np.int64)

    def count(w: int) -> None:
        count_blocks(train.u, train.i, rows, cols, parts[w], parts[w + 1], starts[w])

    def place(w: int) -> None:
        place_blocks(
            train.u, train.i, train.r, np.float32(scale), rows, cols, parts[w], parts[w + 1],
            starts[w], by == "col", records,
        )  # fmt: skip

    crew.run(count)
    offsets[:] = np.append(0, np.cumsum(starts.sum(axis=0)))
    starts[:] = offsets[:-1] + np.cumsum(starts, axis=0) - starts
    crew.run(place)
    if by:
        rows_of_u = problem.n_users if by == "row" else problem.n_items
        crew.run(lambda w: _order(records, offsets, rows_of_u, w, T))
    return records, offsets


def _order(records: Records, offsets: Int64, rows: int, worker: int, workers: int) -> None:
    """Order every ``workers``-th block by the field ``u``, which has so many values."""
    places = np.empty(rows + 1, dtype=np.int64)
    scratch = np.empty(int(np.diff(offsets).max()), dtype=TRIPLE)
    for block in range(worker, len(offsets) - 1, workers):
        order_block(records, offsets[block], offsets[block + 1], places, scratch)

"""Ratings laid out as a grid of blocks, for the solvers that work block by block.

Users are dealt to ``rows`` row blocks and items to ``cols`` column blocks, by a random permutation
so that a block is a fair sample and not "the oldest users". Two blocks that differ in row *and*
column share no user and no item: they may be updated at the same time. Source: Gemulla et al. 2011
(stratified SGD); Zhuang et al. 2013 for the order inside a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mfviz.data.numbering import stable_order
from mfviz.data.ratings import Ratings
from mfviz.errors import ParameterError

__all__ = ["WITHIN", "Grid", "deal", "grid"]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

MOST_BLOCKS = 4096  # along one side
WITHIN = ("none", "random", "row", "col")


@dataclass(frozen=True, eq=False)
class Grid:
    """Ratings in the order of their blocks; block (row, col) is number ``row * cols + col``.

    Attributes
    ----------
    rows, cols : int
        Blocks along each side.
    offsets : (rows * cols + 1,) int64
        Block ``b`` owns positions ``offsets[b]:offsets[b + 1]`` of ``u``, ``i`` and ``r``.
    order : (nnz,) int64
        Position in the source ratings of each rating of the grid. A solver that does not replay
        the order need not keep it.
    u, i : (nnz,) int32
        User and item numbers, those of the source.
    r : (nnz,) float32
        Rating values.
    row_of_user : (n_users,) int32
        Row block of each user.
    col_of_item : (n_items,) int32
        Column block of each item.
    """

    rows: int
    cols: int
    offsets: Int64
    order: Int64
    u: Int32
    i: Int32
    r: npt.NDArray[np.float32]
    row_of_user: Int32
    col_of_item: Int32

    def block(self, row: int, col: int) -> slice:
        """Positions of a block."""
        at = row * self.cols + col
        return slice(int(self.offsets[at]), int(self.offsets[at + 1]))

    @property
    def counts(self) -> Int64:
        """Ratings of each block, as a (rows, cols) array."""
        return np.diff(self.offsets).reshape(self.rows, self.cols)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.u, self.i, self.r, self.order, self.offsets)
        return sum(a.nbytes for a in (*arrays, self.row_of_user, self.col_of_item))


def grid(
    ratings: Ratings,
    rows: int,
    cols: int,
    rng: np.random.Generator,
    *,
    shuffle: bool = True,
    sort_within: str = "none",
) -> Grid:
    """Lay ratings out as ``rows`` x ``cols`` blocks.

    Parameters
    ----------
    ratings : Ratings
    rows, cols : int
        From 1 to 4096. More blocks than users or items leave some empty.
    rng : numpy.random.Generator
        Draws one permutation of the users, one of the items, and for "random" one of the ratings,
        in this order; nothing where ``shuffle`` is off and ``sort_within`` is another.
    shuffle : bool
        Deal users and items at random; if off, blocks hold contiguous numbers (the teaching
        switch: sorted ids make unequal blocks).
    sort_within : str
        Order inside each block: "none" as in the source, "random" shuffled, "row" user by user
        and "col" item by item (one factor row stays in cache, as in FPSGD), ties as in the source.

    Returns
    -------
    Grid

    Raises
    ------
    ParameterError
        If a number of blocks or the order is out of bounds.
    """
    _check(rows, cols, sort_within)
    row_of_user = deal(ratings.n_users, rows, rng if shuffle else None)
    col_of_item = deal(ratings.n_items, cols, rng if shuffle else None)
    first = _before(ratings, sort_within, rng)
    block = row_of_user[ratings.u].astype(np.int64)
    block *= cols
    block += col_of_item[ratings.i]
    if first is None:
        order = stable_order(block, rows * cols)
    else:
        order = first[stable_order(block[first], rows * cols)]
    offsets = np.zeros(rows * cols + 1, dtype=np.int64)
    np.cumsum(np.bincount(block, minlength=rows * cols), out=offsets[1:])
    u, i, r = ratings.u[order], ratings.i[order], ratings.r[order]
    return Grid(rows, cols, offsets, order, u, i, r, row_of_user, col_of_item)


def deal(count: int, blocks: int, rng: np.random.Generator | None) -> Int32:
    """Assign ``count`` rows to blocks whose sizes differ by one at most.

    Parameters
    ----------
    count, blocks : int
    rng : numpy.random.Generator, optional
        Deals them at random; without it blocks are of contiguous numbers.
    """
    slots = (np.arange(count, dtype=np.int64) * blocks // count).astype(np.int32)
    return slots if rng is None else slots[rng.permutation(count)]


def _check(rows: int, cols: int, sort_within: str) -> None:
    if not (1 <= rows <= MOST_BLOCKS and 1 <= cols <= MOST_BLOCKS):
        raise ParameterError(
            f"a grid of {rows} x {cols} blocks is out of bounds; each side needs 1 to "
            f"{MOST_BLOCKS}.",
            "grid",
        )
    if sort_within not in WITHIN:
        raise ParameterError(
            f"sort_within is {sort_within!r}; it must be one of {', '.join(WITHIN)}.",
            "sort_within",
        )


def _before(ratings: Ratings, within: str, rng: np.random.Generator) -> Int64 | None:
    """Order to bring the ratings into before they are sorted by block, which is stable."""
    if within == "random":
        return rng.permutation(ratings.nnz)
    if within == "none":
        return None
    side, count = (ratings.u, ratings.n_users) if within == "row" else (ratings.i, ratings.n_items)
    if (side[1:] >= side[:-1]).all():
        return None  # a file sorted by user is in that order already
    return stable_order(side, count)

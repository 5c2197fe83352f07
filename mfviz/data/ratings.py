"""Ratings as three arrays, with the user's own ids kept beside them.

Users are ``u`` and items are ``i`` everywhere in mfviz, on the GPU too. Inside, both are dense
``int32`` numbers from 0; :class:`Ratings` keeps the ids that the user brought and maps back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.data.numbering import lookup, number, stable_order
from mfviz.data.pieces import each, pieces
from mfviz.errors import DataError

__all__ = ["NO_TIME", "Compressed", "Ratings", "compress"]

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]

NO_TIME = int(np.iinfo(np.int64).min)  # as NumPy's NaT
BITMAP_CELLS = 1 << 27  # matrices up to this size find duplicates in a table of one byte a cell


@dataclass(frozen=True)
class Compressed:
    """Ratings grouped by one side (CSR by user or CSC by item).

    Attributes
    ----------
    indptr : (rows + 1,) int64
        Row ``k`` owns positions ``indptr[k]:indptr[k + 1]``.
    index : (nnz,) int32
        The other side's number, in the order of the source ratings within a row.
    r : (nnz,) float32
        Rating values.
    """

    indptr: npt.NDArray[np.int64]
    index: Int32
    r: Float32

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays."""
        return self.indptr.nbytes + self.index.nbytes + self.r.nbytes


def compress(row: Int32, col: Int32, r: Float32, n_rows: int) -> Compressed:
    """Group ratings by ``row``, keeping their order within a row.

    Parameters
    ----------
    row, col : (nnz,) int32
        The side to group by, and the other side.
    r : (nnz,) float32
        Rating values.
    n_rows : int
        Number of rows, so that empty ones get an empty range.

    Returns
    -------
    Compressed
    """
    order = stable_order(row, n_rows)
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=n_rows), out=indptr[1:])
    return Compressed(indptr, col[order], r[order])


@dataclass(frozen=True, eq=False)
class Ratings:
    """Immutable ratings of ``n_users`` users for ``n_items`` items.

    Attributes
    ----------
    u, i : (nnz,) int32
        User and item numbers, dense from 0.
    r : (nnz,) float32
        Rating values, finite.
    user_ids, item_ids : (n_users,), (n_items,) array
        The ids that the user brought, at the position of their number (integers or strings).
    name : str
        What to call these ratings on a screen.
    notices : tuple of str
        Sentences about the data that a user should see (duplicates kept, single user, ...).
    times : (nnz,) int64, optional
        When each rating was given, in seconds since 1970 as a rule (any number that grows will
        do); :data:`NO_TIME` where that is not known. None where no time is known.
    """

    u: Int32
    i: Int32
    r: Float32
    user_ids: npt.NDArray[Any]
    item_ids: npt.NDArray[Any]
    name: str = "ratings"
    notices: tuple[str, ...] = field(default=())
    times: npt.NDArray[np.int64] | None = None

    @classmethod
    def from_triples(
        cls,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        name: str = "ratings",
        notices: Sequence[str] = (),
        times: npt.NDArray[np.int64] | None = None,
    ) -> Ratings:
        """Build ratings from ids of any type, numbering both sides densely.

        Parameters
        ----------
        users, items : (nnz,) array_like of int or str
            Ids as the user wrote them; numbered in ascending order of id.
        values : (nnz,) array_like of float
            Ratings; NaN and infinities are refused.
        name : str
            Shown name.
        notices : sequence of str
            Sentences to carry along; notices on duplicates and on one-sided shapes are added.
        times : (nnz,) int64, optional
            As of the class.

        Raises
        ------
        DataError
            If the lengths differ, nothing is left, or a value is not finite.
        """
        user_ids, u = _numbered(users, f"{name}: user")
        item_ids, i = _numbered(items, f"{name}: item")
        r = _values(values, name)
        if not (len(u) == len(i) == len(r)):
            raise DataError(
                f"{name}: found {len(u)} users, {len(i)} items and {len(r)} ratings; "
                "the three must have one entry for each rating."
            )
        return cls.from_numbers(
            u, i, r, user_ids, item_ids, name=name, notices=notices, times=times
        )

    @classmethod
    def from_numbers(
        cls,
        u: Int32,
        i: Int32,
        r: Float32,
        user_ids: npt.NDArray[Any],
        item_ids: npt.NDArray[Any],
        *,
        name: str = "ratings",
        notices: Sequence[str] = (),
        times: npt.NDArray[np.int64] | None = None,
    ) -> Ratings:
        """Build ratings that are numbered already, and look at their shape.

        Parameters
        ----------
        u, i : (nnz,) int32
            Dense numbers; each user and each item has a rating.
        r : (nnz,) float32
            Finite.
        user_ids, item_ids : (n_users,), (n_items,) int64 or str array
            Ids in ascending order.
        name : str
            Shown name.
        notices : sequence of str
            Sentences to carry along; notices on duplicates and on one-sided shapes are added.
        times : (nnz,) int64, optional
            As of the class.

        Raises
        ------
        DataError
            If there is no rating.
        """
        if len(r) == 0:
            raise DataError(f"{name}: found no rating; at least one user, item, rating is needed.")
        if times is not None and times.shape != r.shape:
            raise DataError(
                f"{name}: found {times.size} times and {len(r)} ratings; there must be one time "
                "for each rating."
            )
        bare = cls(u, i, r, user_ids, item_ids, name, (), times)
        ratings = replace(bare, notices=(*notices, *bare._shape_notices()))
        vars(ratings)["duplicates"] = bare.duplicates  # the count is dear; carry it over
        return ratings

    def __post_init__(self) -> None:
        # Views are frozen, not the arrays themselves: those may belong to the caller.
        for part in ("u", "i", "r", "user_ids", "item_ids", "times"):
            if getattr(self, part) is None:
                continue
            view = getattr(self, part).view()
            view.flags.writeable = False
            object.__setattr__(self, part, view)

    @property
    def n_users(self) -> int:
        """Number of users ``m``."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items ``n``."""
        return len(self.item_ids)

    @property
    def nnz(self) -> int:
        """Number of ratings."""
        return len(self.r)

    @property
    def nbytes(self) -> int:
        """Bytes of ``u``, ``i`` and ``r``: 12 a rating."""
        return self.u.nbytes + self.i.nbytes + self.r.nbytes

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Smallest and largest rating; zeros where there is none."""
        return (float(self.r.min()), float(self.r.max())) if self.nnz else (0.0, 0.0)

    @cached_property
    def mean(self) -> float:
        """Mean rating, accumulated in float64; 0 where there is none."""
        return float(self.r.mean(dtype=np.float64)) if self.nnz else 0.0

    @cached_property
    def user_counts(self) -> npt.NDArray[np.int64]:
        """Ratings of each user, (n_users,)."""
        return np.bincount(self.u, minlength=self.n_users).astype(np.int64)

    @cached_property
    def item_counts(self) -> npt.NDArray[np.int64]:
        """Ratings of each item, (n_items,)."""
        return np.bincount(self.i, minlength=self.n_items).astype(np.int64)

    @cached_property
    def duplicates(self) -> int:
        """Ratings whose (user, item) pair has come before; they are kept."""
        for major, minor in ((self.u, self.i), (self.i, self.u)):
            if all(each(partial(_rises, major), pieces(self.nnz))):
                # As nearly all files are: then a pair can only be repeated near by.
                return sum(each(partial(_repeated, major, minor), _runs(major)))
        pair = self.pairs()
        cells = self.n_users * self.n_items
        if cells <= BITMAP_CELLS:
            seen = np.zeros(cells, dtype=np.bool_)
            seen[pair] = True
            return self.nnz - int(np.count_nonzero(seen))
        pair.sort()
        return int(np.count_nonzero(pair[1:] == pair[:-1]))

    def pairs(self) -> npt.NDArray[np.int64]:
        """Return the cells of the matrix that are rated, as ``u * n_items + i`` (a new array)."""
        cell = self.u.astype(np.int64)
        cell *= self.n_items
        cell += self.i
        return cell

    def user_numbers(self, ids: npt.ArrayLike) -> Int32:
        """Numbers of users by the ids that the user brought; -1 where an id is not known."""
        return lookup(self.user_ids, ids)

    def item_numbers(self, ids: npt.ArrayLike) -> Int32:
        """Numbers of items by the ids that the user brought; -1 where an id is not known."""
        return lookup(self.item_ids, ids)

    def csr(self) -> Compressed:
        """Ratings grouped by user (a new copy on each call)."""
        return compress(self.u, self.i, self.r, self.n_users)

    def csc(self) -> Compressed:
        """Ratings grouped by item (a new copy on each call)."""
        return compress(self.i, self.u, self.r, self.n_items)

    def _shape_notices(self) -> list[str]:
        found = []
        if self.duplicates:
            found.append(f"{self.duplicates:,} repeated (user, item) pairs; all ratings are kept.")
        if self.n_users == 1 or self.n_items == 1:
            found.append(
                f"{self.n_users} user(s) x {self.n_items} item(s): one side has a single row, "
                "so there is nothing to run in parallel on it."
            )
        return found


def _rises(numbers: Int32, part: slice) -> bool:
    """Whether numbers never fall within a piece, the one before it included."""
    piece = numbers[max(0, part.start - 1) : part.stop]
    return bool((piece[1:] >= piece[:-1]).all())


def _runs(major: Int32) -> list[slice]:
    """Pieces of ascending numbers such that no number is in two of them."""
    starts = [part.start for part in pieces(len(major))]
    ends = {int(np.searchsorted(major, major[at])) for at in starts} | {len(major)}
    return [slice(*pair) for pair in itertools.pairwise(sorted(ends))]


def _repeated(major: Int32, minor: Int32, part: slice) -> int:
    """Count the pairs of a piece that have come before in it."""
    pair = major[part].astype(np.int64)
    pair <<= 32
    pair |= minor[part]
    if (pair[1:] > pair[:-1]).all():
        return 0
    pair.sort()
    return int(np.count_nonzero(pair[1:] == pair[:-1]))


def _numbered(ids: npt.ArrayLike, what: str) -> tuple[npt.NDArray[Any], Int32]:
    try:
        return number(ids)
    except DataError as error:
        raise DataError(f"{what} {error}") from None


def _values(values: npt.ArrayLike, name: str) -> Float32:
    """Copy rating values as finite float32."""
    try:
        given = np.asarray(values).ravel()
        if given.dtype.kind not in "biufOSU":
            raise TypeError(f"type {given.dtype}")
        with np.errstate(over="ignore"):
            wide = given if given.dtype.kind in "biuf" else given.astype(np.float64)
            r: Float32 = np.array(wide, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name}: found ratings that are no numbers ({error}); every rating must be a finite "
            "number. Remove or correct them."
        ) from None
    if not np.isfinite(r).all():
        at = int(np.flatnonzero(~np.isfinite(r))[0])
        raise DataError(
            f"{name}: rating {at + 1} is {given[at]}; every rating must be a finite number "
            "(as float32). Remove or correct it."
        )
    return r

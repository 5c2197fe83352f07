"""Ratings as three arrays, with the user's own ids kept beside them.

Users are ``u`` and items are ``i`` everywhere in mfviz, on the GPU too. Inside, both are dense
``int32`` numbers from 0; :class:`Ratings` keeps the ids that the user brought and maps back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.errors import DataError

__all__ = ["Compressed", "Ratings", "compress"]

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


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
    """Group ratings by ``row`` with a stable sort.

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
    order = np.argsort(row, kind="stable")
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
    """

    u: Int32
    i: Int32
    r: Float32
    user_ids: npt.NDArray[Any]
    item_ids: npt.NDArray[Any]
    name: str = "ratings"
    notices: tuple[str, ...] = field(default=())

    @classmethod
    def from_triples(
        cls,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        name: str = "ratings",
        notices: Sequence[str] = (),
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

        Raises
        ------
        DataError
            If the lengths differ, nothing is left, or a value is not finite.
        """
        u_raw, i_raw = np.asarray(users).ravel(), np.asarray(items).ravel()
        r = np.array(values, dtype=np.float32).ravel()
        if not (len(u_raw) == len(i_raw) == len(r)):
            raise DataError(
                f"{name}: found {len(u_raw)} users, {len(i_raw)} items and {len(r)} ratings; "
                "the three must have one entry for each rating."
            )
        if len(r) == 0:
            raise DataError(f"{name}: found no rating; at least one user, item, rating is needed.")
        if not np.isfinite(r).all():
            at = int(np.flatnonzero(~np.isfinite(r))[0])
            raise DataError(
                f"{name}: rating {at + 1} is {r[at]}; every rating must be a finite number. "
                "Remove or correct it."
            )
        user_ids, u = np.unique(u_raw, return_inverse=True)
        item_ids, i = np.unique(i_raw, return_inverse=True)
        ratings = cls(
            u.astype(np.int32), i.astype(np.int32), r, user_ids, item_ids, name, tuple(notices)
        )
        return replace(ratings, notices=(*ratings.notices, *ratings._shape_notices()))

    def __post_init__(self) -> None:
        for array in (self.u, self.i, self.r, self.user_ids, self.item_ids):
            array.flags.writeable = False

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

    @property
    def scale(self) -> tuple[float, float]:
        """Smallest and largest rating."""
        return float(self.r.min()), float(self.r.max())

    @cached_property
    def mean(self) -> float:
        """Mean rating, accumulated in float64."""
        return float(self.r.mean(dtype=np.float64)) if self.nnz else 0.0

    @cached_property
    def duplicates(self) -> int:
        """Ratings whose (user, item) pair has come before; they are kept."""
        pair = self.u.astype(np.int64) * self.n_items + self.i
        return self.nnz - len(np.unique(pair))

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

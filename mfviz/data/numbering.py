"""Ids of any type to dense numbers, and back.

Inside mfviz a user or an item is an ``int32`` number from 0; outside it keeps the id that the user
brought. Ids are held in one of two forms, so that two files always compare: ``int64``, or text.
Numbers follow the ascending order of the ids.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfviz.errors import DataError

__all__ = ["lookup", "lookup_any", "number", "plain", "stable_order"]

Ids = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]

RADIX = 1 << 16  # NumPy sorts 16-bit keys by radix, wider ones by comparison


def plain(ids: npt.ArrayLike) -> Ids:
    """Bring ids into one of the two forms that mfviz holds.

    Parameters
    ----------
    ids : array_like
        Whole numbers of any width (floats too if they are whole), text, bytes, or a mix of whole
        numbers and text, which becomes text.

    Returns
    -------
    (count,) int64 or str array

    Raises
    ------
    DataError
        If an id is missing, broken or neither a whole number nor text.
    """
    try:
        array = np.asarray(ids).ravel()
    except ValueError as error:
        raise DataError(f"ids are no flat list of whole numbers or text: {error}.") from None
    kind = array.dtype.kind
    if kind in "bi":
        return array.astype(np.int64, copy=False)
    if kind == "u":
        if len(array) and int(array.max()) > np.iinfo(np.int64).max:
            return array.astype(str)
        return array.astype(np.int64, copy=False)
    if kind == "f":
        return _whole(array)
    if kind == "U":
        return array
    if kind in "SOT":
        return _objects(array.astype(object, copy=False))
    raise DataError(f"ids are of type {array.dtype}; they must be whole numbers or text.")


def number(ids: npt.ArrayLike) -> tuple[Ids, Int32]:
    """Number ids densely from 0 in ascending order.

    Parameters
    ----------
    ids : (count,) array_like
        As :func:`plain` takes them.

    Returns
    -------
    known : (distinct,) int64 or str array
        The distinct ids, ascending.
    numbers : (count,) int32
        ``known[numbers]`` are the ids.

    Raises
    ------
    DataError
        As :func:`plain`.

    Notes
    -----
    Whole numbers of a reasonable range go through a table in linear time (a sort of 25 M ids takes
    20 times as long); the rest is hashed, and only the distinct ids are sorted.
    """
    array = plain(ids)
    if array.dtype.kind == "i" and len(array):
        low, high = int(array.min()), int(array.max())
        if high - low < max(4 * len(array), 1 << 20):
            return _tabulate(array, low, high - low + 1)
    if array.dtype.kind == "U":
        codes, found = pd.factorize(array.astype(object))
        found = np.asarray(found, dtype=array.dtype)
    else:
        codes, found = pd.factorize(array)
    order = np.argsort(found, kind="stable")
    rank = np.empty(len(found), dtype=np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    return found[order], rank[codes]


def lookup(known: Ids, wanted: npt.ArrayLike) -> Int32:
    """Find the numbers of ids.

    Parameters
    ----------
    known : (distinct,) int64 or str array
        Ids at the position of their number; those of ascending order are not sorted first.
    wanted : (count,) array_like
        Ids to find. The number 7 and the text "7" are the same id here, because one file may have
        been read as whole numbers and the other as text.

    Returns
    -------
    (count,) int32
        Numbers; -1 where an id is not known.

    Raises
    ------
    DataError
        As :func:`plain`.
    """
    array = plain(wanted)
    if len(known) == 0 or len(array) == 0:
        return np.full(len(array), -1, dtype=np.int32)
    order = None
    if known.dtype.kind != array.dtype.kind:
        known, array = known.astype(str), array.astype(str)
    if not (known[1:] > known[:-1]).all():
        order = np.argsort(known, kind="stable")
        known = known[order]
    at = np.minimum(np.searchsorted(known, array), len(known) - 1)
    number = at if order is None else order[at]
    return np.where(known[at] == array, number, -1).astype(np.int32)


def lookup_any(known: Ids, wanted: npt.ArrayLike) -> Int32:
    """Find the numbers of ids as :func:`lookup` does; what can be no id, as None, is not known.

    Parameters
    ----------
    known : (distinct,) int64 or str array
    wanted : (count,) array_like
        Of any values.

    Returns
    -------
    (count,) int32
        Numbers; -1 where an id is not known.
    """
    try:
        return lookup(known, wanted)
    except DataError:
        array = np.asarray(wanted, dtype=object).ravel()
        usable = np.array([_is_id(value) for value in array], dtype=np.bool_)
        found = np.full(len(array), -1, dtype=np.int32)
        found[usable] = lookup(known, array[usable])
        return found


def _is_id(value: object) -> bool:
    try:
        plain(np.array([value], dtype=object))
    except DataError:
        return False
    return True


def stable_order(keys: npt.NDArray[np.integer[Any]], count: int) -> npt.NDArray[np.int64]:
    """Return the stable sorting order of small whole numbers, by radix.

    Parameters
    ----------
    keys : (nnz,) int
        Values in ``[0, count)``.
    count : int
        At most 2**32.

    Returns
    -------
    (nnz,) int64
        Positions in the order of their keys; equal keys keep their order.
    """
    if count <= RADIX:
        return np.argsort(keys.astype(np.uint16), kind="stable")
    low = np.argsort((keys & (RADIX - 1)).astype(np.uint16), kind="stable")
    high = (keys >> 16).astype(np.uint16)
    return low[np.argsort(high[low], kind="stable")]


def _tabulate(array: Ids, low: int, span: int) -> tuple[Ids, Int32]:
    """Number whole numbers in ``[low, low + span)`` through a table."""
    shifted = array - low if low else array
    seen = np.zeros(span, dtype=np.bool_)
    seen[shifted] = True
    found = np.flatnonzero(seen)
    table = np.empty(span, dtype=np.int32)
    table[found] = np.arange(len(found), dtype=np.int32)
    return found.astype(np.int64) + low, table[shifted]


def _whole(array: Ids) -> Ids:
    """Turn whole floats into int64; pandas makes floats of ids where a column had a gap."""
    bad = ~(np.isfinite(array) & (np.abs(array) < 2.0**53))
    bad |= np.where(bad, 0, array) != np.floor(np.where(bad, 0, array))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"id {at + 1} is {array[at]}; ids must be whole numbers or text. "
            "Remove that rating or correct its id."
        )
    return array.astype(np.int64)


def _objects(array: Ids) -> Ids:
    """Bring Python objects into one form."""
    values = [_object(at, value) for at, value in enumerate(array.tolist())]
    if all(type(value) is int for value in values):
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    return np.array([str(value) for value in values], dtype=str)


def _object(at: int, value: object) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise DataError(
        f"id {at + 1} is {value!r}; ids must be whole numbers or text. "
        "Remove that rating or correct its id."
    )

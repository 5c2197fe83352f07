"""Ratings from what a person has in Python: arrays, frames and sparse matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfviz.data.ratings import Ratings
from mfviz.errors import DataError

__all__ = ["as_ratings"]


def as_ratings(given: Any, name: str = "ratings", *, columns: Sequence[str | int] = ()) -> Ratings:
    """Turn what a user has into :class:`Ratings`.

    Parameters
    ----------
    given : Ratings, (users, items, values), frame or scipy.sparse matrix
        Ids may be integers or strings. A frame is one of pandas, polars, Arrow or any library that
        hands its columns to Arrow: they are found by name (user, item, rating, time and their
        common spellings), or by order if there are three. In a sparse matrix users are rows,
        items are columns, and what is stored is a rating, stored zeros too.
    name : str
        Shown name.
    columns : sequence of str or int
        Columns of a frame to take as user, item, rating and perhaps time.

    Returns
    -------
    Ratings

    Raises
    ------
    DataError
        If it is none of these, or holds values that are no ratings.
    """
    if isinstance(given, Ratings):
        return given
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return _from_pandas(given, name, columns)
    if hasattr(given, "__arrow_c_stream__"):
        return _from_arrow(given, name, columns)
    if hasattr(given, "tocoo"):
        coo = given.tocoo()
        if coo.ndim != 2:
            raise DataError(f"{name}: found {coo.ndim} dimensions; users x items are needed.")
        return Ratings.from_triples(coo.row, coo.col, coo.data, name=name)
    if isinstance(given, tuple | list) and len(given) == 3:
        return Ratings.from_triples(*given, name=name)
    found = type(given).__name__
    if isinstance(given, np.ndarray):
        found = f"an array of shape {given.shape}"
    elif isinstance(given, str | Path):
        found = f"the {found} {str(given)!r} (mfviz.load reads files and names)"
    raise DataError(
        f"{name}: found {found}; give Ratings, three arrays (users, items, values), a frame of "
        "pandas, polars or Arrow, or a scipy.sparse matrix."
    )


def _from_pandas(frame: Any, name: str, columns: Sequence[str | int]) -> Ratings:
    from mfviz.data.tables import roles_of, told_of

    roles = roles_of(list(map(str, frame.columns)), columns, name)
    user, item, rating = (
        frame.iloc[:, at].to_numpy() for at in (roles.user, roles.item, roles.rating)
    )
    times = None if roles.time is None else _seconds(frame.iloc[:, roles.time])
    told = told_of([str(frame.columns[at]) for at in (roles.user, roles.item, roles.rating)])
    notices = told if roles.guessed or roles.double else ()
    return Ratings.from_triples(user, item, rating, name=name, notices=notices, times=times)


def _from_arrow(given: Any, name: str, columns: Sequence[str | int]) -> Ratings:
    import pyarrow as pa

    from mfviz.data.tables import read_table, roles_of

    try:
        table = pa.table(given)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(
            f"{name}: found a {type(given).__name__} of which Arrow makes no table ({error}); "
            "columns of user, item and rating are needed."
        ) from None
    names = table.schema.names
    roles = roles_of(names, columns, name)
    wanted = [at for at in (roles.user, roles.item, roles.rating, roles.time) if at is not None]
    told = roles.guessed or roles.double
    found = read_table(table, [names[at] for at in wanted], name, guessed=told)
    return Ratings.from_numbers(
        found.u, found.i, found.r, found.user_ids, found.item_ids,
        name=name, notices=found.notices, times=found.times,
    )  # fmt: skip


def _seconds(column: Any) -> Any:
    """Times of a pandas column, None if it holds none."""
    import pyarrow as pa

    from mfviz.data.tables import times_of

    try:
        return times_of(pa.chunked_array([pa.array(column, from_pandas=True)]))
    except (TypeError, ValueError, pa.ArrowException):
        return None

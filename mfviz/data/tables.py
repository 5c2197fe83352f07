"""Tables of Arrow: Parquet files, and frames of any library that hands its columns to Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from mfviz.data.columns import Columns, take_ids, take_ratings, take_times
from mfviz.data.content import Content, printable
from mfviz.data.numbering import number
from mfviz.data.roles import ROLES, Roles, choose, pick, role
from mfviz.errors import DataError

__all__ = ["read_parquet", "read_table", "roles_of", "times_of", "told_of"]


def roles_of(names: Sequence[str], columns: Sequence[str | int], label: str) -> Roles:
    """Find the columns of a table by name, or take three in their order.

    Parameters
    ----------
    names : sequence of str
        All columns.
    columns : sequence of str or int
        As chosen by the caller; empty to find them.
    label : str
        What messages call the table.

    Raises
    ------
    DataError
        If a table of more than three columns has no names that are known.
    """
    if columns:
        return choose(columns, names, len(names), label)
    found = pick(names) if len(names) >= 3 else None
    if found is None or (found.guessed and len(names) != 3):
        known = set(map(role, names))
        missing = " or ".join(key for key in ROLES if key not in known)
        raise DataError(
            f"{label}: found the columns {printable(', '.join(names))[:200] or '(none)'}; none is "
            f"recognised as {missing}. Rename them to user, item, rating, or choose the columns."
        )
    return found


def read_parquet(source: Content, columns: Sequence[str | int] = ()) -> Columns:
    """Read a Parquet file; only the columns needed are read.

    Parameters
    ----------
    source : Content
    columns : sequence of str or int
        As of :func:`roles_of`.

    Raises
    ------
    DataError
        If the file is damaged, or its columns are no ratings.
    """
    try:
        with parquet.ParquetFile(source.path, page_checksum_verification=True) as file:
            names = list(file.schema_arrow.names)
            roles = roles_of(names, columns, source.label)
            wanted = [at for at in (roles.user, roles.item, roles.rating, roles.time)
                      if at is not None]  # fmt: skip
            table = file.read(columns=list(dict.fromkeys(names[at] for at in wanted)))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{source.label}: this Parquet file cannot be read ({printable(str(error))[:200]}); "
            "it may be truncated. Copy it again, or save it anew."
        ) from None
    return read_table(
        table, [names[at] for at in wanted], source.label, guessed=roles.guessed or roles.double
    )


def read_table(table: Any, names: Sequence[str], label: str, *, guessed: bool = False) -> Columns:
    """Turn columns of an Arrow table into ratings.

    Parameters
    ----------
    table : pyarrow.Table
    names : sequence of str
        Columns of user, item, rating and, if there is one, time.
    label : str
        What messages call the table.
    guessed : bool
        Whether the choice should be told.

    Raises
    ------
    DataError
        If a value is missing or of a wrong type: names column and row.
    """
    double = [name for name in names if table.schema.names.count(name) != 1]
    if double:
        raise DataError(f"{label}: the column {printable(double[0])!r} is there more than once.")
    user, item, rating, *time = (table.column(name) for name in names)
    for name, column in zip(names[:3], (user, item, rating), strict=True):
        if column.null_count:
            row = pc.index(pc.is_null(column), pa.scalar(True)).as_py() + 1
            raise DataError(
                f"{label}, row {row}: found no value in the column {printable(name)!r}; each "
                "rating needs one. Fill or remove that row."
            )
    user_ids, u = _ids(user, names[0], label)
    item_ids, i = _ids(item, names[1], label)
    r = _ratings(rating, names[2], label)
    told = told_of(names[:3]) if guessed else ()
    return Columns(user_ids, u, item_ids, i, r, told, times_of(time[0]) if time else None)


def told_of(names: Sequence[str]) -> tuple[str]:
    """Notice of the columns that were taken, for a choice that was no clear one.

    Parameters
    ----------
    names : sequence of str
        Columns of user, item and rating.
    """
    picked = ", ".join(repr(printable(name)) for name in names)
    return (f"Columns read as user, item and rating: {picked}.",)


def _ids(column: Any, name: str, label: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    if pa.types.is_dictionary(column.type):
        column = _decoded(column)
    kind = column.type
    try:
        if any(test(kind) for test in TEXT):
            words = column.cast(pa.large_binary()).dictionary_encode()
            return take_ids(words)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return number(column.to_numpy())
    except (ValueError, DataError, pa.ArrowException) as error:
        raise DataError(
            f"{label}: the column {printable(name)!r} holds no ids: {printable(str(error))[:200]}"
        ) from None
    raise DataError(
        f"{label}: the column {printable(name)!r} is of type {kind}; ids must be whole numbers or "
        "text. Convert it, or choose another column."
    )


def _decoded(column: Any) -> Any:
    """Values of a dictionary (pandas' and polars' categories) in place of their codes."""
    kind = column.type.value_type
    if any(test(kind) for test in TEXT):
        kind = pa.large_string()  # Arrow cannot decode the string views of polars
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(kind)).cast(kind)
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, type=kind)


def _ratings(column: Any, name: str, label: str) -> npt.NDArray[np.float32]:
    if not any(test(column.type) for test in NUMBERS):
        raise DataError(
            f"{label}: the column {printable(name)!r} is of type {column.type}; ratings must be "
            "numbers. Convert it, or choose another column."
        )
    with np.errstate(over="ignore"):
        wide = column.cast(pa.float64()).to_numpy()
        narrow = wide.astype(np.float32)
    if not np.isfinite(narrow).all():
        at = int(np.flatnonzero(~np.isfinite(narrow))[0])
        raise DataError(
            f"{label}, row {at + 1}: found the rating {wide[at]}; every rating must be a finite "
            "number (as float32). Remove or correct it."
        )
    return take_ratings(pa.chunked_array([narrow]))


def times_of(column: Any) -> npt.NDArray[np.int64] | None:
    """Turn a column of numbers, dates or times into seconds; None if it holds none of these.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    """
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
    elif not any(test(kind) for test in MOMENTS):
        return None
    return take_times(column)


MOMENTS = (pa.types.is_signed_integer, pa.types.is_floating, pa.types.is_timestamp)
TEXT = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
)
NUMBERS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_boolean,
)

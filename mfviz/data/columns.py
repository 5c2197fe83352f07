"""Columns of a text file as numbers: the fast reader.

Arrow parses in parallel, and ids go through its dictionaries: a column of 25 M ids becomes 25 M
small integers and a list of the distinct texts, whatever the ids look like. Only that list is
looked at here, to bring whole numbers into their own type.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from mfviz.data.content import Content, Glued, blocks, holds, squeezed
from mfviz.data.faults import CONTROL, LONGEST_ID, checker, find_fault
from mfviz.data.numbering import number
from mfviz.data.pieces import each
from mfviz.data.ratings import NO_TIME
from mfviz.data.sniff import UNIX_FROM, Dialect, shown

__all__ = [
    "Columns",
    "parse",
    "read_delimited",
    "take_ids",
    "take_numbers",
    "take_ratings",
    "take_times",
]

Ids = npt.NDArray[Any]
Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

BLOCK_BYTES = 8 << 20
CLOCKS = {
    "number": pa.int64(),
    "float": pa.float64(),
    "date": pa.timestamp("s"),
    "moment": pa.timestamp("ns"),
    "zoned": pa.timestamp("ns", "UTC"),
}
ID_TYPE = pa.dictionary(pa.int32(), pa.binary())


@dataclass(frozen=True)
class Columns:
    """Ratings of one file.

    Attributes
    ----------
    user_ids, item_ids : int64 or str array
        Distinct ids, ascending.
    u, i : (nnz,) int32
        Their numbers.
    r : (nnz,) float32
        Finite.
    notices : tuple of str
        What should be told about the reading.
    times : (nnz,) int64, optional
        Seconds since 1970 as a rule; :data:`mfviz.data.ratings.NO_TIME` where there is none.
    rows_are_users : bool
        Whether the users have no ids in the file, so that those are numbers of its rows.
    """

    user_ids: Ids
    u: Int32
    item_ids: Ids
    i: Int32
    r: Float32
    notices: tuple[str, ...] = ()
    times: Int64 | None = None
    rows_are_users: bool = False


def read_delimited(source: Content, dialect: Dialect) -> Columns:
    """Read a file whose dialect is known.

    Parameters
    ----------
    source : Content
    dialect : Dialect

    Returns
    -------
    Columns

    Raises
    ------
    DataError
        If a line is no rating: names file, line and what was found.
    """
    try:
        return _read(source, dialect)
    except (ValueError, pa.ArrowException) as error:
        because = str(error)
        if isinstance(error, MixedError):
            raise find_fault(source, _not_utf8, dialect.skip, because) from None
    if dialect.clock:
        # Times are a gift: where they cannot be read, the ratings still count.
        try:
            bare = _read(source, replace(dialect, time=None, clock=""))
            told = "Its times cannot be read, so there is no split by time."
            return replace(bare, notices=(*bare.notices, told))
        except (ValueError, pa.ArrowException) as error:
            because = str(error)
    raise find_fault(source, checker(dialect), dialect.skip, because)


class MixedError(ValueError):
    """Some ids are UTF-8, and others cannot be."""


def _not_utf8(line: str) -> str:
    try:
        line.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return f"found {shown(line)}, which is not UTF-8 as other lines are. Save all as UTF-8."
    return ""


def _read(source: Content, dialect: Dialect) -> Columns:
    # "::" is read as fields between single colons; the empty ones in between are checked below.
    step = len(dialect.delimiter)
    user, item, rating = (str(at * step) for at in dialect.at)
    count = (dialect.width - 1) * step + 1
    between = [str(at) for at in range(1, count, 2)] if step == 2 else []
    types = {user: ID_TYPE, item: ID_TYPE, rating: pa.float32()}
    types.update(dict.fromkeys(between, pa.null()))
    if dialect.time is not None:
        types[str(dialect.time * step)] = CLOCKS[dialect.clock]
    table = parse(
        source,
        names=[str(at) for at in range(count)],
        types=types,
        delimiter=dialect.delimiter[0],
        skip=dialect.skip,
        decimal=dialect.decimal,
        squeeze=dialect.squeeze,
    )
    # Each column is given up once it is taken: of large files, two of all do not fit.
    columns = {name: table.column(name) for name in types}
    del table
    takers: dict[str, Callable[[Any], Any]] = {
        user: take_ids,
        item: take_ids,
        rating: take_ratings,
    }
    if dialect.time is not None:
        takers[str(dialect.time * step)] = take_times
    taken = each(lambda name: takers[name](columns.pop(name)), takers)
    (user_ids, u), (item_ids, i), r, *times = taken
    return Columns(user_ids, u, item_ids, i, r, dialect.notices, times[0] if times else None)


def parse(
    source: Content | Glued,
    *,
    names: list[str],
    types: dict[str, Any],
    delimiter: str,
    skip: int = 0,
    decimal: str = ".",
    odd_row: Callable[[Any], str] | None = None,
    squeeze: bool = False,
) -> Any:
    """Parse the columns named in ``types`` into a table.

    Parameters
    ----------
    source : Content or Glued
    names : list of str
        All columns of the file.
    types : dict
        Arrow types of those wanted.
    delimiter : str
        One character.
    skip : int
        Lines to leave out at the top.
    decimal : str
        Decimal point.
    odd_row : callable, optional
        Given a row of another width, returns "skip" or "error".
    squeeze : bool
        Whether white space of any length separates two fields.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ValueError, pyarrow.ArrowException
        If the content is not of these columns and types.
    """
    quoted = delimiter != ":" and holds(source, b'"')
    if quoted and squeeze:
        raise ValueError("quotes need columns that are separated by single tabs or commas")
    options = _options(names, types, skip, decimal)
    options["parse_options"] = csv.ParseOptions(
        delimiter=delimiter, quote_char='"' if quoted else False, invalid_row_handler=odd_row
    )
    with source.open() as stream:
        table = csv.read_csv(squeezed(stream) if squeeze else stream, **options)
    if quoted and len(table) != _count_rows(source, skip):
        raise ValueError("a quote is left open, and lines are lost in it")
    pa.default_memory_pool().release_unused()  # the text that was read, as much again
    return table


def _options(names: list[str], types: dict[str, Any], skip: int, decimal: str) -> dict[str, Any]:
    return {
        "read_options": csv.ReadOptions(
            column_names=names, skip_rows=skip, block_size=BLOCK_BYTES
        ),
        "convert_options": csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=False,
            decimal_point=decimal,
        ),
    }


def take_ids(column: Any) -> tuple[Ids, Int32]:
    """Turn a dictionary column into distinct ids and the number of each row.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Dictionaries of bytes.

    Returns
    -------
    known : (distinct,) int64 or str array
        Ascending. Whole numbers only where every id is written as Python writes it: "007" and "7"
        stay two ids, of text.
    numbers : (nnz,) int32

    Raises
    ------
    ValueError
        If an id is empty, too long or holds control characters.
    """
    if column.num_chunks == 0 or len(column) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    column = column.unify_dictionaries()
    written = _decoded(column.chunk(0).dictionary)
    if pc.any(pc.match_substring_regex(written, CONTROL)).as_py():
        raise ValueError("an id holds a control character")
    texts = pc.utf8_trim_whitespace(written)
    lengths = pc.min_max(pc.utf8_length(texts)).as_py()
    if lengths["min"] == 0 or lengths["max"] > LONGEST_ID:
        raise ValueError(f"an id is empty or longer than {LONGEST_ID} characters")
    known, numbers = number(_typed(texts))
    taken = np.empty(len(column), dtype=np.int32)
    at = 0
    for chunk in column.chunks:  # piece by piece: a copy of all of them would be as large again
        np.take(numbers, chunk.indices.to_numpy(), out=taken[at : at + len(chunk)])
        at += len(chunk)
    del column, chunk
    pa.default_memory_pool().release_unused()
    return known, taken


def take_numbers(column: Any) -> tuple[Ids, Int32]:
    """Turn a column of whole numbers into distinct ids and the number of each row.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Of int32.

    Returns
    -------
    known : (distinct,) int64 array
        Ascending.
    numbers : (nnz,) int32

    Raises
    ------
    ValueError
        If a number is missing, or they are spread so widely that a table of them is too large.
    """
    if column.null_count:
        raise ValueError("an id is missing")
    low, high = (pc.min_max(column).as_py()[key] or 0 for key in ("min", "max"))
    if high - low > max(4 * len(column), 1 << 20):
        raise ValueError("ids are spread too widely")
    table = np.zeros(high - low + 1, dtype=np.int32)
    for chunk in column.chunks:
        table[chunk.to_numpy() - low] = 1
    found = np.flatnonzero(table)
    table[found] = np.arange(len(found), dtype=np.int32)
    numbers = np.empty(len(column), dtype=np.int32)
    at = 0
    for chunk in column.chunks:
        numbers[at : at + len(chunk)] = table[chunk.to_numpy() - low]
        at += len(chunk)
    return found.astype(np.int64) + low, numbers


def take_ratings(column: Any) -> Float32:
    """Turn a column into ratings; ValueError if one is missing, NaN or infinite."""
    if column.null_count:
        raise ValueError("a rating is missing")
    r = np.empty(len(column), dtype=np.float32)
    at = 0
    for chunk in column.chunks:
        r[at : at + len(chunk)] = chunk.to_numpy()
        at += len(chunk)
    if not np.isfinite(r).all():
        raise ValueError("a rating is not finite")
    return r


def take_times(column: Any) -> Int64 | None:
    """Turn a column of numbers or moments into seconds; None if there is no time at all.

    A zero among seconds since 1970 says in MovieLens files that the time is not known.
    """
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.floor(pc.if_else(pc.is_finite(column), column, None))
    elif pa.types.is_timestamp(kind) and kind.unit != "s":
        column = pc.floor_temporal(column, unit="second").cast(pa.timestamp("s", kind.tz))
    whole = column.cast(pa.int64())
    if whole.null_count == len(whole):
        return None
    t = np.empty(len(whole), dtype=np.int64)
    at = 0
    for chunk in whole.chunks:
        t[at : at + len(chunk)] = pc.fill_null(chunk, NO_TIME).to_numpy()
        at += len(chunk)
    if t.max() > UNIX_FROM:
        t[t == 0] = NO_TIME
    return t


def _decoded(raw: Any) -> Any:
    """Distinct bytes as text: UTF-8, or else latin-1, which takes everything."""
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        values = raw.to_pylist()
    if any(map(_is_utf8, values)):
        raise MixedError("ids are written in two encodings")
    return pa.array([value.decode("latin-1") for value in values])


def _is_utf8(value: bytes) -> bool:
    """Whether bytes are UTF-8 and no plain ASCII."""
    try:
        return len(value.decode("utf-8")) < len(value)
    except UnicodeDecodeError:
        return False


def _typed(texts: Any) -> Ids:
    """Ids as int64 where all are whole numbers, else as text."""
    whole = texts
    if pc.all(pc.ends_with(texts, ".0")).as_py():  # pandas writes ids so after a gap
        whole = pc.replace_substring_regex(texts, r"\.0$", "")
    try:
        numbers = whole.cast(pa.int64())
        if pc.all(pc.equal(numbers.cast(pa.string()), whole)).as_py():
            return np.asarray(numbers.to_numpy())
    except pa.ArrowInvalid:
        pass
    return np.array(texts.to_pylist(), dtype=str)


def _count_rows(source: Content | Glued, skip: int) -> int:
    """Lines that are not empty, after ``skip``; no line may hide in the quotes of another."""
    count, before = 0, True
    with source.open() as stream:
        for block in blocks(stream):
            view = np.frombuffer(block, dtype=np.uint8)
            text = (view != ord("\n")) & (view != ord("\r"))
            # A line that is not empty begins where text follows a line end.
            count += int(np.count_nonzero(text[1:] & ~text[:-1])) + int(before and text[0])
            before = not text[-1]
    with source.open() as stream:
        lines = io.TextIOWrapper(stream, encoding="latin-1", newline=None)
        return count - sum(lines.readline() not in ("\n", "") for _ in range(skip))

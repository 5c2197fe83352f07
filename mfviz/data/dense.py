"""Jester's tables: a row a user, a column a joke, 99 where a joke is not rated."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mfviz.data.columns import Columns, parse
from mfviz.data.content import Content
from mfviz.data.faults import check_rating, find_fault, no_rating
from mfviz.data.numbering import number
from mfviz.data.sniff import DELIMITERS, Dialect, shown

__all__ = ["is_dense", "read_dense"]

NOT_RATED = 99.0
BOUND = 10.0
SAMPLE_ROWS = 50
WIDE = 100  # columns; so many ratings in a row make a table even if every joke is rated
FEWEST = 6  # columns; fewer could be ratings by chance


def is_dense(dialect: Dialect, lines: list[str]) -> bool:
    """Whether lines are rows of a Jester table.

    Parameters
    ----------
    dialect : Dialect
        As recognised; only its delimiter and width are looked at.
    lines : list of str
        First lines that are not blank.

    Notes
    -----
    The first column counts the ratings of its row, the others are ratings from -10 to 10 or 99.
    That is found in no list of single ratings. Most rows must be so, not all: one that is wrong
    shall be told, not turn the table into something else.
    """
    rows = [[field.strip() for field in dialect.split(line)] for line in lines[:SAMPLE_ROWS]]
    if dialect.width < FEWEST:
        return False
    good = [row for row in rows if len(row) == dialect.width and not _wrong(row)]
    unrated = any(float(field) == NOT_RATED for row in good for field in row[1:])
    return 2 * len(good) >= len(rows) and (unrated or dialect.width > WIDE)


def read_dense(source: Content, dialect: Dialect) -> Columns:
    """Read a table in which each row is a user.

    Parameters
    ----------
    source : Content
    dialect : Dialect
        Its delimiter and width are used.

    Returns
    -------
    Columns
        Users and items are called by their row and column, from 1.

    Raises
    ------
    DataError
        If a line has another width or count, or a value that is no rating.
    """
    names = [str(at) for at in range(dialect.width)]
    try:
        table = parse(
            source,
            names=names,
            types=dict.fromkeys(names, pa.float32()),
            delimiter=dialect.delimiter,
            squeeze=dialect.squeeze,
        )
        columns = [table.column(name) for name in names]
        if any(column.null_count for column in columns):
            raise ValueError("a cell is empty")
        counts, *cells = (column.to_numpy() for column in columns)
        matrix = np.stack(cells, axis=1)
        rated = matrix != np.float32(NOT_RATED)
        if (rated.sum(axis=1) != counts).any() or (np.abs(matrix[rated]) > BOUND).any():
            raise ValueError("a row has another count of ratings than its first column says")
    except (ValueError, pa.ArrowException) as error:
        raise find_fault(source, lambda line: _check(line, dialect), 0, str(error)) from None
    row, column = np.nonzero(rated)
    if not len(row):
        raise no_rating(source.label)
    user_ids, u = number(row + 1)
    item_ids, i = number(column + 1)
    told = f"{rated.size - len(row):,} cells of the table are 99: not rated."
    return Columns(user_ids, u, item_ids, i, matrix[rated], (told,), rows_are_users=True)


def _check(line: str, dialect: Dialect) -> str:
    fields = dialect.split(line)
    if len(fields) != dialect.width:
        return (
            f"found {len(fields)} field(s) in {shown(line)}, where other lines have "
            f"{dialect.width}, separated by {DELIMITERS[dialect.delimiter]}."
        )
    return _wrong(fields)


def _wrong(fields: list[str]) -> str:
    """Say what is wrong with a row: a count, then ratings or 99; "" if nothing is."""
    for field in fields:
        wrong = check_rating(field)
        if wrong:
            return wrong
    values = [float(field) for field in fields[1:]]
    rated = [value for value in values if value != NOT_RATED]
    outside = next((value for value in rated if abs(value) > BOUND), None)
    if outside is not None:
        return f"found the rating {outside:g}; it must be from -10 to 10, or 99 for none."
    if len(rated) != float(fields[0]):
        return f"found {len(rated)} ratings, where the first column counts {shown(fields[0])}."
    return ""

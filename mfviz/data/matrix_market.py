"""MatrixMarket files: users are rows, items are columns, what is stored is a rating."""

from __future__ import annotations

import re

from mfviz.data.columns import Columns, read_delimited
from mfviz.data.content import Content
from mfviz.data.faults import Check, checker, find_fault
from mfviz.data.sniff import Dialect, shown, squeeze
from mfviz.errors import DataError

__all__ = ["is_matrix_market", "read_matrix_market"]

BANNER = re.compile(r"%%MatrixMarket\s+matrix\s+(\S+)\s+(\S+)\s+(\S+)\s*", re.IGNORECASE)
SIZES = re.compile(r"(\d{1,18}) (\d{1,18}) (\d{1,18})", re.ASCII)


def is_matrix_market(line: str) -> bool:
    """Whether a file that starts with this line says that it is a MatrixMarket file."""
    return line.lower().startswith("%%matrixmarket")


def read_matrix_market(source: Content, lines: list[str]) -> Columns:
    """Read a sparse matrix of numbers.

    Parameters
    ----------
    source : Content
    lines : list of str
        First lines of the file, complete.

    Returns
    -------
    Columns
        Users and items are called by their row and column, from 1, as in the file.

    Raises
    ------
    DataError
        If it is another kind of matrix, is truncated, or has an entry outside its size.
    """
    banner = BANNER.fullmatch(lines[0])
    kind = tuple(word.lower() for word in banner.groups()) if banner else ()
    if not banner or kind[0] != "coordinate" or kind[1] not in ("real", "integer"):
        raise DataError(
            f"{source.label}, line 1: found {shown(lines[0])}; a matrix of ratings is a "
            "'coordinate' one of 'real' or 'integer' numbers. Save it so (scipy.io.mmwrite does)."
        )
    if kind[2] != "general":
        raise DataError(
            f"{source.label}, line 1: found a {shown(kind[2])} matrix, but users and items are no "
            "one set. Save it as 'general'."
        )
    at = next(
        (k for k, line in enumerate(lines) if line.strip() and not line.startswith("%")), None
    )
    sizes = SIZES.fullmatch(squeeze(lines[at])) if at is not None else None
    if at is None or sizes is None:
        found = shown(lines[at]) if at is not None else "comments only"
        raise DataError(
            f"{source.label}, line {(at or 0) + 1}: found {found}; needed are the numbers of "
            "rows, columns and entries below the comments. The file may be truncated."
        )
    rows, columns, entries = map(int, sizes.groups())
    below = [line for line in lines[at + 1 :] if line.strip()]
    loose = any(squeeze(line) != line for line in below)
    dialect = Dialect(" ", 3, (0, 1, 2), at + 1, squeeze=loose)
    found_columns = read_delimited(source, dialect)
    for ids, count in ((found_columns.user_ids, rows), (found_columns.item_ids, columns)):
        if len(ids) and (ids.dtype.kind != "i" or ids[0] < 1 or ids[-1] > count):
            raise find_fault(
                source, _checker(dialect, rows, columns), at + 1, "an entry is outside the matrix"
            )
    if len(found_columns.r) != entries:
        raise DataError(
            f"{source.label}, line {at + 1}: {entries:,} entries are announced, but "
            f"{len(found_columns.r):,} follow; the file seems truncated. Copy it again."
        )
    return found_columns


def _checker(dialect: Dialect, rows: int, columns: int) -> Check:
    usual = checker(dialect)

    def check(line: str) -> str:
        wrong = usual(line)
        if wrong:
            return wrong
        fields = squeeze(line).split(" ")
        for what, text, count in (("row", fields[0], rows), ("column", fields[1], columns)):
            if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= count:
                return f"found {what} {shown(text)}; it must be from 1 to {count:,}."
        return ""

    return check

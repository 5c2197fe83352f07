"""The slow way through a file that the fast reader refused: find the line, say what it holds."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mfviz.data.sniff import DELIMITERS, NUMBER, Dialect, fields_of, shown
from mfviz.errors import DataError

__all__ = [
    "CONTROL",
    "LONGEST_ID",
    "check_id",
    "check_rating",
    "checker",
    "find_fault",
    "no_rating",
]

LONGEST_ID = 256  # characters; an id that is longer is a line that was split wrongly
LONGEST_LINE = 1 << 20
CONTROL = "[\\x00-\\x1f\\x7f]"

Check = Callable[[str], str]


def find_fault(path: Path, check: Check, skip: int, because: str) -> DataError:
    """Find the first line that is no rating.

    Parameters
    ----------
    path : Path
        A file that could not be read.
    check : callable
        Given a line, says what is wrong with it, or "".
    skip : int
        Lines to leave out at the top.
    because : str
        What the fast reader said, for a file in which every line looks right.

    Returns
    -------
    DataError
        To be raised: names file, line, what was found and the remedy.
    """
    last = _unfinished(path)
    # The usual accident is found without a look at every line.
    if last and check(last) and (count := _count_lines(path)) > skip:
        return DataError(
            f"{path}, line {count}: the file ends in the middle of a line, {shown(last)}; it "
            "seems truncated. Copy or download it again, or remove that line."
        )
    content = False
    for at, line in _lines(path):
        if at <= skip or line == "":
            continue
        content = True
        if len(line) > LONGEST_LINE:
            return DataError(
                f"{path}, line {at}: found more than {LONGEST_LINE:,} characters in one line; "
                "this is no file of ratings, or its line ends are lost."
            )
        wrong = check(line)
        if wrong:
            return DataError(f"{path}, line {at}: {wrong} Correct or remove that line.")
    if not content:
        return no_rating(path)
    return DataError(f"{path}: cannot be read as ratings: {shown(because, 200)}.")


def no_rating(path: Path) -> DataError:
    """Return the error for a file of well-formed nothing."""
    return DataError(
        f"{path}: found no rating (nothing but a header or blank lines); at least one line with "
        "user, item and rating is needed."
    )


def checker(dialect: Dialect) -> Check:
    """Return the check of one line of a delimited file."""
    user, item, rating = dialect.at

    def check(line: str) -> str:
        if dialect.delimiter != "::" and _quote_is_open(line, dialect.delimiter):
            return f"found a quote that is not closed in {shown(line)}."
        fields = fields_of(line, dialect.delimiter)
        if len(fields) != dialect.width:
            return (
                f"found {len(fields)} field(s) in {shown(line)}, where other lines have "
                f"{dialect.width}, separated by {DELIMITERS[dialect.delimiter]}."
            )
        return (
            check_id("user", fields[user])
            or check_id("item", fields[item])
            or check_rating(fields[rating], dialect.decimal)
        )

    return check


def _quote_is_open(line: str, delimiter: str) -> bool:
    try:
        next(csv.reader([line], delimiter=delimiter, strict=True), None)
    except csv.Error:
        return True
    return False


def check_id(what: str, text: str) -> str:
    """Say what is wrong with an id, or ""."""
    if re.search(CONTROL, text):
        return f"found a control character in the {what} {shown(text)}; is a quote left open?"
    text = text.strip()
    if not text:
        return f"found no {what}; each rating needs one."
    if len(text) > LONGEST_ID:
        return (
            f"found {len(text):,} characters as {what}, {shown(text, 30)}; "
            f"{LONGEST_ID} are the most."
        )
    return ""


def check_rating(text: str, decimal: str = ".") -> str:
    """Say what is wrong with a rating, or ""."""
    written = text.strip()
    plain = written.replace(",", ".", 1) if decimal == "," else written
    if not written:
        return "found no rating; a finite number is needed."
    with np.errstate(over="ignore"):
        if NUMBER.fullmatch(plain) and np.isfinite(np.float32(plain)):
            return ""
    return f"found the rating {shown(written)}; it must be a finite number."


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines from 1 with any line end; bytes are kept as latin-1."""
    with open(path, encoding="latin-1", newline=None) as file:
        if file.read(3) != "\xef\xbb\xbf":
            file.seek(0)
        at = 0
        while line := file.readline(LONGEST_LINE + 2):
            at += 1
            yield at, line.removesuffix("\n")


def _unfinished(path: Path) -> str:
    """Last line of a file if it has no end, else ""."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16)))
        tail = file.read()
    if not tail or tail.endswith((b"\n", b"\r")):
        return ""
    return tail.splitlines()[-1].decode("latin-1")


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        ends = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b""))
    return ends + 1

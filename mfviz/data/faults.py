"""The slow way through a file that the fast reader refused: find the line, say what it holds."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator

import numpy as np

from mfviz.data import content
from mfviz.data.content import Content, Glued, blocks
from mfviz.data.sniff import DELIMITERS, NUMBER, Dialect, shown
from mfviz.errors import DataError

__all__ = [
    "CONTROL",
    "LONGEST_ID",
    "Check",
    "check_id",
    "check_rating",
    "checker",
    "find_fault",
    "no_rating",
]

LONGEST_ID = 256  # characters; an id that is longer is a line that was split wrongly
CONTROL = "[\\x00-\\x1f\\x7f]"

Check = Callable[[str], str]


def find_fault(source: Content | Glued, check: Check, skip: int, because: str) -> DataError:
    """Find the first line that is no rating.

    Parameters
    ----------
    source : Content or Glued
        What could not be read.
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
    found = False
    for part in source.parts:
        fault = _fault(part, check, skip)
        if fault is not None:
            return fault
        found = found or any(line for at, line in _lines(part) if at > skip)
    if not found:
        return no_rating(source.label)
    return DataError(f"{source.label}: cannot be read as ratings: {shown(because, 200)}.")


def _fault(part: Content, check: Check, skip: int) -> DataError | None:
    """Look at one file line by line; None if each looks right."""
    # The usual accident is found without a look at every line.
    last, count = _unfinished(part)
    if last and count > skip and check(last):
        return DataError(
            f"{part.label}, line {count}: the file ends in the middle of a line, {shown(last)}; "
            "it seems truncated. Copy or download it again, or remove that line."
        )
    for at, line in _lines(part):
        if at <= skip or line == "":
            continue
        if len(line) > content.LONGEST_LINE:
            return DataError(
                f"{part.label}, line {at}: found more than {content.LONGEST_LINE:,} characters in "
                "one line; this is no file of ratings, or its line ends are lost."
            )
        wrong = check(line)
        if wrong:
            return DataError(f"{part.label}, line {at}: {wrong} Correct or remove that line.")
    return None


def no_rating(label: str) -> DataError:
    """Return the error for a file of well-formed nothing."""
    return DataError(
        f"{label}: found no rating (nothing but a header or blank lines); at least one line with "
        "user, item and rating is needed."
    )


def checker(dialect: Dialect) -> Check:
    """Return the check of one line of a delimited file."""
    user, item, rating = dialect.at

    def check(line: str) -> str:
        if dialect.delimiter != "::" and _quote_is_open(line, dialect.delimiter):
            return f"found a quote that is not closed in {shown(line)}."
        fields = dialect.split(line)
        if len(fields) != dialect.width:
            return (
                f"found {len(fields)} field(s) in {shown(line)}, where other lines have "
                f"{dialect.width}, separated by {DELIMITERS[dialect.delimiter]}."
            )
        colon = next((field for field in fields if ":" in field), "")
        if colon and dialect.delimiter == "::":  # of which the fast reader takes each apart
            return f"found a colon inside {shown(colon)}, where '::' separates the fields."
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


def _lines(part: Content) -> Iterator[tuple[int, str]]:
    """Lines from 1 with any line end; bytes are kept as latin-1."""
    with part.open() as stream:
        text = io.TextIOWrapper(stream, encoding="latin-1", newline=None)
        at = 0
        while line := text.readline(content.LONGEST_LINE + 2):
            at += 1
            if at == 1:
                line = line.removeprefix("ï»¿")  # a byte order mark, as latin-1
            yield at, line.removesuffix("\n")


def _unfinished(part: Content) -> tuple[str, int]:
    """Last line of a file if it has no end, else "", and the number of that line."""
    ends, tail = 0, b""
    with part.open() as stream:
        for block in blocks(stream):
            ends += block.count(b"\n")
            tail = (tail + block)[-(1 << 16) :]
    if not tail or tail.endswith((b"\n", b"\r")):
        return "", 0
    return tail.splitlines()[-1].decode("latin-1"), ends + 1

"""Recognise how a text file writes ratings, from its first lines and not from its name."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass

from mfviz.errors import DataError

__all__ = ["DELIMITERS", "NUMBER", "Dialect", "fields_of", "role", "shown", "sniff"]

# In this order: where two separate the lines equally well, the earlier one is meant.
DELIMITERS = {
    "\t": "tab",
    "::": "'::'",
    ";": "semicolon",
    "|": "'|'",
    ",": "comma",
    " ": "space",
}
ROLES = {
    "user": (
        "user users userid uid u customer customerid reviewer reviewerid member memberid".split()
    ),
    "item": (
        "item items itemid iid i movie movieid mid book bookid isbn product productid asin song "
        "songid track trackid artist artistid anime animeid game gameid joke jokeid".split()
    ),
    "rating": "rating ratings score value stars star overall r".split(),
}
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*", re.ASCII)
SAMPLE_LINES = 200


@dataclass(frozen=True)
class Dialect:
    """How a text file writes its ratings.

    Attributes
    ----------
    delimiter : str
        One of :data:`DELIMITERS`.
    width : int
        Fields of each line.
    at : (int, int, int)
        Fields of user, item and rating, from 0.
    skip : int
        Lines before the first rating: comments, header and what is blank.
    decimal : str
        "." or ",".
    notices : tuple of str
        What was guessed and should be told.
    """

    delimiter: str
    width: int
    at: tuple[int, int, int]
    skip: int
    decimal: str = "."
    notices: tuple[str, ...] = ()


def shown(text: str, most: int = 60) -> str:
    """Quote what was found in a file for a message: short, and without control characters.

    Parameters
    ----------
    text : str
        Decoded as latin-1; shown as UTF-8 where it is that.
    most : int
        Longest text that is shown whole.
    """
    try:
        text = text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def fields_of(line: str, delimiter: str) -> list[str]:
    """Split a line, minding quotes."""
    if '"' in line and delimiter != "::":
        try:
            return next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            pass
    return line.split(delimiter)


def sniff(path: str, lines: list[str]) -> Dialect:
    """Recognise delimiter, header and columns.

    Parameters
    ----------
    path : str
        For messages.
    lines : list of str
        First lines of the file, complete, decoded as latin-1, without their ends.

    Returns
    -------
    Dialect

    Raises
    ------
    DataError
        If no delimiter gives the three fields that a rating needs, or a header does not fit.
    """
    content = [(at, line) for at, line in enumerate(lines) if line.strip()][:SAMPLE_LINES]
    delimiter, width = _delimiter([line for _, line in content])
    if not delimiter:
        first, line = content[0]
        raise DataError(
            f"{path}, line {first + 1}: found {shown(line)}; each line needs a user, an item "
            f"and a rating, separated by {', '.join(DELIMITERS.values())}. Is this the right file?"
        )
    rows = [(number, fields_of(line, delimiter)) for number, line in content]
    notices: list[str] = []
    while len(rows) > 1 and _is_comment(rows[0][1]):
        rows.pop(0)
    first, names = rows[0]
    at = (0, 1, 2)
    skip = first
    if _is_header(names):
        if len(names) != width:
            raise DataError(
                f"{path}, line {first + 1}: found {len(names)} column names, but {width} "
                "fields in the lines below. Name every column, or none."
            )
        at, guessed = _roles(names)
        skip = first + 1
        if guessed:
            picked = ", ".join(shown(names[k].strip()) for k in at)
            notices.append(f"Columns read as user, item and rating: {picked}.")
    values = [row[at[2]] for _, row in rows if len(row) > at[2]]
    comma = delimiter != "," and any(map(DECIMAL_COMMA.fullmatch, values))
    if comma and any("." in value for value in values if NUMBER.fullmatch(value)):
        comma = False
    return Dialect(delimiter, width, at, skip, "," if comma else ".", tuple(notices))


def _delimiter(lines: list[str]) -> tuple[str, int]:
    """Find the delimiter that splits most lines into one number of fields, at least three."""
    best, choice = 0, ("", 0)
    for delimiter in DELIMITERS:
        widths = Counter(len(fields_of(line, delimiter)) for line in lines)
        width, count = max(widths.items(), key=lambda pair: (pair[0] >= 3, pair[1]))
        if width >= 3 and count > best:
            best, choice = count, (delimiter, width)
    return choice


def _is_comment(fields: list[str]) -> bool:
    """Tell a comment from a rating whose user happens to be called "#1"."""
    return fields[0].lstrip()[:1] in ("#", "%") and not (
        len(fields) > 2 and NUMBER.fullmatch(fields[2])
    )


def role(name: str) -> str:
    """Tell which of "user", "item" and "rating" a column of this name is; "" if none."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((key for key, names in ROLES.items() if plain in names), "")


def _is_header(fields: list[str]) -> bool:
    """Tell a header from a rating: it has no number, or names all three columns."""
    if len(fields) < 3:
        return False
    if set(ROLES) <= {role(name) for name in fields}:
        return True
    return not any(NUMBER.fullmatch(f) or DECIMAL_COMMA.fullmatch(f) for f in fields)


def _roles(names: list[str]) -> tuple[tuple[int, int, int], bool]:
    """Find user, item and rating in a header; the rest is taken in order, and that is a guess."""
    found: dict[str, int] = {}
    for at, name in enumerate(names):
        meant = role(name)
        if meant and meant not in found:
            found[meant] = at
    guessed = len(found) < len(ROLES)
    free = iter([at for at in range(len(names)) if at not in found.values()])
    user, item, rating = (found[key] if key in found else next(free) for key in ROLES)
    return (user, item, rating), guessed

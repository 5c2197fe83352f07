"""Recognise how a text file writes ratings, from its first lines and not from its name."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mfviz.data.roles import ROLES, Roles, choose, pick, role
from mfviz.errors import DataError

__all__ = [
    "DELIMITERS",
    "NUMBER",
    "UNIX_FROM",
    "Dialect",
    "fields_of",
    "shown",
    "sniff",
    "squeeze",
]

# In this order: where two separate the lines equally well, the earlier one is meant.
DELIMITERS = {
    "\t": "tab",
    "::": "'::'",
    ";": "semicolon",
    "|": "'|'",
    ",": "comma",
    " ": "space",
}
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*", re.ASCII)
WHOLE = re.compile(r"\s*[+-]?\d{1,18}\s*", re.ASCII)
DAY = r"\s*\d{4}-\d\d-\d\d"
# How times are written, as columns.CLOCKS reads them; the first that fits all is meant.
CLOCKS = {
    "number": WHOLE,
    "float": NUMBER,
    "date": re.compile(DAY + r"([ T]\d\d:\d\d(:\d\d)?)?\s*", re.ASCII),
    "moment": re.compile(DAY + r"[ T]\d\d:\d\d:\d\d(\.\d{1,9})?\s*", re.ASCII),
    "zoned": re.compile(DAY + r"[ T]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)\s*", re.ASCII),
}
JSON_OR_MARKUP = re.compile(r'\s*(\{"|\{\s*$|\[\s*[\[{]|\[\s*$|<!|<html|<\?xml)', re.IGNORECASE)
LOOSE = re.compile(r"^[ \t]|[ \t]$|[ \t]{2}| .*\t|\t.* ")
SAMPLE_LINES = 200
UNIX_FROM = 10**8  # what is larger are seconds since 1970 (or parts of them)


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
    time : int, optional
        Field of the time.
    clock : str
        How the time is written, one of :data:`CLOCKS`; "" without a time.
    squeeze : bool
        Whether white space of any length separates two fields.
    """

    delimiter: str
    width: int
    at: tuple[int, int, int]
    skip: int
    decimal: str = "."
    notices: tuple[str, ...] = ()
    time: int | None = None
    clock: str = ""
    squeeze: bool = False

    def split(self, line: str) -> list[str]:
        """Split a line into its fields, minding quotes."""
        return fields_of(squeeze(line) if self.squeeze else line, self.delimiter)


def shown(text: str, most: int = 60) -> str:
    """Quote what was found in a file for a message: short, and without control characters.

    Parameters
    ----------
    text : str
        Decoded as latin-1; shown as UTF-8 where it is that.
    most : int
        Longest text that is shown whole.
    """
    text = _decoded(text)
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def fields_of(line: str, delimiter: str) -> list[str]:
    """Split a line, minding quotes."""
    if '"' in line and delimiter != "::":
        try:
            return next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            pass
    return line.split(delimiter)


def squeeze(line: str) -> str:
    """Write white space of any length as one space, as :func:`mfviz.data.content.squeezed`."""
    return re.sub(r"[ \t]+", " ", line).strip(" ")


def sniff(path: str, lines: list[str], columns: Sequence[str | int] = ()) -> Dialect:
    """Recognise delimiter, header and columns.

    Parameters
    ----------
    path : str
        For messages.
    lines : list of str
        First lines of the file, complete, decoded as latin-1, without their ends.
    columns : sequence of str or int
        Chosen for user, item, rating and perhaps time, by name or position from 1; by default
        they are found.

    Returns
    -------
    Dialect

    Raises
    ------
    DataError
        If no delimiter gives the three fields that a rating needs, or a header does not fit.
    """
    content = [(at, line) for at, line in enumerate(lines) if line.strip()][:SAMPLE_LINES]
    delimiter, width, loose = _separation(path, content)
    rows = [
        (number, fields_of(squeeze(line) if loose else line, delimiter))
        for number, line in content
    ]
    while len(rows) > 1 and _is_comment(rows[0][1]):
        rows.pop(0)
    skip, names = rows[0]
    chosen = {str(column) for column in columns if not str(column).isdigit()}
    if not _is_header(names) and not chosen & {_decoded(name).strip() for name in names}:
        names = []
    elif len(names) != width:
        raise DataError(
            f"{path}, line {skip + 1}: found {len(names)} column names, but {width} "
            "fields in the lines below. Name every column, or none."
        )
    values = [row for _, row in rows[bool(names) :] if len(row) == width]
    roles, notices = _roles(path, skip + 1, names, values, width, columns)
    ratings = [row[roles.rating] for row in values]
    clock = "" if roles.time is None else _clock([row[roles.time] for row in values])
    return Dialect(
        delimiter,
        width,
        (roles.user, roles.item, roles.rating),
        skip + bool(names),
        _decimal(delimiter, ratings),
        notices,
        roles.time if clock else None,
        clock,
        loose,
    )


def _decimal(delimiter: str, ratings: list[str]) -> str:
    """Decimal point or comma of the ratings."""
    comma = delimiter != "," and any(map(DECIMAL_COMMA.fullmatch, ratings))
    point = any("." in value for value in ratings if NUMBER.fullmatch(value))
    return "," if comma and not point else "."


def _separation(path: str, content: list[tuple[int, str]]) -> tuple[str, int, bool]:
    """Delimiter, number of fields, and whether white space of any length is one delimiter."""
    at, line = content[0]
    if JSON_OR_MARKUP.match(line):
        raise DataError(
            f"{path}, line {at + 1}: found {shown(line)}, which looks like JSON or a web page; "
            "needed is a table. Save user, item and rating as CSV."
        )
    lines = [line for _, line in content]
    delimiter, width = _delimiter(lines)
    if delimiter in ("", " ", "\t") and any(map(LOOSE.search, lines)):
        tight = [squeeze(line) for line in lines if not line.startswith(("#", "%"))]
        widths = Counter(len(line.split(" ")) for line in tight)
        best = max(widths, key=lambda width: widths[width], default=0)
        as_it_is = sum(len(fields_of(line, delimiter)) == width for line in lines if delimiter)
        padded = delimiter == " " and all("" in line.split(" ") for line in lines)
        if best >= 3 and (padded or widths[best] > as_it_is) and '"' not in "".join(lines):
            return " ", best, True
    if not delimiter:
        raise DataError(
            f"{path}, line {at + 1}: found {shown(line)}; each line needs a user, an item "
            f"and a rating, separated by {', '.join(DELIMITERS.values())}. Is this the right file?"
        )
    return delimiter, width, False


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
    if fields[0].lower() == "sep=":  # a hint for spreadsheets
        return True
    return fields[0].lstrip()[:1] in ("#", "%") and not (
        len(fields) > 2 and NUMBER.fullmatch(fields[2])
    )


def _is_header(fields: list[str]) -> bool:
    """Tell a header from a rating: it has no number, or names all three columns."""
    if len(fields) < 3:
        return False
    if set(ROLES) <= {role(name) for name in fields}:
        return True
    return not any(NUMBER.fullmatch(f) or DECIMAL_COMMA.fullmatch(f) for f in fields)


def _roles(
    path: str,
    first: int,
    names: list[str],
    values: list[list[str]],
    width: int,
    columns: Sequence[str | int],
) -> tuple[Roles, tuple[str, ...]]:
    """Columns of a file, and what should be told about how they were found."""
    if columns:
        return choose(columns, [_decoded(name) for name in names], width, path), ()
    if names:
        roles = pick(names)
        picked = ", ".join(
            shown(names[at].strip()) for at in (roles.user, roles.item, roles.rating)
        )
        told = f"Columns read as user, item and rating: {picked}."
        return roles, (told,) if roles.guessed or roles.double else ()
    empty = [at for at in range(width) if not any(row[at].strip() for row in values)]
    if width >= 5 and empty == list(range(1, width, 2)):
        return Roles(0, 2, 4), ()  # each delimiter is written twice, as Jester's second set does
    if width > 3 and _is_clock([row[2] for row in values], min):
        raise DataError(
            f"{path}, line {first}: found the rating {shown(values[0][2])}, which looks like a "
            "time; columns without names are taken in the order user, item, rating. Give them "
            "names in a first line, or choose the columns."
        )
    # MovieLens has its times in a fourth column without a name.
    known = width > 3 and _is_clock([row[3] for row in values])
    told = f"The first three of {width} columns without names are read as user, item and rating."
    return Roles(0, 1, 2, 3 if known else None), (told,) if width > 4 else ()


def _is_clock(values: list[str], of: Callable[[Iterable[float]], float] = max) -> bool:
    """Whether a column without a name must hold times: dates, or seconds since 1970."""
    clock = _clock(values)
    if clock in ("number", "float"):
        return of(map(float, filter(str.strip, values))) > UNIX_FROM
    return bool(clock)


def _clock(values: list[str]) -> str:
    """How times are written, one of :data:`CLOCKS`, or "" if these are none."""
    there = [value for value in values if value.strip()]
    fits = (kind for kind, known in CLOCKS.items() if all(map(known.fullmatch, there)))
    return next(fits, "") if there else ""


def _decoded(text: str) -> str:
    """UTF-8 of what was decoded as latin-1, if it is that."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text

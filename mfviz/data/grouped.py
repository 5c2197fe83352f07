"""Formats that write a user or an item once, on a line above its ratings.

Netflix Prize: a line ``movie:``, then lines ``user,rating,date``. KDD Cup 2011 (Yahoo! Music): a
line ``user|count``, then lines ``item TAB score TAB day TAB time``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mfviz.data.columns import (
    ID_TYPE,
    Columns,
    Ids,
    Int32,
    parse,
    take_ids,
    take_numbers,
    take_ratings,
    take_times,
)
from mfviz.data.content import BOM, LONGEST_LINE, Content, Glued, blocks
from mfviz.data.faults import check_id, check_rating, find_fault, no_rating
from mfviz.data.numbering import number
from mfviz.data.pieces import each
from mfviz.data.sniff import shown
from mfviz.errors import DataError

__all__ = ["KDD_CUP", "NETFLIX", "Grouping", "is_pairs", "read_grouped", "read_pairs", "recognise"]

CHUNK_BYTES = 1 << 26
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """A format with headers.

    Attributes
    ----------
    header : re.Pattern
        Matches a whole header line: first group the id, second one, if any, the ratings below.
    mark : str
        A character that only headers hold.
    delimiter : str
        Of the lines below.
    columns : tuple of str
        Their columns, "other" (the other side's id) and "rating" first.
    clock : dict
        Arrow types of the columns that tell the time: days, or a date, and perhaps its time.
    heads : str
        "item" or "user": what the header names.
    lines : str
        How both kinds of line look, for messages.
    """

    header: re.Pattern[str]
    mark: str
    delimiter: str
    columns: tuple[str, ...]
    clock: dict[str, Any]
    heads: str
    lines: str

    def check(self, line: str) -> str:
        """Say what is wrong with a line, or ""."""
        if self.header.fullmatch(line):
            return ""
        fields = line.split(self.delimiter)
        if len(fields) != len(self.columns) or self.mark in line or not line.isascii():
            return f"found {shown(line)}; it must be {self.lines}."
        other = "user" if self.heads == "item" else "item"
        return check_id(other, fields[0]) or check_rating(fields[1])


NETFLIX = Grouping(
    re.compile(r"(\d{1,18}):\s*", re.ASCII),
    ":",
    ",",
    ("other", "rating", "date"),
    {"date": pa.date32()},
    "item",
    "'movie:' or 'user,rating,date'",
)
KDD_CUP = Grouping(
    re.compile(r"(\d{1,18})\|(\d{1,9})\s*", re.ASCII),
    "|",
    "\t",
    ("other", "rating", "day", "time"),
    {"day": pa.int32(), "time": pa.time32("s")},
    "user",
    "'user|count' or item, score, day and time separated by tabs",
)
FORMATS = (NETFLIX, KDD_CUP)
FAST_IDS = pa.int32()  # of nearly all files
# What Arrow takes for a number as well; the first is searched for four times as fast.
ODD_ID, ODD_AFTER_CR = (re.compile(end + rb"(?:-|\s*0[0-9xX])") for end in (rb"\n", rb"[\r\n]"))
ID_ONLY = re.compile(r"\d{1,18}\s*", re.ASCII)


def recognise(lines: list[str]) -> Grouping | None:
    """Return the format of a file that starts with these lines (not blank), if it is one."""
    return next((known for known in FORMATS if known.header.fullmatch(lines[0])), None)


def is_pairs(lines: list[str]) -> bool:
    """Whether a file has Netflix headers, but nothing except users below: the probe set."""
    return bool(NETFLIX.header.fullmatch(lines[0])) and any(
        ID_ONLY.fullmatch(line) for line in lines[1:2]
    )


def read_grouped(source: Content | Glued, known: Grouping, second: str) -> Columns:
    """Read a file, or several as one.

    Parameters
    ----------
    source : Content or Glued
    known : Grouping
    second : str
        The line after the first header; "" if there is none.

    Returns
    -------
    Columns

    Raises
    ------
    DataError
        If a line is neither a header nor a rating, a header announces another number of ratings
        than follow, or the file has no scores.
    """
    if known is KDD_CUP and second.count("\t") in (0, 2) and not known.header.fullmatch(second):
        raise DataError(
            f"{source.label}, line 2: found {shown(second)}, without a score: this is the test "
            "set of the contest. Use the training file, and the validation file as --test."
        )
    for ids in (FAST_IDS, ID_TYPE):
        with suppress(ValueError, pa.ArrowException):
            return _read(source, known, ids, with_times=True)
    try:
        bare = _read(source, known, ID_TYPE, with_times=False)
    except (ValueError, pa.ArrowException) as error:
        raise find_fault(source, known.check, 0, str(error)) from None
    told = "Its times cannot be read, so there is no split by time."
    return Columns(bare.user_ids, bare.u, bare.item_ids, bare.i, bare.r, (told,))


def _read(source: Content | Glued, known: Grouping, ids: Any, *, with_times: bool) -> Columns:
    heads, announced, counts = _headers(source, known, len(known.columns) - 1, ids is FAST_IDS)
    clock = known.clock if with_times else {}
    table, skipped = _table(source, known, {"other": ids, "rating": pa.float32(), **clock})
    if skipped != len(heads):
        raise ValueError(f"{known.mark!r} occurs in a line that is no header")
    columns = {name: table.column(name) for name in table.schema.names}
    del table  # each column is given up once it is taken
    take = take_numbers if ids is FAST_IDS else take_ids
    jobs: list[Callable[[], Any]] = [
        lambda: take(columns.pop("other")),
        lambda: _times(columns, known) if with_times else None,
        lambda: take_ratings(columns.pop("rating")),
    ]
    (others, o), times, r = each(lambda job: job(), jobs)
    if counts.sum() != len(r):
        raise ValueError("the ratings under the headers do not add up")
    if not len(r):
        raise no_rating(source.label)
    _check_counts(source, heads, announced, counts)
    owners, at = number(heads[counts > 0])
    numbers = np.repeat(at, counts[counts > 0])
    if known.heads == "item":
        return Columns(others, o, owners, numbers, r, (), times)
    return Columns(owners, numbers, others, o, r, (), times)


def read_pairs(source: Content) -> tuple[Ids, Int32, Ids, Int32]:
    """Read a list of pairs without ratings, as the probe set of the Netflix Prize.

    Parameters
    ----------
    source : Content
        Lines ``movie:``, then users, one a line.

    Returns
    -------
    user_ids, u, item_ids, i
        Distinct ids, ascending, and the numbers of each pair.

    Raises
    ------
    DataError
        If a line is neither.
    """

    def check(line: str) -> str:
        if NETFLIX.header.fullmatch(line) or ID_ONLY.fullmatch(line):
            return ""
        return f"found {shown(line)}; it must be 'movie:' or a user."

    try:
        # The lines below a header have no delimiter to count them by: each ends the line itself.
        texts, place = take_ids(
            parse(source, names=["0"], types={"0": ID_TYPE}, delimiter=",").column("0")
        )
        words = np.asarray(texts).astype(str)
        head = np.char.endswith(words, ":")
        if not all(ID_ONLY.fullmatch(word.removesuffix(":")) for word in words.tolist()):
            raise ValueError("a line is neither a movie nor a user")
        values = np.array([int(word.removesuffix(":")) for word in words.tolist()], dtype=np.int64)
    except (ValueError, pa.ArrowException) as error:
        raise find_fault(source, check, 0, str(error)) from None
    heads = head[place]
    group = np.cumsum(heads) - 1
    if not heads[0] or heads.all():
        raise no_rating(source.label)
    items = values[place[heads]][group[~heads]]
    return *number(values[place[~heads]]), *number(items)


def _table(source: Content | Glued, known: Grouping, types: dict[str, Any]) -> tuple[Any, int]:
    """Rows below the headers, and the number of headers that were left out."""
    skipped: list[None] = []  # Arrow's threads call back: to append is safe, to count is not

    def odd(row: Any) -> str:
        if not known.header.fullmatch(row.text):
            return "error"
        skipped.append(None)
        return "skip"

    table = parse(
        source, names=list(known.columns), types=types, delimiter=known.delimiter, odd_row=odd
    )
    return table, len(skipped)


def _times(columns: dict[str, Any], known: Grouping) -> Int64 | None:
    """Seconds from the column of days and, if there is one, that of the time of day."""
    if any(columns[name].null_count for name in known.clock):
        return None
    day, *rest = known.clock
    seconds = take_times(columns.pop(day).cast(pa.int32()))
    if seconds is None:
        return None
    seconds *= 86_400
    for name in rest:
        seconds += np.asarray(columns.pop(name).cast(pa.int32()).to_numpy())
    return seconds


def _headers(
    source: Content | Glued, known: Grouping, delimiters_each: int, plain: bool
) -> tuple[Ids, Int64, Int64]:
    """Ids of the headers in their order, the ratings that they announce, and those that follow.

    Only a header holds the mark, and each other line a fixed number of delimiters, so counting
    these two characters is enough and needs no look at the lines. -1 is announced where nothing
    is. ``plain`` ids are written as numbers are: 007 is another id than 7, but no other number.
    """
    ids: list[int] = []
    announced: list[int] = []
    before: list[npt.NDArray[np.int64]] = []
    delimiters = 0
    mark, delimiter = ord(known.mark), ord(known.delimiter)
    for block in _whole_lines(source):
        if not block.isascii():
            raise ValueError("a character is not ASCII")
        if plain and (ODD_AFTER_CR if b"\r" in block else ODD_ID).search(block):
            raise ValueError("an id may be written in another way than as a plain number")
        view = np.frombuffer(block, dtype=np.uint8)
        marks, others = np.flatnonzero(view == mark), np.flatnonzero(view == delimiter)
        for at in marks.tolist():
            text = re.split(rb"[\r\n]", block[max(0, at - 20) : at])[-1]
            if not re.fullmatch(rb"\d{1,18}", text):
                raise ValueError("a header is no number")
            ids.append(int(text))
            count = re.match(rb"\d{1,9}", block[at + 1 : at + 11])
            announced.append(int(count[0]) if count else -1)
        before.append(np.searchsorted(others, marks) + delimiters)
        delimiters += len(others)
    counts = np.diff(np.concatenate((*before, [delimiters])))
    if (counts % delimiters_each).any():
        raise ValueError("a line under a header has too many or too few fields")
    return np.array(ids, dtype=np.int64), np.array(announced), counts // delimiters_each


def _whole_lines(source: Content | Glued) -> Iterator[bytes]:
    """Blocks that end where a line does; a byte order mark is left out."""
    rest = b""
    with source.open() as stream:
        for at, block in enumerate(blocks(stream, CHUNK_BYTES)):
            whole = rest + (block.removeprefix(BOM) if at == 0 else block)
            cut = max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1
            if cut:
                yield whole[:cut]
            rest = whole[cut:]
            if len(rest) > LONGEST_LINE:
                raise ValueError("a line is too long")
    if rest:
        yield rest


def _check_counts(source: Content | Glued, heads: Ids, announced: Int64, counts: Int64) -> None:
    wrong = np.flatnonzero((announced >= 0) & (announced != counts))
    if len(wrong):
        at = int(wrong[0])
        line = at + int(counts[:at].sum()) + 1
        raise DataError(
            f"{source.label}, line {line}: {heads[at]}|{announced[at]} announces "
            f"{announced[at]:,} ratings, but {counts[at]:,} follow; lines are lost, added or in "
            "another order. Copy or download the file again."
        )

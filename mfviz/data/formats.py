"""Read ratings from the files that people have, recognised by content and not by name.

Text: MovieLens ``u.data`` (tab), ``ratings.dat`` (``::``), ``ratings.csv`` (header), any file
that is separated by tab, comma, semicolon, ``|``, ``::`` or white space, with or without header;
Netflix Prize and KDD Cup 2011 (headers above their ratings); Yahoo! Music R1 (255 is no rating);
Jester's tables; MatrixMarket; all of it plain, compressed, or in a zip archive. Besides, Parquet
and NumPy ``.npz`` with arrays ``u``, ``i``, ``r``. Ids may be numbers or text.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mfviz.data.archive import is_npz, members
from mfviz.data.columns import Columns, read_delimited
from mfviz.data.content import BOM, PACKINGS, Content, Glued, printable
from mfviz.data.dense import is_dense, read_dense
from mfviz.data.faults import no_rating
from mfviz.data.grouped import is_pairs, read_grouped, recognise
from mfviz.data.matrix_market import is_matrix_market, read_matrix_market
from mfviz.data.npz import read_npz
from mfviz.data.numbering import lookup, number
from mfviz.data.places import in_archive
from mfviz.data.ratings import Ratings
from mfviz.data.sniff import Dialect, sniff
from mfviz.data.tables import read_parquet
from mfviz.errors import DataError

__all__ = ["Found", "look", "read", "read_parts", "reading"]

SAMPLE_BYTES = 1 << 16
FORMATS = (
    "ratings as text (one user, item, rating a line), Parquet or a NumPy .npz with arrays u, i, r"
)
# What a file starts with, what that is, and what to do.
MAGIC = (
    (b"\xfd7zXZ", "an xz archive", "Unpack it first (unxz)."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"Rar!", "a rar archive", "Unpack it first."),
    (b"\xd0\xcf\x11\xe0", "an old Excel sheet", "Save the sheet as CSV."),
    (b"\x89HDF", "an HDF5 file", "Save user, item and rating as CSV or .npz."),
    (b"\x93NUMPY", "a single NumPy array", "Save u, i and r with numpy.savez."),
    (b"SQLite format 3", "a database", "Export user, item and rating as CSV."),
    (b"\xff\xfe", "text in UTF-16", "Save it as UTF-8."),
    (b"\xfe\xff", "text in UTF-16", "Save it as UTF-8."),
)
NEVER_PLAY = 255.0


@dataclass(frozen=True)
class Found:
    """A file of ratings that was looked at, not yet read.

    Attributes
    ----------
    source : Content
    head : bytes
        Its first bytes.
    whole : bool
        Whether they are all of it.
    """

    source: Content
    head: bytes
    whole: bool

    @property
    def lines(self) -> list[str]:
        """First lines, complete, decoded as latin-1, without their ends."""
        text = self.head.removeprefix(BOM).decode("latin-1").replace("\r\n", "\n")
        lines = text.replace("\r", "\n").split("\n")
        return lines if self.whole else lines[:-1]  # the last one may be cut anywhere

    @property
    def content(self) -> list[str]:
        """Those of the first lines that are not blank."""
        return [line for line in self.lines if line.strip()]

    @property
    def is_text(self) -> bool:
        """Whether it looks like text with lines."""
        magic = (b"PAR1", b"PK", *PACKINGS, *(start for start, _, _ in MAGIC))
        binary = self.head.startswith(magic) or b"\0" in self.head
        return not binary and bool(self.content)


def read(
    path: str | os.PathLike[str], *, name: str | None = None, columns: Sequence[str | int] = ()
) -> Ratings:
    """Read a file of ratings.

    Parameters
    ----------
    path : str or path
        A file, or a member of a zip archive as ``archive.zip/member``.
    name : str, optional
        Shown name; the file's by default.
    columns : sequence of str or int
        Columns of user, item, rating and perhaps time, by name or position from 1. By default
        they are recognised.

    Returns
    -------
    Ratings
        In the order of the file; repeated pairs are kept, counted and told.

    Raises
    ------
    DataError
        If the file is missing, empty, truncated, binary or has a line that is no rating: names the
        file, the line, what was found and the remedy.
    """
    return read_parts([path], name=name or Path(path).name, columns=columns)


def read_parts(
    paths: Sequence[str | os.PathLike[str]], *, name: str, columns: Sequence[str | int] = ()
) -> Ratings:
    """Read several files as one set of ratings, one after the other.

    Parameters
    ----------
    paths : sequence of str or path
        At least one.
    name : str
        Shown name.
    columns : sequence of str or int
        As of :func:`read`.

    Raises
    ------
    DataError
        As :func:`read`.
    """
    found = [part for path in paths for part in look(Path(path))]
    if len(found) > 1 and all(part.is_text and recognise(part.content) for part in found):
        one = _glued(found)  # thousands of small files, one of each film
    else:
        parts = [_columns(part, columns) for part in found]
        one = parts[0] if len(parts) == 1 else _join(parts)
    if not len(one.r):
        raise no_rating(found[0].source.label)
    return Ratings.from_numbers(
        one.u, one.i, one.r, one.user_ids, one.item_ids,
        name=name, notices=one.notices, times=one.times,
    )  # fmt: skip


def look(path: Path) -> list[Found]:
    """Find what a path holds: one file, or the parts of a set in an archive.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        If there is nothing, or nothing that could be ratings.
    """
    with reading(str(path)):
        inside = None if "\0" in str(path) or path.exists() else in_archive(path)
        if inside is not None:
            return [_opened(part) for part in members(*inside)]
        if _starts(path).startswith(b"PK") and not is_npz(path):
            return [_opened(part) for part in members(path)]
        return [_opened(Content(path))]


# zipfile raises RuntimeError for a member with a password and NotImplementedError for one that is
# compressed in a way it does not know.
UNREADABLE = (OSError, MemoryError, EOFError, RuntimeError, zlib.error, pa.ArrowException)


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Turn what goes wrong with a file or an archive into one sentence.

    Parameters
    ----------
    label : str
        What messages call the file.
    """
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{label}: this archive cannot be read ({printable(str(error))[:200]}); it is "
            "truncated or damaged. Copy or download it again."
        ) from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise DataError(
            f"{label}: cannot be read ({printable(reason)[:200]}). Check file and rights; if it "
            "is compressed, it may be truncated."
        ) from None


def _opened(source: Content) -> Found:
    """Look at the first bytes, of what is compressed those that it unpacks to."""
    for _ in range(2):
        with source.open() as stream:
            head = stream.read(SAMPLE_BYTES)
            whole = not stream.read(1)
        packing = next((PACKINGS[magic] for magic in PACKINGS if head.startswith(magic)), "")
        if source.packing or not packing:
            break
        source = replace(source, packing=packing)
    if not head.strip():
        raise DataError(f"{source.label}: the file is empty; needed are {FORMATS}.")
    return Found(source, head, whole)


def _starts(path: Path) -> bytes:
    """First bytes of a path, once it is clear that it is a file."""
    if "\0" in str(path):
        raise DataError(f"{str(path)!r} is no path of a file.")
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the file of ratings in it.")
    if not path.exists():
        raise DataError(
            f"{path}: there is no such file. Check the path (from {Path.cwd()}), or name a "
            "data set of 'mfviz datasets'."
        )
    if not path.is_file():
        raise DataError(f"{path}: is no regular file. Save the ratings to a file first.")
    with open(path, "rb") as file:
        return file.read(8)


def _glued(found: list[Found]) -> Columns:
    known = recognise(found[0].content)
    assert known is not None
    strangers = [part for part in found if recognise(part.content) is not known]
    if strangers:
        raise DataError(
            f"{strangers[0].source.label}: is in another format than "
            f"{found[0].source.label}. Read them one by one."
        )
    glued = Glued(tuple(part.source for part in found))
    with reading(glued.label):
        return read_grouped(glued, known, (*found[0].content, "", "")[1])


def _columns(found: Found, columns: Sequence[str | int]) -> Columns:
    source, head = found.source, found.head
    with reading(source.label):
        for magic, what, remedy in MAGIC:
            if head.startswith(magic):
                raise DataError(f"{source.label}: found {what}; needed are {FORMATS}. {remedy}")
        plain = not source.member and not source.packing
        if head.startswith(b"PAR1") and plain:
            return read_parquet(source, columns)
        if head.startswith(b"PK") and plain:
            return read_npz(source)
        if head.startswith((b"PAR1", b"PK", *PACKINGS)):
            raise DataError(
                f"{source.label}: found an archive or a Parquet file in an archive; needed are "
                f"{FORMATS}. Unpack it first."
            )
        return _text(found, columns)


def _text(found: Found, columns: Sequence[str | int]) -> Columns:
    source, head = found.source, found.head
    if head[257:262] == b"ustar":
        raise DataError(
            f"{source.label}: found a tar archive; needed are {FORMATS}. Unpack it first (tar "
            "-xf), and name the file or folder of ratings."
        )
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{source.label}, line {line}: found binary data (a zero byte); needed are {FORMATS}. "
            "If it was text, it is damaged: copy or download it again."
        )
    content = found.content
    if not content:
        raise DataError(
            f"{source.label}, line 1: found no line end in the first {SAMPLE_BYTES:,} bytes; "
            f"needed are {FORMATS}."
        )
    if is_pairs(content):
        raise DataError(
            f"{source.label}, line 2: found a user without a rating: this is a list of pairs, as "
            "the probe set of the Netflix Prize. Give it as the test set of the ratings."
        )
    known = recognise(content)
    if known is not None:
        return read_grouped(source, known, (*content, "")[1])
    if is_matrix_market(found.lines[0]):
        return read_matrix_market(source, found.lines)
    dialect = sniff(source.label, found.lines, columns)
    if not columns and is_dense(dialect, content):
        return read_dense(source, dialect)
    return _without_never_play(read_delimited(source, dialect), dialect)


def _without_never_play(found: Columns, dialect: Dialect) -> Columns:
    """Leave out 255, with which Yahoo! Music R1 says that an artist shall never be played."""
    if (dialect.delimiter, dialect.width, dialect.skip) != ("\t", 3, 0):
        return found
    never = found.r == NEVER_PLAY
    rest = found.r[~never]
    if not never.any() or not len(rest) or rest.min() < 0 or not 5 < rest.max() <= 100:
        return found
    told = f"{int(never.sum()):,} ratings of 255 (never play again) left out."
    user_ids, u = number(found.user_ids[found.u[~never]])
    item_ids, i = number(found.item_ids[found.i[~never]])
    return Columns(user_ids, u, item_ids, i, rest, (*found.notices, told))


def _join(parts: list[Columns]) -> Columns:
    def side(ids: list[Any], numbers: list[Any]) -> tuple[Any, Any]:
        if len({array.dtype.kind for array in ids}) > 1:
            ids = [array.astype(str) for array in ids]
        known, _ = number(np.concatenate(ids))
        renamed = [lookup(known, own)[part] for own, part in zip(ids, numbers, strict=True)]
        return known, np.concatenate(renamed)

    rows = 0
    user_ids = []
    for part in parts:
        user_ids.append(part.user_ids + rows if part.rows_are_users else part.user_ids)
        rows = int(user_ids[-1][-1]) if part.rows_are_users else 0
    known_users, u = side(user_ids, [part.u for part in parts])
    known_items, i = side([part.item_ids for part in parts], [part.i for part in parts])
    notices = dict.fromkeys(notice for part in parts for notice in part.notices)
    r = np.concatenate([part.r for part in parts])
    times = [part.times for part in parts if part.times is not None]
    joined = np.concatenate(times) if len(times) == len(parts) else None
    return Columns(known_users, u, known_items, i, r, tuple(notices), joined)

"""Read ratings from the files that people have, recognised by content and not by name.

Text: MovieLens ``u.data`` (tab), ``ratings.dat`` (``::``), ``ratings.csv`` (header), any file
that is separated by tab, comma, semicolon, ``|``, ``::`` or space, with or without header; Netflix
Prize files; NumPy ``.npz`` with arrays ``u``, ``i``, ``r``. Ids may be numbers or text.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfviz.data.columns import Columns, read_delimited
from mfviz.data.faults import no_rating
from mfviz.data.netflix import is_netflix, read_netflix
from mfviz.data.numbering import lookup, number
from mfviz.data.ratings import Ratings
from mfviz.data.sniff import sniff
from mfviz.errors import DataError

__all__ = ["read", "read_parts"]

SAMPLE_BYTES = 1 << 16
FORMATS = "ratings as text (one user, item, rating a line) or a NumPy .npz with arrays u, i and r"
# What a file starts with, what that is, and what to do.
MAGIC = (
    (b"\x1f\x8b", "a gzip archive", "Unpack it first (gunzip)."),
    (b"BZh", "a bzip2 archive", "Unpack it first (bunzip2)."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first (unxz)."),
    (b"PAR1", "a Parquet file", "Save it as CSV."),
    (b"\x89HDF", "an HDF5 file", "Save user, item and rating as CSV or .npz."),
    (b"\x93NUMPY", "a single NumPy array", "Save u, i and r with numpy.savez."),
    (b"SQLite format 3", "a database", "Export user, item and rating as CSV."),
    (b"\xff\xfe", "text in UTF-16", "Save it as UTF-8."),
    (b"\xfe\xff", "text in UTF-16", "Save it as UTF-8."),
)


def read(path: str | os.PathLike[str], *, name: str | None = None) -> Ratings:
    """Read a file of ratings.

    Parameters
    ----------
    path : str or path
    name : str, optional
        Shown name; the file's by default.

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
    return read_parts([path], name=name or Path(path).name)


def read_parts(paths: Sequence[str | os.PathLike[str]], *, name: str) -> Ratings:
    """Read several files as one set of ratings, one after the other.

    Parameters
    ----------
    paths : sequence of str or path
        At least one.
    name : str
        Shown name.

    Raises
    ------
    DataError
        As :func:`read`.
    """
    found = [_columns(Path(path)) for path in paths]
    one = found[0] if len(found) == 1 else _join(found)
    if not len(one.r):
        raise no_rating(Path(paths[0]))
    return Ratings.from_numbers(
        one.u, one.i, one.r, one.user_ids, one.item_ids, name=name, notices=one.notices
    )


def _columns(path: Path) -> Columns:
    try:
        head, whole = _head(path)
        for magic, what, remedy in MAGIC:
            if head.startswith(magic):
                raise DataError(f"{path}: found {what}; needed are {FORMATS}. {remedy}")
        if head.startswith(b"PK"):
            return _npz(path)
        return _text(path, head, whole)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise DataError(f"{path}: cannot be read ({reason}). Check file and rights.") from None


def _head(path: Path) -> tuple[bytes, bool]:
    """First bytes of a file, and whether they are all of it."""
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
        head = file.read(SAMPLE_BYTES)
        whole = not file.read(1)
    if not head.strip():
        raise DataError(f"{path}: the file is empty; needed are {FORMATS}.")
    return head, whole


def _text(path: Path, head: bytes, whole: bool) -> Columns:
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: found binary data (a zero byte); needed are {FORMATS}. If it "
            "was text, it is damaged: copy or download it again."
        )
    lines = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1").replace("\r\n", "\n")
    first = lines.replace("\r", "\n").split("\n")
    if not whole:
        first.pop()  # it may be cut anywhere
    content = [line for line in first if line.strip()]
    if not content:
        raise DataError(
            f"{path}, line 1: found no line end in the first {SAMPLE_BYTES:,} bytes; needed are "
            f"{FORMATS}."
        )
    if is_netflix(content[0]):
        return read_netflix(path)
    return read_delimited(path, sniff(str(path), first))


def _npz(path: Path) -> Columns:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        if not any(member.endswith(".npy") for member in members):
            raise DataError(
                f"{path}: found a zip archive ({', '.join(members[:3]) or 'empty'}); needed are "
                f"{FORMATS}. Unpack it first; of a spreadsheet, save the sheet as CSV."
            )
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in "uir" if key not in arrays]
            if missing:
                raise DataError(
                    f"{path}: found the arrays {', '.join(arrays) or '(none)'}; "
                    f"{', '.join(missing)} missing. Save u, i and r with numpy.savez."
                )
            parts: list[Any] = [arrays[key] for key in "uir"]
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in many ways, and all mean the same
        raise DataError(
            f"{path}: this .npz cannot be read ({error}); it may be truncated, or hold Python "
            "objects, which are refused. Save u, i and r as plain arrays with numpy.savez."
        ) from None
    for key, part in zip("uir", parts, strict=True):
        if part.ndim != 1:
            raise DataError(
                f"{path}: array {key} has shape {part.shape}; it must have one axis, with one "
                "entry for each rating."
            )
    ratings = Ratings.from_triples(*parts, name=str(path))
    return Columns(ratings.user_ids, ratings.u, ratings.item_ids, ratings.i, ratings.r)


def _join(parts: list[Columns]) -> Columns:
    def side(ids: list[Any], numbers: list[Any]) -> tuple[Any, Any]:
        if len({array.dtype.kind for array in ids}) > 1:
            ids = [array.astype(str) for array in ids]
        known, _ = number(np.concatenate(ids))
        renamed = [lookup(known, own)[part] for own, part in zip(ids, numbers, strict=True)]
        return known, np.concatenate(renamed)

    user_ids, u = side([part.user_ids for part in parts], [part.u for part in parts])
    item_ids, i = side([part.item_ids for part in parts], [part.i for part in parts])
    notices = dict.fromkeys(notice for part in parts for notice in part.notices)
    r = np.concatenate([part.r for part in parts])
    return Columns(user_ids, u, item_ids, i, r, tuple(notices))

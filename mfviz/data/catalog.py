"""Ratings by name: where a name is looked up, and what is said where it is not found.

The name of a data set is looked up under ``MFVIZ_DATA_DIR``, in the cache of downloads, in the
working directory, and then among the synthetic sets. Any other text is a path, or else one below
those two folders. Sets that were loaded stay in memory, the last few, as long as
their files do not change; large ones stay on disk besides, as columns (:mod:`column_cache`).
"""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mfviz.data.column_cache import open_kept
from mfviz.data.entries import ENTRIES, Entry
from mfviz.data.formats import read_parts
from mfviz.data.places import FILES, data_dir, in_archive, locate
from mfviz.data.ratings import Ratings
from mfviz.data.synthetic import generate
from mfviz.errors import DataError

__all__ = ["Entry", "Source", "entries", "entry", "find", "load"]

KEPT = 3  # sets in memory; the largest take 300 MB each

_lock = threading.Lock()


@dataclass(frozen=True)
class Source:
    """Where ratings come from.

    Attributes
    ----------
    name : str
        Shown name.
    files : tuple of Path
        To be read one after the other; empty for a synthetic set.
    entry : Entry, optional
        Set if the name is in the catalog.
    """

    name: str
    files: tuple[Path, ...] = ()
    entry: Entry | None = None


def entries() -> tuple[Entry, ...]:
    """Every data set that has a name, synthetic ones first."""
    return ENTRIES


def entry(name: str) -> Entry:
    """Return the data set of that name.

    Raises
    ------
    DataError
        If there is none, with the names that are close.
    """
    for found in ENTRIES:
        if found.name == name:
            return found
    raise _unknown(name)


def find(name_or_path: str | os.PathLike[str]) -> Source:
    """Find out what a name or path stands for, without reading it.

    Parameters
    ----------
    name_or_path : str or path
        A file; a folder that holds one of the usual files; the name of a data set; or a file in
        the folder of one, such as "ml-100k/u1.base".

    Returns
    -------
    Source

    Raises
    ------
    DataError
        If there is nothing of that name: says what there is, what is close, and how to get it.
    """
    text = os.fspath(name_or_path).strip()
    known = next((found for found in ENTRIES if found.name == text), None)
    files = locate(text, named=known is not None)
    if files:
        return Source(known.name if known else _shown(text), files, known)
    if known is not None:
        if known.kind == "synthetic":
            return Source(known.name, entry=known)
        raise DataError(known.missing)
    if text and os.path.isdir(os.path.expanduser(text)):
        raise DataError(
            f"{text}: is a folder without {', '.join(FILES)}; name the file of ratings in it."
        )
    raise _unknown(text)


def load(name_or_path: str | os.PathLike[str], *, columns: Sequence[str | int] = ()) -> Ratings:
    """Load ratings by name or path.

    Parameters
    ----------
    name_or_path : str or path
        As :func:`find` takes it.
    columns : sequence of str or int
        Columns of user, item, rating and perhaps time, by name or position from 1. By default
        they are recognised.

    Returns
    -------
    Ratings
        Possibly shared with other callers; they are immutable.

    Raises
    ------
    DataError
        If there is nothing of that name, or a file cannot be read.
    """
    source = find(name_or_path)
    try:
        stamps = tuple(map(_stamp, source.files))
    except OSError as error:
        raise DataError(f"{name_or_path}: cannot be read ({error.strerror}).") from None
    with _lock:  # two pages that ask for one set must not parse it twice
        return _loaded(source, stamps, tuple(columns))


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does, or the archive that it lies in."""
    found = _on_disk(path).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _on_disk(path: Path) -> Path:
    """The file itself, or the archive that it lies in."""
    inside = None if path.exists() else in_archive(path)
    return inside[0] if inside else path


@lru_cache(maxsize=KEPT)
def _loaded(
    source: Source, stamps: tuple[tuple[int, ...], ...], columns: tuple[str | int, ...]
) -> Ratings:
    planted = source.entry.planted if source.entry is not None and not source.files else None
    if planted is not None:
        return open_kept(
            lambda: planted, lambda: generate(planted, name=source.name), name=source.name
        )
    paths = [os.path.realpath(path) for path in source.files]
    return open_kept(
        lambda: (paths, tuple(map(_stamp, source.files)), columns),
        lambda: read_parts(source.files, name=source.name, columns=columns),
        name=source.name,
        files=map(_on_disk, source.files),
    )


def _shown(text: str) -> str:
    """Shorten a long path to its last two parts; "ml-100k/u1.base" stays what it is."""
    return "/".join(Path(text).parts[-2:]) if not Path(text).is_absolute() else Path(text).name


def _unknown(text: str) -> DataError:
    names = [found.name for found in ENTRIES]
    close = difflib.get_close_matches(text.lower(), names, n=3, cutoff=0.6)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    if os.path.dirname(text) or os.path.splitext(text)[1]:
        return DataError(
            f"{text[:200]!r}: there is no such file, from {os.getcwd()}, under MFVIZ_DATA_DIR "
            f"({data_dir() or 'not set'}) or in the cache. Check the path.{meant}"
        )
    ready = [found.name for found in ENTRIES if found.available]
    rest = [name for name in names if name not in ready]
    more = f"; to be fetched first: {', '.join(rest)}" if rest else ""
    return DataError(
        f"{text[:200]!r} is neither a file nor a data set.{meant} "
        f"Ready to use: {', '.join(ready)}{more}."
    )

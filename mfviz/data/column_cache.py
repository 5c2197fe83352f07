"""Large sets of ratings as memory-mapped columns on disk: a second open costs nothing.

What was read once is written as plain arrays into a folder of its own in the user's cache and used
from there at once, so that the system may drop pages of it instead of swapping. A folder is named
by everything that its content follows from: the files (path, size, time of change), the options of
reading and the code that reads. It is written beside its place and moved there whole: a reading
that is killed leaves nothing that has such a name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mfviz.data.places import columns_dir
from mfviz.data.ratings import Ratings

__all__ = ["LEAST", "MOST_BYTES", "Kept", "clear", "kept_sets", "open_kept"]

LEAST = 5_000_000  # ratings; smaller sets are read again in less than a second
MOST_BYTES = 20 << 30  # of all sets; what was not opened for longest goes first
SPARE_BYTES = 1 << 30  # that stay free on the disk
STALE_S = 3600  # a folder that is still unfinished after so long was left by a killed process
COLUMNS = ("u", "i", "r", "times", "user_ids", "item_ids")
ABOUT = "about.json"
UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Kept:
    """A set of ratings that lies in the cache.

    Attributes
    ----------
    name : str
        Shown name, as of its first reading.
    ratings : int
    bytes : int
        On disk.
    opened : float
        When it was last opened, in seconds since 1970.
    files : tuple of str
        What it was read from; empty for a synthetic set.
    folder : Path
    """

    name: str
    ratings: int
    bytes: int
    opened: float
    files: tuple[str, ...]
    folder: Path


def open_kept(
    identity: Callable[[], object],
    read: Callable[[], Ratings],
    *,
    name: str,
    files: Iterable[Path] = (),
) -> Ratings:
    """Open ratings from the cache, or read them and keep them there if they are many.

    Parameters
    ----------
    identity : callable
        Returns what the ratings follow from, except the code; told apart by its ``repr``. Asked
        again after the reading: what changed meanwhile is not kept.
    read : callable
        Reads them.
    name : str
        Shown name of what is opened.
    files : iterable of Path
        What is read, as it lies on the disk: once all of it is gone, what was kept goes too.

    Returns
    -------
    Ratings
        From :data:`LEAST` ratings on with memory-mapped arrays. Where the cache cannot be written
        to, those that were read.
    """
    key = _key(identity())
    place = columns_dir() / key
    found = _open(place, name)
    if found is not None:
        return found
    ratings = read()
    if ratings.nnz >= LEAST and _is_still(key, identity):
        _keep(ratings, place, [os.path.abspath(path) for path in files])
        return _open(place, name) or ratings
    return ratings


def kept_sets() -> list[Kept]:
    """Return what lies in the cache, what was opened last first."""
    found = [_described(folder) for folder in _folders() if not _unfinished(folder)]
    return sorted((kept for kept in found if kept is not None), key=lambda kept: -kept.opened)


def clear() -> int:
    """Empty the cache, also of what other processes left unfinished; return the bytes freed."""
    freed = 0
    for folder in _folders():
        size = _size(folder)
        shutil.rmtree(folder, ignore_errors=True)
        freed += size if not folder.exists() else 0
    return freed


def _key(identity: object) -> str:
    digest = hashlib.sha256(f"{_code()}\n{identity!r}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _is_still(key: str, identity: Callable[[], object]) -> bool:
    try:
        return _key(identity()) == key
    except OSError:  # a file is gone
        return False


@cache
def _code() -> str:
    """What stands for the code that reads, so that a mended reader never meets old columns."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _open(place: Path, name: str) -> Ratings | None:
    """Open a folder of columns; None if it is not there, and away with it if it is damaged."""
    try:
        about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
        columns: dict[str, Any] = {
            column: np.asarray(np.load(place / f"{column}.npy", mmap_mode="r", allow_pickle=False))
            for column in about["columns"]
        }
        columns.setdefault("times", None)
        ratings = Ratings(**columns, name=name, notices=tuple(about["notices"]))
        lengths = {len(ratings.u), len(ratings.i), len(ratings.r), about["ratings"]}
        if len(lengths) > 1 or (ratings.times is not None and len(ratings.times) != ratings.nnz):
            raise ValueError("columns of different lengths")
        vars(ratings)["duplicates"] = int(about["duplicates"])  # the count is dear; it is kept
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(place, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):  # a cache that may only be read serves all the same
        os.utime(place)
    return ratings


def _keep(ratings: Ratings, place: Path, files: list[str]) -> None:
    """Write ratings into the cache, whole or not at all."""
    columns: dict[str, Any] = {
        column: getattr(ratings, column)
        for column in COLUMNS
        if getattr(ratings, column) is not None
    }
    about = {
        "name": ratings.name,
        "ratings": ratings.nnz,
        "duplicates": ratings.duplicates,
        "notices": list(ratings.notices),
        "files": files,
        "columns": list(columns),
    }
    needed = sum(array.nbytes for array in columns.values())
    # No room, no rights, or another process was quicker: then the ratings that were read serve.
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        _make_room(needed)
        if needed > MOST_BYTES or shutil.disk_usage(place.parent).free < needed + SPARE_BYTES:
            return
        with tempfile.TemporaryDirectory(
            dir=place.parent, prefix=UNFINISHED, ignore_cleanup_errors=True
        ) as scratch:
            fresh = Path(scratch) / "whole"
            fresh.mkdir()
            for column, array in columns.items():
                with open(fresh / f"{column}.npy", "wb") as file:
                    np.save(file, np.asarray(array), allow_pickle=False)
                    _to_disk(file)
            with open(fresh / ABOUT, "w", encoding="utf-8") as file:
                json.dump(about, file)
                _to_disk(file)
            os.replace(fresh, place)


def _to_disk(file: Any) -> None:
    """Wait until a file is on the disk: after a power cut its length alone says nothing."""
    file.flush()
    os.fsync(file.fileno())


def _make_room(needed: int) -> None:
    """Remove what nobody finished, what no file belongs to any more, and the oldest beyond all."""
    now = time.time()
    for folder in _folders():
        if _unfinished(folder) and now - folder.stat().st_mtime > STALE_S:
            shutil.rmtree(folder, ignore_errors=True)
    held = 0
    for kept in kept_sets():
        orphan = bool(kept.files) and not any(map(os.path.exists, kept.files))
        held += kept.bytes
        if orphan or held + needed > MOST_BYTES:
            shutil.rmtree(kept.folder, ignore_errors=True)
            held -= kept.bytes


def _folders() -> list[Path]:
    base = columns_dir()
    return [path for path in base.iterdir() if path.is_dir()] if base.is_dir() else []


def _unfinished(folder: Path) -> bool:
    return folder.name.startswith(UNFINISHED)


def _described(folder: Path) -> Kept | None:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        opened = folder.stat().st_mtime
        name, count, files = about["name"], int(about["ratings"]), tuple(about["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged, or removed meanwhile by another process
    return Kept(name, count, _size(folder), opened, files, folder)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total

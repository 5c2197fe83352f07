"""Where data sets lie on this machine: ``MFVIZ_DATA_DIR`` first, then the cache of downloads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TypeVar

import platformdirs

__all__ = [
    "FILES",
    "cache_dir",
    "chosen_of",
    "columns_dir",
    "data_dir",
    "in_archive",
    "locate",
    "ratings_files",
    "without_packing",
]

# Of a folder, the first of these patterns that finds something is what is read.
FILES = (
    *("u.data", "ratings.dat", "ratings.csv", "combined_data_*.txt", "mv_*.txt", "trainIdx1.txt"),
    *("ydata-ymusic-user-artist-ratings*.txt", "train_*.txt", "jester_ratings.dat"),
    *("jester-data-*.csv", "ratings.tsv", "ratings.parquet", "*.parquet", "*.mtx", "*.npz"),
)
PACKED = (".gz", ".bz2", ".zst", ".lz4")
AnyPath = TypeVar("AnyPath", bound=PurePath)


def data_dir() -> Path | None:
    """Folder of the user's own data sets, ``MFVIZ_DATA_DIR``; None if it is not set."""
    chosen = os.environ.get("MFVIZ_DATA_DIR")
    return Path(chosen) if chosen else None


def cache_dir() -> Path:
    """Folder of downloads, below ``MFVIZ_CACHE_DIR`` or else the user's cache folder."""
    return _cache() / "data"


def columns_dir() -> Path:
    """Folder of large sets that were read, beside that of downloads."""
    return _cache() / "columns"


def _cache() -> Path:
    chosen = os.environ.get("MFVIZ_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mfviz"))


def chosen_of(paths: Iterable[AnyPath]) -> tuple[AnyPath, ...]:
    """Choose the parts of one set of ratings among files, by their usual names.

    Parameters
    ----------
    paths : iterable of path
        Those less deep are preferred.

    Returns
    -------
    tuple of path
        Several parts of one set, but not the sets of several folders; a file once, where it lies
        there compressed too.
    """
    files = sorted(paths, key=lambda path: (len(path.parts), path))
    for pattern in FILES:
        found: dict[str, AnyPath] = {}
        for path in files:
            name = without_packing(path.name)
            first = next(iter(found.values()), path)
            if fnmatchcase(name, pattern) and path.parent == first.parent:
                found.setdefault(name, path)
        if found:
            return tuple(found.values())
    return ()


def without_packing(name: str) -> str:
    """Name of a file without the suffix that says how it is compressed."""
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return name


def ratings_files(folder: Path) -> tuple[Path, ...]:
    """Files of ratings in a folder, or in a folder of it (archives often hold one)."""
    files = [path for place in ("*", "*/*") for path in folder.glob(place) if path.is_file()]
    archives = [path for path in files if path.suffix == ".zip" and path.parent == folder]
    return chosen_of(files) or (tuple(archives) if len(archives) == 1 else ())


def in_archive(path: Path) -> tuple[Path, str] | None:
    """Split the path of a member, ``archive.zip/name``; None if it is none."""
    for parent in path.parents:
        if os.path.isfile(parent):
            member = path.relative_to(parent).as_posix()
            return (parent, member) if parent.suffix.lower() == ".zip" else None
    return None


def locate(text: str, *, named: bool = False) -> tuple[Path, ...]:
    """Files that a name or path stands for; empty if there are none.

    Parameters
    ----------
    text : str
        A path, or one below ``MFVIZ_DATA_DIR`` or the cache: "ml-1m", "ml-100k/u1.base". A set
        may lie there as its archive, "ml-1m.zip", and a member of one is a path below it.
    named : bool
        Whether the text is the name of a data set. Then those two come first, and what happens to
        have that name in the working directory last.
    """
    if not text or "\0" in text:
        return ()
    path = Path(os.path.expanduser(text))
    places = [path]
    if not path.is_absolute():
        below = [base / text for base in (data_dir(), cache_dir()) if base is not None]
        places = [*below, path] if named else [path, *below]
    for place in places:
        below_it = place is not path and bool(place.name)
        archive = place.with_name(f"{place.name}.zip") if below_it else place
        if os.path.isdir(place):
            files = ratings_files(place)
            if files:
                return files
        elif os.path.exists(place) or in_archive(place):
            return (place,)
        if below_it and os.path.isfile(archive):
            return (archive,)
    return ()

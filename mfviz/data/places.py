"""Where data sets lie on this machine: ``MFVIZ_DATA_DIR`` first, then the cache of downloads."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["FILES", "cache_dir", "data_dir", "locate", "ratings_files"]

# Of a folder, the first of these patterns that finds something is what is read.
FILES = ("u.data", "ratings.dat", "ratings.csv", "combined_data_*.txt", "ratings.tsv", "*.npz")


def data_dir() -> Path | None:
    """Folder of the user's own data sets, ``MFVIZ_DATA_DIR``; None if it is not set."""
    chosen = os.environ.get("MFVIZ_DATA_DIR")
    return Path(chosen) if chosen else None


def cache_dir() -> Path:
    """Folder of downloads: ``MFVIZ_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get("MFVIZ_CACHE_DIR")
    return (Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mfviz"))) / "data"


def ratings_files(folder: Path) -> tuple[Path, ...]:
    """Files of ratings in a folder, or in a folder of it (archives often hold one)."""
    for pattern in FILES:
        for place in (pattern, f"*/{pattern}"):
            files = sorted(path for path in folder.glob(place) if path.is_file())
            if files:  # several parts of one set, but not the sets of several folders
                return tuple(path for path in files if path.parent == files[0].parent)
    return ()


def locate(text: str) -> tuple[Path, ...]:
    """Files that a name or path stands for; empty if there are none.

    Parameters
    ----------
    text : str
        A path, or one below ``MFVIZ_DATA_DIR`` or the cache: "ml-1m", "ml-100k/u1.base".
    """
    if not text or "\0" in text:
        return ()
    places = [Path(os.path.expanduser(text))]
    if not places[0].is_absolute():
        places += [base / text for base in (data_dir(), cache_dir()) if base is not None]
    for place in places:
        if os.path.isdir(place):
            files = ratings_files(place)
            if files:
                return files
        elif os.path.exists(place):
            return (place,)
    return ()

"""Ratings inside a zip archive, read where they are: nothing is written anywhere."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mfviz.data.content import Content, printable
from mfviz.data.places import FILES, chosen_of
from mfviz.errors import DataError

__all__ = ["is_npz", "members"]

MOST = 64
OTHERS = ("README*", "readme*", "LICENSE*", "*.md", "*.html", "*.pdf", "*.xml", "*.sh", "*.pl")


def is_npz(path: Path) -> bool:
    """Whether an archive is one of NumPy."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def members(path: Path, wanted: str = "") -> tuple[Content, ...]:
    """Find the members of an archive that hold ratings.

    Parameters
    ----------
    path : Path
        A zip archive.
    wanted : str
        The name of one member; without it, what has a usual name or is alone.

    Returns
    -------
    tuple of Content
        Parts of one set.

    Raises
    ------
    DataError
        If there is no such member, or several could be meant, or it is encrypted.
    """
    with zipfile.ZipFile(path) as archive:
        there = [
            info.filename
            for info in archive.infolist()
            if not info.is_dir() and not info.filename.startswith("__MACOSX")
        ]
        names = [wanted] if wanted in there else [] if wanted else _choice(there)
        if names and any(archive.getinfo(name).flag_bits & 1 for name in names):
            raise DataError(
                f"{path}: this zip archive is encrypted. Unpack it with its password first."
            )
    if len(names) > MOST:  # each is found through the whole directory of the archive
        raise DataError(
            f"{path}: {len(names):,} files of ratings in a zip archive take long to read; at most "
            f"{MOST} are taken. Unpack it, and name the folder."
        )
    if not names:
        shown = ", ".join(map(printable, there[:6])) + (", ..." if len(there) > 6 else "")
        raise DataError(
            f"{path}: found a zip archive ({shown[:300] or 'empty'}) and no ratings in it as "
            f"{wanted[:100] or ', '.join(FILES[:3])}. Name the member, as {path.name}/NAME, or "
            "unpack it first; of a spreadsheet, save the sheet as CSV."
        )
    return tuple(Content(path, member=name) for name in names)


def _choice(there: Sequence[str]) -> list[str]:
    """Members with a usual name in one folder; else the only one that is no document."""
    found = chosen_of([PurePosixPath(name) for name in there])
    if found:
        return [str(name) for name in found if str(name) in there]
    rest = [
        name
        for name in there
        if not any(fnmatchcase(PurePosixPath(name).name, other) for other in OTHERS)
    ]
    return rest if len(rest) == 1 else []

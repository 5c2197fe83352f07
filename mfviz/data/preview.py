"""A file of ratings as it was understood, to be looked at before it is used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mfviz.data.catalog import load
from mfviz.data.formats import look
from mfviz.data.ratings import NO_TIME, Ratings

__all__ = ["Preview", "preview"]

ROWS = 5
LONGEST = 80  # characters of a line


@dataclass(frozen=True, eq=False)
class Preview:
    """What a file holds and what was read from it.

    Attributes
    ----------
    ratings : Ratings
        All of them.
    lines : tuple of str
        First lines of a text file as they stand there, shortened.
    rows : tuple of (str, str, str, str)
        User, item, rating and time ("" where it is not known) of the first ratings.
    """

    ratings: Ratings
    lines: tuple[str, ...]
    rows: tuple[tuple[str, str, str, str], ...]


def preview(path: str | os.PathLike[str]) -> Preview:
    """Read a file and keep what a person needs to see whether it was read rightly.

    Parameters
    ----------
    path : str or path
        A file or an archive.

    Returns
    -------
    Preview

    Raises
    ------
    DataError
        If it cannot be read: names the file, the line, what was found and the remedy.
    """
    found = look(Path(path))[0]
    lines = found.content[:ROWS] if found.is_text else []
    ratings = load(path)  # kept by the catalog: to use it afterwards costs nothing
    return Preview(
        ratings,
        tuple(line if len(line) <= LONGEST else f"{line[:LONGEST]}…" for line in lines),
        tuple(_row(ratings, at) for at in range(min(ROWS, ratings.nnz))),
    )


def _row(ratings: Ratings, at: int) -> tuple[str, str, str, str]:
    time = "" if ratings.times is None or ratings.times[at] == NO_TIME else str(ratings.times[at])
    user, item = ratings.user_ids[ratings.u[at]], ratings.item_ids[ratings.i[at]]
    return str(user), str(item), f"{float(ratings.r[at]):g}", time

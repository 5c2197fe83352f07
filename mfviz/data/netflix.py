"""The Netflix Prize format: a line ``movie:``, then lines ``user,rating,date``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mfviz.data.columns import ID_TYPE, Columns, parse, take_ids, take_ratings
from mfviz.data.faults import check_id, check_rating, find_fault
from mfviz.data.numbering import number
from mfviz.data.sniff import shown

__all__ = ["is_netflix", "read_netflix"]

MOVIE = re.compile(r"(\d{1,18}):\s*", re.ASCII)
CHUNK_BYTES = 1 << 26


def is_netflix(line: str) -> bool:
    """Whether a file that starts with this line is in the Netflix Prize format."""
    return MOVIE.fullmatch(line) is not None


def read_netflix(path: Path) -> Columns:
    """Read one ``combined_data_*.txt`` or ``mv_*.txt``.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Columns

    Raises
    ------
    DataError
        If a line is neither a movie nor a rating.
    """
    try:
        movies, counts = _movies(path)  # first: Arrow can hand on odd rows of plain text only
        table = parse(
            path,
            names=["user", "rating", "date"],
            types={"user": ID_TYPE, "rating": pa.float32()},
            delimiter=",",
            odd_row=lambda row: "skip" if MOVIE.fullmatch(row.text) else "error",
        )
        user_ids, u = take_ids(table.column("user"))
        r = take_ratings(table.column("rating"))
        if counts.sum() != len(r):
            raise ValueError("the ratings under the movies do not add up")
    except (ValueError, pa.ArrowException) as error:
        raise find_fault(path, _check, 0, str(error)) from None
    item_ids, i = number(np.repeat(movies, counts))
    return Columns(user_ids, u, item_ids, i, r)


def _movies(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Movies in the order of the file, and the ratings under each.

    Only a movie's line holds a colon, and a rating's line holds two commas, so counting these two
    characters is enough and needs no look at the lines.
    """
    ids: list[int] = []
    before: list[npt.NDArray[np.int64]] = []
    commas, tail = 0, b""
    with open(path, "rb") as file:
        if file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
        while block := file.read(CHUNK_BYTES):
            if not block.isascii():
                raise ValueError("a character is not ASCII")
            view = np.frombuffer(block, dtype=np.uint8)
            colon, comma = np.flatnonzero(view == ord(":")), np.flatnonzero(view == ord(","))
            for at in colon.tolist():
                text = block[at - 20 : at] if at >= 20 else (tail + block[:at])[-20:]
                ids.append(int(re.split(rb"[\r\n]", text)[-1]))
            before.append(np.searchsorted(comma, colon) + commas)
            commas += len(comma)
            tail = block[-20:]
    counts = np.diff(np.concatenate((*before, [commas])))
    if (counts % 2).any():
        raise ValueError("a line under a movie has not two commas")
    return np.array(ids, dtype=np.int64), counts // 2


def _check(line: str) -> str:
    if MOVIE.fullmatch(line):
        return ""
    fields = line.split(",")
    if len(fields) != 3 or not line.isascii():
        return f"found {shown(line)}; it must be 'movie:' or 'user,rating,date'."
    return check_id("user", fields[0]) or check_rating(fields[1])

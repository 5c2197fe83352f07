"""Synthetic ratings written exactly as MovieLens and Netflix write theirs, at any size.

The ratings are planted (:mod:`mfviz.data.synthetic`); ids have gaps and times are drawn, as in the
real files, so that a reader has the same work.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from mfviz.data.numbering import stable_order
from mfviz.data.synthetic import PRESETS, Planted, generate

__all__ = ["MOVIELENS", "NETFLIX", "scaled", "write_movielens", "write_netflix"]

MOVIELENS = PRESETS["25m-like"]
NETFLIX = Planted(users=480_189, items=17_770, ratings=100_480_507, step=1.0)
MOST_ID = {"movie": 209_171, "customer": 2_649_429}
SECONDS = (789_652_009, 1_574_327_703)  # first and last rating of MovieLens 25M
DAYS = (10_906, 13_149)  # of the Netflix Prize, since 1970
FILES = 4
LINES = 1 << 20  # written at a time
PLAIN = csv.WriteOptions(include_header=False, quoting_style="none")


def scaled(settings: Planted, ratings: int) -> Planted:
    """Return settings for another number of ratings and the same share of rated cells."""
    share = (ratings / settings.ratings) ** 0.5
    users, items = (max(2, round(share * side)) for side in (settings.users, settings.items))
    return replace(settings, users=users, items=items, ratings=ratings)


def write_movielens(path: Path, settings: Planted) -> tuple[int, float]:
    """Write a ``ratings.csv`` with header, CRLF and half stars, by user and film.

    Parameters
    ----------
    path : Path
    settings : Planted

    Returns
    -------
    ratings : int
    mean : float
        Of what was written.
    """
    found, rng = generate(settings), np.random.default_rng(settings.seed)
    films = _ids(found.n_items, MOST_ID["movie"], rng)
    times = rng.integers(*SECONDS, found.nnz)
    stars = pa.array([f"{half / 2:.1f}" for half in range(11)])
    with open(path, "wb") as file:
        file.write(b"userId,movieId,rating,timestamp\r\n")
        for at in range(0, found.nnz, LINES):
            part = slice(at, at + LINES)
            columns = {
                "userId": found.u[part] + 1,
                "movieId": films[found.i[part]],
                "rating": stars.take(pa.array(np.rint(2 * found.r[part]).astype(np.int32))),
                "timestamp": times[part],
            }
            file.write(_text(pa.table(columns)).replace(b"\n", b"\r\n"))
    return found.nnz, found.mean


def write_netflix(folder: Path, settings: Planted) -> tuple[int, float]:
    """Write ``combined_data_1.txt`` to ``combined_data_4.txt``: films, and below each its ratings.

    Parameters
    ----------
    folder : Path
    settings : Planted

    Returns
    -------
    ratings : int
    mean : float
        Of what was written.
    """
    found, rng = generate(settings), np.random.default_rng(settings.seed)
    customers = _ids(found.n_users, MOST_ID["customer"], rng)
    order = stable_order(found.i, found.n_items)
    ends = np.cumsum(found.item_counts)
    borders = [found.n_items * part // FILES for part in range(FILES + 1)]
    for part, (first, last) in enumerate(itertools.pairwise(borders), start=1):
        with open(folder / f"combined_data_{part}.txt", "wb") as file:
            for film in range(first, last):
                places = order[ends[film - 1] if film else 0 : ends[film]]
                rng.shuffle(places)
                columns = {
                    "user": customers[found.u[places]],
                    "rating": found.r[places].astype(np.int32),
                    "date": pa.array(rng.integers(*DAYS, len(places), dtype=np.int32)).cast(
                        pa.date32()
                    ),
                }
                file.write(b"%d:\n" % (film + 1) + _text(pa.table(columns)))
    return found.nnz, found.mean


def _ids(count: int, most: int, rng: np.random.Generator) -> Any:
    """Ascending ids with gaps."""
    return np.sort(rng.choice(max(most, count), count, replace=False)) + 1


def _text(table: Any) -> bytes:
    out = io.BytesIO()
    csv.write_csv(table, out, PLAIN)
    return out.getvalue()

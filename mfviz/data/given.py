"""Training and test ratings by name: with a split, a test file, or the official test set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mfviz.data.catalog import find, load
from mfviz.data.content import Content
from mfviz.data.formats import look, read_parts, reading
from mfviz.data.grouped import is_pairs, read_pairs
from mfviz.data.holdout import why_no_times
from mfviz.data.official import official_test
from mfviz.data.problem import Problem
from mfviz.data.ratings import Ratings
from mfviz.data.ways import HOLDOUT, Way
from mfviz.errors import DataError, ParameterError

__all__ = ["SPLITS", "load_problem", "split_in_way", "why_not"]

SPLITS = ("random", "time", "official")


def load_problem(
    name_or_path: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    holdout: float | None = None,
    by: str = "random",
    leave_out: int = 0,
    seed: int = 0,
    columns: Sequence[str | int] = (),
) -> Problem:
    """Load ratings and their test set.

    Parameters
    ----------
    name_or_path : str or path
        A data set or file.
    test : str or path, optional
        Test ratings, or pairs without ratings (Netflix's ``probe.txt``), which are then taken out
        of the training ratings.
    holdout : float, optional
        Share of all ratings to hold out; 0.1 by default.
    by : str
        One of :data:`SPLITS`.
    leave_out : int
        Ratings of each user to hold out, in place of a share.
    seed : int
        Of the split.
    columns : sequence of str or int
        Columns of both files, see :func:`mfviz.data.catalog.load`.

    Raises
    ------
    ParameterError
        If settings exclude each other, or there is no official test set.
    DataError
        If a file cannot be read, or there are no times to split by.
    """
    given = [holdout is not None, bool(leave_out), test is not None or by == "official"]
    if by not in SPLITS:
        raise ParameterError(f"a split is {', '.join(SPLITS)}, not {by!r}.", "split")
    if sum(given) > 1 or (test is not None and by != "random"):
        raise ParameterError(
            "a test file, the official test set, a hold-out and ratings left out of each user "
            "exclude each other; give one of them."
        )
    way = Way(
        by=by,
        holdout=HOLDOUT if holdout is None else holdout,
        leave_out=leave_out,
        test="" if test is None else os.fspath(test),
    )
    ratings = load(name_or_path, columns=columns)
    return split_in_way(ratings, name_or_path, way, seed=seed, columns=columns)


def split_in_way(
    ratings: Ratings,
    name_or_path: str | os.PathLike[str],
    way: Way,
    *,
    seed: int = 0,
    columns: Sequence[str | int] = (),
) -> Problem:
    """Split ratings that were loaded, or load their test set too.

    Parameters
    ----------
    ratings : Ratings
    name_or_path : str or path
        What they were loaded from.
    way : Way
    seed : int
    columns : sequence of str or int
        Columns of a test file.

    Raises
    ------
    ParameterError, DataError
        As :func:`load_problem`.
    """
    if not way.beside:
        return way.split(ratings, seed)
    files = find(way.test).files if way.test else official_test(find(name_or_path).files)
    pairs = _pairs(files)
    if pairs is not None:
        return _without(ratings, pairs, seed)
    part = (
        load(way.test, columns=columns)
        if way.test
        else read_parts(files, name=files[0].name, columns=columns)
    )
    return Problem.from_files(ratings, part, seed=seed)


def why_not(ratings: Ratings, name_or_path: str | os.PathLike[str]) -> dict[str, str]:
    """Say why ratings cannot be split in some ways.

    Parameters
    ----------
    ratings : Ratings
    name_or_path : str or path
        What they were loaded from.

    Returns
    -------
    dict
        Way ("time", "official") to a reason, for those that cannot be.
    """
    reasons = {"time": why_no_times(ratings)}
    try:
        files = find(name_or_path).files
        reasons["official"] = "" if files and official_test(files) else "a synthetic set has none"
    except (ParameterError, DataError):
        reasons["official"] = "none was found beside the ratings"
    return {way: reason for way, reason in reasons.items() if reason}


def _pairs(files: Sequence[Path]) -> Content | None:
    """Return the list of pairs without ratings that a path holds, if it does."""
    looked = look(files[0]) if len(files) == 1 else []
    if len(looked) == 1 and looked[0].is_text and is_pairs(looked[0].content):
        return looked[0].source
    return None


def _without(ratings: Ratings, source: Content, seed: int) -> Problem:
    with reading(source.label):
        user_ids, u, item_ids, i = read_pairs(source)
    return Problem.from_pairs(ratings, user_ids[u], item_ids[i], seed=seed)

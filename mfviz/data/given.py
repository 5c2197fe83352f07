"""Training and test ratings by name: with a split, a test file, or the official test set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mfviz.data.catalog import find, load
from mfviz.data.content import Content
from mfviz.data.formats import look, read_parts, reading
from mfviz.data.grouped import is_pairs, read_pairs
from mfviz.data.places import without_packing
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.errors import ParameterError

__all__ = ["SPLITS", "load_problem", "official_test"]

SPLITS = ("random", "time", "official")
HOLDOUT = 0.1
# Beside training files of such a name lie test files of such names: Netflix Prize, KDD Cup 2011,
# Yahoo! Music R2, MovieLens 100K.
OFFICIAL = (
    ("mv_*.txt", "probe.txt"),
    ("combined_data_*.txt", "probe.txt"),
    ("trainIdx1.txt", "validationIdx1.txt"),
    ("train_*.txt", "test_*.txt"),
    ("*.base", "{stem}.test"),
)


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
    ways = [holdout is not None, bool(leave_out), test is not None or by == "official"]
    if by not in SPLITS:
        raise ParameterError(f"a split is {', '.join(SPLITS)}, not {by!r}.", "split")
    if sum(ways) > 1 or (test is not None and by != "random"):
        raise ParameterError(
            "a test file, the official test set, a hold-out and ratings left out of each user "
            "exclude each other; give one of them."
        )
    ratings = load(name_or_path, columns=columns)
    if test is not None or by == "official":
        files = official_test(find(name_or_path).files) if test is None else find(test).files
        pairs = _pairs(files)
        if pairs is not None:
            return _without(ratings, pairs, seed)
        part = (
            read_parts(files, name=files[0].name, columns=columns)
            if test is None
            else load(test, columns=columns)
        )
        return Problem.from_files(ratings, part, seed=seed)
    share = HOLDOUT if holdout is None else holdout
    return split(ratings, holdout=share, seed=seed, by=by, leave_out=leave_out)


def official_test(files: Sequence[Path]) -> tuple[Path, ...]:
    """Find the official test set beside the training files, or in the folder above them.

    Parameters
    ----------
    files : sequence of Path

    Raises
    ------
    ParameterError
        If there is none: says which ones are known.
    """
    for path in files[:1]:
        name = without_packing(path.name)
        for pattern, beside in OFFICIAL:
            if not fnmatchcase(name, pattern):
                continue
            wanted = beside.format(stem=Path(name).stem)
            for folder in (path.parent, path.parent.parent):
                found: dict[str, Path] = {}
                for other in sorted(folder.iterdir()):
                    if fnmatchcase(without_packing(other.name), wanted):
                        found.setdefault(without_packing(other.name), other)
                if found:
                    return tuple(found.values())
    known = "; ".join(f"{beside} beside {pattern}" for pattern, beside in OFFICIAL[1:4])
    raise ParameterError(
        f"there is no official test set here. Known are {known}; u1.test beside u1.base. Name the "
        "file with --test, or split at random.",
        "split",
    )


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

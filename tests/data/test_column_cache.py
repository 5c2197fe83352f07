"""Large sets are opened from their columns on disk, and never from half of them."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from mfviz.api import factorize
from mfviz.data import catalog, column_cache
from mfviz.data.column_cache import clear, kept_sets, open_kept
from mfviz.data.places import columns_dir
from mfviz.data.problem import split
from mfviz.data.ratings import Ratings
from tests.data.samples import TEXT, TIMES, rows, times, write


@pytest.fixture(autouse=True)
def small_sets_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own that keeps sets of any size."""
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(column_cache, "LEAST", 1)
    catalog._loaded.cache_clear()


def ratings(count: int = 4, **more: Any) -> Ratings:
    at = np.arange(count)
    return Ratings.from_triples(at % 3, at % 2, at, name="made", times=at + 5, **more)


def never() -> NoReturn:
    raise AssertionError("it was read again")


def keep(name: str, count: int = 4, files: tuple[Path, ...] = ()) -> Ratings:
    return open_kept(lambda: name, lambda: ratings(count), name=name, files=files)


def base_of(array: Any) -> Any:
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_a_second_open_reads_nothing_and_finds_the_same() -> None:
    given = ratings(8, notices=("told",))
    first = open_kept(lambda: "one", lambda: given, name="first")
    again = open_kept(lambda: "one", never, name="again")
    for found in (first, again):
        assert rows(found) == rows(given)
        assert times(found) == times(given)
        assert found.notices == given.notices
        assert "2 repeated" in found.notices[-1]
        assert found.duplicates == given.duplicates == 2
        assert isinstance(base_of(found.u), mmap.mmap)
        assert not found.r.flags.writeable
    assert (first.name, again.name) == ("first", "again")


def test_text_ids_come_back() -> None:
    given = Ratings.from_triples(["ann", "bo"], ["x", "ü"], [1, 2])
    open_kept(lambda: 1, lambda: given, name="text")
    again = open_kept(lambda: 1, never, name="text")
    assert rows(again) == rows(given)
    assert again.times is None


def test_small_sets_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_cache, "LEAST", 5)
    keep("small", 4)
    assert kept_sets() == []
    keep("large", 5)
    assert [kept.name for kept in kept_sets()] == ["made"]


def test_a_file_is_read_once_until_it_changes_or_is_asked_for_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "u.data", TEXT)
    first = catalog.load(path)
    catalog._loaded.cache_clear()  # as another process would come
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "read_parts", lambda *args, **options: never())
        again = catalog.load(path)
    assert again is not first
    assert (rows(again), times(again)) == (rows(first), TIMES)
    assert rows(catalog.load(path, columns=(2, 1, 3)))[0] == (30, 7, 4.0)
    write(path, TEXT + "12\t30\t2\t881250949\n")
    assert catalog.load(path).nnz == 5
    os.utime(path, (1, 1))
    assert catalog.load(path).nnz == 5
    assert len(kept_sets()) == 4
    monkeypatch.setattr(column_cache, "_code", lambda: "a mended reader")
    catalog._loaded.cache_clear()
    catalog.load(path)
    assert len(kept_sets()) == 5


def test_a_file_that_changes_while_it_is_read_is_not_kept() -> None:
    stamps = iter([1, 2])
    open_kept(lambda: next(stamps), ratings, name="moving")

    def gone() -> int:
        raise FileNotFoundError

    answers: list[Callable[[], int]] = [lambda: 1, gone]
    open_kept(lambda: answers.pop(0)(), ratings, name="gone")
    assert kept_sets() == []


KILLED = """
import os, signal, sys
import numpy as np
from mfviz.data import column_cache
column_cache.LEAST = 1
save, left = np.save, [int(sys.argv[1])]
def dying(file, array, **options):
    left[0] -= 1
    if left[0] < 0:
        file.write(b"half"); file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(file, array, **options)
np.save = dying
from tests.data.test_column_cache import keep
keep("one")
"""


@pytest.mark.parametrize("whole", [0, 5])
def test_a_killed_conversion_is_never_taken_for_a_whole_one(whole: int) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(whole)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = columns_dir().iterdir()
    assert len(list((left / "whole").iterdir())) == whole + 1
    assert kept_sets() == []
    assert rows(keep("one")) == rows(ratings())
    assert len(kept_sets()) == 1
    assert left.exists(), "it might be the work of a process that lives"
    long_ago = time.time() - 2 * column_cache.STALE_S
    os.utime(left, (long_ago, long_ago))
    keep("two")
    assert not left.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "about", "lengths", "objects", "missing"])
def test_what_is_damaged_is_read_again(damage: str) -> None:
    keep("one")
    folder = kept_sets()[0].folder
    column, about = folder / "r.npy", folder / "about.json"
    if damage == "cut":
        column.write_bytes(column.read_bytes()[:-4])
    elif damage == "text":
        column.write_text("no array")
    elif damage == "about":
        about.write_text("{")
    elif damage == "lengths":
        np.save(column, np.zeros(3, dtype=np.float32))
    elif damage == "objects":
        np.save(column, np.array([{}] * 4), allow_pickle=True)
    else:
        about.write_text(json.dumps({**json.loads(about.read_text()), "columns": ["u", "i"]}))
    assert rows(keep("one")) == rows(ratings())
    assert rows(open_kept(lambda: "one", never, name="one")) == rows(ratings())


def test_ratings_serve_where_the_cache_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(column_cache, "SPARE_BYTES", 1 << 62)
        assert keep("disk is full").nnz == 4
        patch.setattr(column_cache, "MOST_BYTES", 10)
        assert keep("too large").nnz == 4
    write(tmp_path / "file", "")
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path / "file"))
    assert keep("no folder").nnz == 4
    assert kept_sets() == []


def test_room_is_made_by_what_was_not_opened_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, gone = write(tmp_path / "alive", "1"), write(tmp_path / "gone", "1")
    for at, (name, file) in enumerate({"old": alive, "new": alive, "orphan": gone}.items()):
        keep(name, files=(file,))
        os.utime(columns_dir() / column_cache._key(name), (at + 1, at + 1))
    gone.unlink()
    keep("made", files=())
    names = {"old", "new", "orphan", "made"}
    there = {name for name in names if (columns_dir() / column_cache._key(name)).exists()}
    assert there == {"old", "new", "made"}
    held = sum(kept.bytes for kept in kept_sets())
    monkeypatch.setattr(column_cache, "MOST_BYTES", held)
    open_kept(lambda: "new", never, name="new")
    keep("more", 2)
    assert len(kept_sets()) == 3
    assert not (columns_dir() / column_cache._key("old")).exists()


def test_clearing_frees_everything() -> None:
    keep("one")
    keep("two")
    held = sum(kept.bytes for kept in kept_sets())
    assert held > 4 * 20
    assert clear() == held
    assert kept_sets() == []
    assert clear() == 0


def test_mapped_columns_reach_a_solver_without_a_copy() -> None:
    found = keep("large", 600)
    whole = split(found, holdout=0.0).train
    for column in ("u", "i", "r"):
        assert np.shares_memory(getattr(whole, column), getattr(found, column))
    parts = split(found, holdout=0.1)
    assert parts.fingerprint == split(ratings(600), holdout=0.1).fingerprint
    result = factorize(found, solver="als", rank=2, epochs=1, workers=1, progress=False)
    assert result.status == "done"

"""Names lead to ratings, or to a sentence that says what there is and how to get it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mfviz.data import catalog
from mfviz.data.catalog import entries, entry, find, load
from mfviz.data.places import cache_dir, ratings_files
from mfviz.data.synthetic import PRESETS
from mfviz.errors import DataError

REAL = (
    "ml-100k ml-1m ml-latest-small movietweetings-100k netflix-sample netflix kdd-cup-2011 "
    "ml-10m ml-20m ml-25m ml-32m"
).split()
ROWS = "1::7::3::0\n2::8::4::0\n"


@pytest.fixture(autouse=True)
def own_dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders of data and downloads, and an empty memory."""
    for name in ("data", "cache/data", "here"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "here")
    catalog._loaded.cache_clear()
    return tmp_path


def put(path: Path, text: str = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_set_is_described() -> None:
    names = [found.name for found in entries()]
    assert names == [*PRESETS, *REAL]
    assert len({found.title for found in entries()}) == len(names)
    for found in entries():
        assert found.description.endswith(".")
        assert found.licence.endswith(".")
        assert min(found.users, found.items, found.ratings) > 0
        assert found.kind in ("synthetic", "download", "own copy")
        assert bool(found.url) == (found.kind == "download")
        assert bool(found.files) == (found.kind == "own copy")
        assert entry(found.name) is found
        if "grouplens" in found.url:
            kind, digits = found.checksum.split(":")
            assert len(bytes.fromhex(digits)) == {"md5": 16, "sha256": 32}[kind]
            assert found.bytes > 900_000


def test_availability_follows_the_files(own_dirs: Path) -> None:
    assert entry("toy").available
    assert not entry("ml-1m").available
    assert "mfviz data get ml-1m" in entry("ml-1m").missing
    assert "MFVIZ_DATA_DIR" in entry("netflix-sample").missing
    assert "get" not in entry("netflix-sample").missing
    put(own_dirs / "data/ml-1m/ratings.dat")
    assert entry("ml-1m").available
    put(own_dirs / "cache/data/ml-10m/ml-10M100K/ratings.dat")
    assert entry("ml-10m").available


def test_a_synthetic_set_is_made_by_name() -> None:
    found = load("toy")
    assert (found.name, found.nnz) == ("toy", 900)
    assert load("toy") is found


def test_a_name_is_looked_up_in_data_then_in_the_cache_then_here(own_dirs: Path) -> None:
    put(own_dirs / "here/ml-1m/ratings.dat", "1::1::1::0\n")
    assert load("ml-1m").r.tolist() == [1]
    put(own_dirs / "cache/data/ml-1m/ratings.dat", "1::1::2::0\n")
    assert load("ml-1m").r.tolist() == [2]
    put(own_dirs / "data/ml-1m/ratings.dat", "1::1::3::0\n")
    assert load("ml-1m").r.tolist() == [3]
    assert load("ml-1m").name == "ml-1m"
    assert load("./ml-1m").r.tolist() == [1]


def test_a_path_is_looked_up_here_first(own_dirs: Path) -> None:
    put(own_dirs / "data/mine/ratings.dat", "1::1::2::0\n")
    assert load("mine").r.tolist() == [2]
    put(own_dirs / "here/mine/ratings.dat", "1::1::3::0\n")
    assert load("mine").r.tolist() == [3]


def test_a_folder_of_the_same_name_without_ratings_does_not_hide_a_set(own_dirs: Path) -> None:
    (own_dirs / "here/toy").mkdir()
    (own_dirs / "data/toy").mkdir()
    assert load("toy").nnz == 900


def test_paths_of_files_and_folders(own_dirs: Path) -> None:
    file = put(own_dirs / "here/sub/mine.tsv", "1\t2\t3\n")
    assert load("sub/mine.tsv").name == "sub/mine.tsv"
    assert load(file).name == "mine.tsv"
    assert load(f" {file}\n").nnz == 1
    put(own_dirs / "elsewhere/ratings.csv", "u,i,r\na,b,1\n")
    assert load(own_dirs / "elsewhere").user_ids.tolist() == ["a"]
    assert find(file).entry is None


def test_a_home_folder_is_understood(own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(own_dirs / "home/r.csv", "1,2,3\n")
    monkeypatch.setenv("HOME", str(own_dirs / "home"))
    assert load("~/r.csv").nnz == 1


def test_official_splits_lie_beside_the_ratings(own_dirs: Path) -> None:
    put(own_dirs / "data/ml-100k/u.data", "1\t1\t5\t0\n2\t1\t4\t0\n")
    put(own_dirs / "data/ml-100k/u1.base", "1\t1\t5\t0\n")
    assert load("ml-100k").nnz == 2
    assert load("ml-100k/u1.base").nnz == 1
    assert load("ml-100k/u1.base").name == "ml-100k/u1.base"


def test_parts_of_one_set_are_read_together(own_dirs: Path) -> None:
    for part, text in ((2, "2:\n7,3,2005-01-01\n"), (1, "1:\n9,4,2005-01-01\n")):
        put(own_dirs / f"data/netflix-sample/combined_data_{part}.txt", text)
    found = load("netflix-sample")
    assert found.item_ids[found.i].tolist() == [1, 2]
    assert found.name == "netflix-sample"


def test_only_one_folder_of_several_is_taken(own_dirs: Path) -> None:
    for name in ("b", "a"):
        put(own_dirs / f"x/{name}/ratings.dat")
    assert ratings_files(own_dirs / "x") == (own_dirs / "x/a/ratings.dat",)


def test_a_set_stays_in_memory_until_its_file_changes(own_dirs: Path) -> None:
    file = put(own_dirs / "data/ml-1m/ratings.dat")
    first = load("ml-1m")
    assert load("ml-1m") is first
    file.write_text(ROWS + "3::9::5::0\n")
    os.utime(file, (1, 1))
    assert load("ml-1m").nnz == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ml-25m", "get it .262 MB. with 'mfviz data get ml-25m'"),
        ("netflix-sample", "no public download"),
        ("ml_1m", "Did you mean ml-1m.*Ready to use: toy.*fetched first: ml-100k"),
        ("TOY", "Did you mean toy"),
        ("", "neither a file nor a data set"),
        ("nowhere.csv", "no such file"),
        ("ml-100k/u1.base", "no such file.*Did you mean ml-100k"),
        ("a\0b", "neither a file"),
        ("x" * 9000, "neither a file"),
        (".", "folder without u.data"),
    ],
)
def test_what_is_not_there_gives_one_clear_sentence(name: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        load(name)
    assert len(str(caught.value)) < 700


def test_an_unknown_entry_tells_what_is_close() -> None:
    with pytest.raises(DataError, match="Did you mean ml-latest-small"):
        entry("ml-latest")


def test_the_cache_is_the_users_own_where_no_other_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MFVIZ_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "mfviz" in cache_dir().parts


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_sets_are_as_described(
    name: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = entry(name)
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(data_dir))
    if not found.available:
        pytest.skip(found.missing)
    ratings = load(found.name)
    assert (ratings.n_users, ratings.n_items, ratings.nnz) == (
        found.users,
        found.items,
        found.ratings,
    )
    assert ratings.scale == found.scale
    assert np.isfinite(ratings.r).all()

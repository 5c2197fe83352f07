"""What is held out: by time, of each user, or as the owners of a data set say."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.data.catalog import load
from mfviz.data.given import load_problem, why_not
from mfviz.data.holdout import why_no_times
from mfviz.data.problem import split
from mfviz.data.ratings import NO_TIME, Ratings
from mfviz.data.ways import Way
from mfviz.errors import DataError, ParameterError
from tests.data.samples import rows, write, zipped


def timed(nnz: int, seed: int = 3, spread: int = 40) -> Ratings:
    rng = np.random.default_rng(seed)
    return Ratings.from_triples(
        rng.integers(0, 25, nnz),
        rng.integers(0, 12, nnz),
        np.arange(nnz),  # so that a rating tells its position
        times=rng.integers(0, spread, nnz),
    )


@given(st.integers(2, 120), st.floats(0, 0.9), st.integers(0, 99))
def test_a_split_by_time_holds_out_the_latest(nnz: int, holdout: float, seed: int) -> None:
    whole = timed(nnz, seed)
    if why_no_times(whole) or round(nnz * holdout) >= nnz:
        return
    found = split(whole, holdout=holdout, by="time")
    assert whole.times is not None
    n_test = round(nnz * holdout)
    order = np.argsort(whole.times, kind="stable")
    assert found.train.r.tolist() == sorted(order[: nnz - n_test].tolist())
    assert found.test.nnz + found.set_aside == n_test
    assert set(found.test.r.tolist()) <= set(order[nnz - n_test :].tolist())
    assert split(whole, holdout=holdout, by="time", seed=9).fingerprint == found.fingerprint


@given(
    st.integers(1, 120), st.integers(1, 4), st.integers(0, 99), st.sampled_from(["random", "time"])
)
def test_leaving_some_of_each_user_out(nnz: int, count: int, seed: int, by: str) -> None:
    whole = timed(nnz, seed)
    held = Counter(whole.u.tolist())
    if max(held.values()) <= count:
        with pytest.raises(ParameterError, match="leave out fewer"):
            split(whole, leave_out=count)
        return
    if by == "time" and why_no_times(whole):
        return
    found = split(whole, leave_out=count, by=by, seed=seed)
    users = Counter(found.train.user_ids[found.train.u].tolist())
    for number, user in enumerate(whole.user_ids.tolist()):
        kept = held[number] - count if held[number] > count else held[number]
        assert users[user] == kept
    assert found.train.nnz + found.test.nnz + found.set_aside == nnz
    assert any(remark.startswith(f"Test ratings: {count} ") for remark in found.notices)
    if by == "time" and whole.times is not None:
        for user in set(found.test.u.tolist()):
            last = whole.times[found.test.r[found.test.u == user].astype(int)].min()
            first = whole.times[found.train.r[found.train.u == user].astype(int)].max()
            assert first <= last


def test_each_split_has_a_fingerprint_of_its_own() -> None:
    whole = timed(400)
    ways: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"by": "time"},
        {"leave_out": 1},
        {"leave_out": 1, "seed": 1},
        {"leave_out": 1, "by": "time"},
        {"leave_out": 2},
    ]
    assert len({split(whole, **way).fingerprint for way in ways}) == len(ways)
    assert split(whole, leave_out=1).fingerprint == split(whole, leave_out=1).fingerprint


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (None, "its ratings have no times"),
        ([5, 5, 5], "all its ratings have the same time"),
        ([5, NO_TIME, NO_TIME], "2 of its 3 ratings have no time"),
    ],
)
def test_without_times_there_is_no_split_by_time(times: list[int] | None, says: str) -> None:
    whole = Ratings.from_triples([1, 2, 2], [1, 2, 3], [1, 2, 3])
    if times is not None:
        whole = replace(whole, times=np.array(times))
    assert why_no_times(whole).startswith(says)
    for way in ({"holdout": 0.5}, {"leave_out": 1}):
        with pytest.raises(DataError, match=f"no split by time, because {says}.*at random"):
            split(whole, by="time", **way)


@pytest.mark.parametrize("way", [{"by": "moon"}, {"leave_out": -1}, {"by": "official"}])
def test_a_way_to_split_that_is_none(way: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        split(timed(20), **way)


def test_times_must_be_as_many_as_ratings() -> None:
    with pytest.raises(DataError, match="2 times and 1 ratings"):
        Ratings.from_triples([1], [1], [1], times=np.array([1, 2]))


NETFLIX = (
    "1:\n7,4,2005-09-06\n8,3,2005-09-07\n2:\n7,5,2004-01-01\n9,2,2004-01-01\n8,1,2004-01-02\n"
)
PROBE = "1:\n7\n2:\n8\n9\n5\n"


def test_netflix_probe_is_taken_out_of_the_training_ratings(tmp_path: Path) -> None:
    write(tmp_path / "kit/training_set/combined_data_1.txt", NETFLIX)
    probe = write(tmp_path / "kit/probe.txt", PROBE.replace("\n", "\r\n"))
    found = load_problem(tmp_path / "kit", test=probe)
    assert rows(found.train) == [(8, 1, 3.0), (7, 2, 5.0)]
    assert rows(found.test) == [(7, 1, 4.0), (8, 2, 1.0)]
    assert found.set_aside == 1  # user 9 has no other rating
    assert any(notice.startswith("1 of the 4 pairs") for notice in found.notices)
    official = load_problem(tmp_path / "kit", by="official")
    assert official.fingerprint == found.fingerprint
    with pytest.raises(DataError, match=r"probe.txt, line 2: found a user without a rating"):
        load_problem(probe)
    probe.write_text("1:\n3\n")
    with pytest.raises(DataError, match="none of its ratings are of the 1 pairs"):
        load_problem(tmp_path / "kit", by="official")
    probe.write_text("1:\n7\nx,y\n")
    with pytest.raises(DataError, match="line 3: found 'x,y'; it must be 'movie:' or a user"):
        load_problem(tmp_path / "kit", by="official")


OFFICIAL = {
    "kdd": {
        "trainIdx1.txt": "1|1\n5\t90\t1\t01:00:00\n",
        "validationIdx1.txt": "1|1\n5\t80\t2\t01:00:00\n",
    },
    "r2": {
        "train_0.txt": "1\t5\t4\n",
        "train_1.txt": "2\t5\t3\n",
        "test_0.txt": "1\t5\t1\n",
        "test_1.txt": "2\t5\t1\n",
    },
}


@pytest.mark.parametrize("kit", OFFICIAL)
def test_official_test_sets_lie_beside_the_ratings(kit: str, tmp_path: Path) -> None:
    for name, text in OFFICIAL[kit].items():
        write(tmp_path / kit / name, text)
    found = load_problem(tmp_path / kit, by="official")
    assert found.train.nnz == found.test.nnz == len(OFFICIAL[kit]) // 2


@pytest.mark.parametrize("kit", [*OFFICIAL, "netflix"])
@pytest.mark.parametrize("folder", ["", "inner/"])
def test_official_test_sets_lie_in_the_archive_too(kit: str, folder: str, tmp_path: Path) -> None:
    texts = OFFICIAL.get(kit, {"combined_data_1.txt": NETFLIX, "probe.txt": PROBE})
    for name, text in texts.items():
        write(tmp_path / kit / name, text)
    packed = {f"{folder}{name}": text for name, text in {**texts, "README": "x"}.items()}
    archive = write(tmp_path / "official.zip", zipped(**packed))
    found = load_problem(archive, by="official")
    assert found.fingerprint == load_problem(tmp_path / kit, by="official").fingerprint
    assert "official" not in why_not(load(archive), archive)
    member = archive / f"{folder}{next(iter(texts))}"
    if kit != "r2":  # of which that is one file of several
        assert load_problem(member, by="official").fingerprint == found.fingerprint
    (archive.parent / "probe.txt").unlink(missing_ok=True)
    alone = write(tmp_path / "alone.zip", zipped(**{f"{folder}combined_data_1.txt": NETFLIX}))
    with pytest.raises(ParameterError, match="no official test set here"):
        load_problem(alone, by="official")


def test_an_official_split_of_movielens_in_the_archive(tmp_path: Path) -> None:
    archive = write(
        tmp_path / "ml-100k.zip",
        zipped(**{
            "ml-100k/u.data": "1\t1\t5\t0\n2\t1\t4\t0\n",
            "ml-100k/u2.base": "1\t1\t5\t0\n",
            "ml-100k/u2.test": "1\t1\t4\t0\n",
        }),
    )  # fmt: skip
    found = load_problem(archive / "ml-100k/u2.base", by="official")
    assert (found.train.r.tolist(), found.test.r.tolist()) == ([5], [4])
    assert why_not(load(archive), archive)["official"] == "none was found beside the ratings"
    assert why_not(load("toy"), "toy") == {
        "time": "its ratings have no times that were recognised",
        "official": "a synthetic set has none",
    }


@given(
    st.sampled_from(["random", "time"]),
    st.floats(0, 0.999999),
    st.integers(0, 10**9 - 1),
    st.text(min_size=1).filter(lambda text: bool(text.strip())),
)
def test_a_way_to_split_is_one_word(by: str, share: float, count: int, path: str) -> None:
    ways = [
        Way(by, round(share, 6)), Way(by, leave_out=count), Way("official"),
        Way(test=path.strip()),
    ]  # fmt: skip
    for way in ways:
        assert Way.read(str(way)) == way


def test_words_that_name_no_way() -> None:
    assert [str(Way.read(word)) for word in ("random-0.1", " time ", "leave-2", "time-.5")] == [
        "random", "time", "leave-2", "time-0.5",
    ]  # fmt: skip
    for word in ("", "moon", "random-1", "random--0.1", "leave-0", "leave-x", "file:", "time-"):
        with pytest.raises(ParameterError, match=r"it must be random, .*file:PATH"):
            Way.read(word)
    for word in ("official", "file:x"):
        with pytest.raises(ParameterError, match="give them as test"):
            Way.read(word).split(timed(20), 0)


def test_movielens_has_five_official_splits(tmp_path: Path) -> None:
    write(tmp_path / "u.data", "1\t1\t5\t0\n2\t1\t4\t0\n")
    write(tmp_path / "u1.base", "1\t1\t5\t0\n")
    write(tmp_path / "u1.test", "1\t1\t4\t0\n")
    assert load_problem(tmp_path / "u1.base", by="official").test.r.tolist() == [4]
    with pytest.raises(ParameterError, match=r"no official test set here.*u1.test beside u1.base"):
        load_problem(tmp_path, by="official")


@pytest.mark.parametrize(
    "way",
    [
        {"test": "x", "holdout": 0.2},
        {"test": "x", "leave_out": 1},
        {"test": "x", "by": "time"},
        {"by": "official", "holdout": 0.2},
        {"leave_out": 1, "holdout": 0.2},
    ],
)
def test_ways_that_exclude_each_other(way: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="exclude each other"):
        load_problem("toy", **way)


@pytest.mark.data
def test_real_times(data_dir: Path) -> None:
    found = load_problem(data_dir / "ml-100k", by="time")
    assert found.train.nnz == 90_000
    found = load_problem(data_dir / "ml-latest-small", by="time", leave_out=1)
    assert found.test.nnz + found.set_aside == 610
    with pytest.raises(DataError, match="512,559 of its 1,000,209 ratings have no time"):
        load_problem(data_dir / "ml-1m", by="time")
    found = load_problem(data_dir / "netflix-sample", by="time", holdout=0.2)
    assert found.test.nnz > 0

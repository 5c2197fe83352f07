"""The benchmark of data: files in the exact formats, and tables that say what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mfviz.bench import data
from mfviz.bench.cli import bench
from mfviz.bench.rating_files import (
    MOVIELENS,
    NETFLIX,
    scaled,
    write_movielens,
    write_netflix,
)
from mfviz.data.catalog import load
from mfviz.data.holdout import why_no_times
from mfviz.data.sniff import sniff
from mfviz.errors import MfvizError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stages set stays with the test."""
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path / "cache"))


def test_movielens_is_written_as_movielens_writes(tmp_path: Path, data_dir: Path):
    path = tmp_path / "ratings.csv"
    count, mean = write_movielens(path, scaled(MOVIELENS, 5000))
    text = path.read_bytes()
    lines = text.decode("ascii").split("\r\n")
    real = (data_dir / "ml-latest-small/ratings.csv").read_bytes()[: 1 << 14].decode("ascii")
    theirs = real.split("\r\n")[:-1]
    assert text.count(b"\n") == text.count(b"\r\n") == count + 1 == 5001
    assert lines[0] == theirs[0]
    assert sniff("made", lines[:200]) == sniff("real", theirs)
    assert all(
        line.split(",")[2] in {f"{half / 2}" for half in range(1, 11)} for line in lines[1:-1]
    )
    found = load(path)
    assert found.nnz == count
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert why_no_times(found) == ""
    assert (np.diff(found.u) >= 0).all()


def test_netflix_is_written_as_netflix_writes(tmp_path: Path):
    count, mean = write_netflix(tmp_path, scaled(NETFLIX, 4000))
    files = sorted(tmp_path.glob("combined_data_*.txt"))
    lines = [line for file in files for line in file.read_text("ascii").splitlines()]
    heads = [line for line in lines if line.endswith(":")]
    assert len(files) == 4
    assert heads == [f"{film}:" for film in range(1, len(heads) + 1)]
    assert len(lines) == count + len(heads)
    found = load(tmp_path)
    assert (found.nnz, found.n_items) == (count, len(heads)) == (4000, len(heads))
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert set(np.unique(found.r)) <= {1, 2, 3, 4, 5}
    assert found.times is not None
    assert not (np.diff(found.u) >= 0).all(), "users of a film come in no order"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages in this process: a fresh one costs seconds."""
    monkeypatch.setattr(data, "_apart", lambda work, *given: work(*given))


class OtherLibrary:
    """Stands for LIBMF: two seconds to begin and one an iteration."""

    def __init__(self, path: str | None) -> None:
        if path == "none":
            raise MfvizError("give --libmf PATH")

    def train(self, records: Any, shape: Any, *, iterations: int, **settings: Any) -> None:
        assert len(records) > 0
        self.clock[0] += 2.0 + iterations

    clock = [0.0]


def test_the_set_up_of_the_reference_is_free_of_its_iterations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    clock = OtherLibrary.clock
    write_movielens(tmp_path / "ratings.csv", scaled(MOVIELENS, 2000))
    monkeypatch.setattr("mfviz.bench.data.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(data, "LibMF", OtherLibrary)
    found = data._set_up(tmp_path / "ratings.csv", tmp_path, 16, 1, 2, "libmf.so")
    assert found["set_ups"]["LIBMF"] == pytest.approx([2.0, 2.0])
    assert found["set_ups"]["strip_sgd"] == [0.0, 0.0]
    assert found["missing"] == ""


def test_the_command_measures_all_stages_and_leaves_nothing(
    here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(data, "LibMF", OtherLibrary)
    monkeypatch.setattr("mfviz.bench.data.tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    words = ["data", "--ratings", "2000", "--large", "3000", "--rank", "16", "--threads", "1"]
    done = CliRunner().invoke(bench, [*words, "--repeat", "1", "--libmf", "none", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["data"]
    assert (found["reading"]["ratings"], found["large"]["ratings"]) == (2000, 3000)
    assert found["reading"]["array_bytes"] == 2000 * 20
    assert found["large"]["peak_bytes"] > 3000 * 12
    assert not found["opening"]["kept"]
    assert list(found["set_up"]["set_ups"]) == ["strip_sgd", "fpsgd"]
    assert list((tmp_path / "temporary").iterdir()) == []
    told = data.tell(found)
    assert "missing: LIBMF: give --libmf PATH" in told
    for part in ("2,000 ratings", "of 3,000 ratings", "<= 16 GiB", "set-up of fpsgd"):
        assert part in told
    with_libmf = {
        **found,
        "set_up": {**found["set_up"], "set_ups": {"strip_sgd": [1], "LIBMF": [2]}},
    }
    assert "< 2.00 s" in data.tell(with_libmf)


def test_numbers_that_make_no_sense_are_refused():
    for words in (["--ratings", "10"], ["--large", "5"], ["--repeat", "0"]):
        done = CliRunner().invoke(bench, ["data", *words])
        assert "at least" in str(done.exception)

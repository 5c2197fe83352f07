from __future__ import annotations

import io
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfviz import __version__
from mfviz.api import make_solver
from mfviz.cli_common import as_json, table
from mfviz.solvers.base import registry
from tests.data.samples import KNOWN, Known
from tests.theory.test_theory import TABLE_S1


def test_solvers_tells_all_that_is_declared(mfviz: Any) -> None:
    told = {item["key"]: item for item in mfviz("solvers", "--json").json["solvers"]}
    assert set(told) == set(registry())
    for key, cls in registry().items():
        item = told[key]
        assert set(item) >= {
            "key", "title", "paper", "backends", "determinism", "reconstruction", "card", "params",
            "available",
        }  # fmt: skip
        assert [p["name"] for p in item["params"]] == list(cls.hyper_parameters())
        assert all(set(p) >= {"name", "default", "bounds", "doc"} for p in item["params"])
        decay = next((p for p in item["params"] if p["name"] == "decay"), None)
        assert decay is None or decay["inclusive"] == [False, True]
        assert item["available"]["cpu"] is True
        assert item["available"]["cuda"] is True or "cuda" in item["available"]["cuda"]
        assert item["determinism"]


def test_solvers_for_people(mfviz: Any) -> None:
    said = mfviz("solvers")
    assert said.code == 0
    for key, cls in registry().items():
        assert f"{key}: {cls.title}" in said.out
    assert "rank" in said.out


def test_devices_are_listed_by_number(mfviz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfviz.backends import cuda

    found = [cuda.Found(at, f"GPU {at}", (9, 0), 8 << 30, f"GPU-{at}") for at in range(2)]
    monkeypatch.setattr(cuda, "devices", lambda: found)
    monkeypatch.setattr(cuda, "free_bytes", lambda index: (3 - index) << 30)
    monkeypatch.setattr(cuda, "why_not", lambda: None)
    told = mfviz("devices", "--json").json
    assert told["cuda"] is True
    host, first, second = told["devices"]
    assert host["backend"] == "cpu"
    assert 0 < host["free_bytes"] <= host["total_bytes"]
    assert (first["device"], second["device"]) == (0, 1)
    assert second == {
        "backend": "cuda", "device": 1, "name": "GPU 1", "capability": "9.0",
        "free_bytes": 2 << 30, "total_bytes": 8 << 30, "uuid": "GPU-1",
    }  # fmt: skip
    assert "GPU 1" in mfviz("devices").out
    monkeypatch.setattr(cuda, "why_not", lambda: "it is away.")
    assert "no CUDA: it is away." in mfviz("devices").out


@pytest.mark.parametrize("key", sorted(registry()))
def test_memory_is_that_of_the_solver(mfviz: Any, key: str) -> None:
    words = ["--solver", key, "--users", 6040, "--items", 3706, "--ratings", 900_188]
    told = mfviz("memory", *words, "--rank", 64, "--workers", 2, "--json").json
    model = make_solver(key, rank=64, workers=2).memory(6040, 3706, 900_188)
    assert told["total_mib"] == pytest.approx(model.total_bytes / 2**20)
    assert [p["bytes"] for p in told["parts"]] == [p.bytes for p in model.parts]
    assert all(p["name"] and p["place"] and p["formula"] for p in told["parts"])


@pytest.mark.parametrize("solver", ["msgd", "ds_sgd_c"])
@pytest.mark.parametrize("name", TABLE_S1)
def test_memory_of_table_s1(mfviz: Any, solver: str, name: str) -> None:
    """Rank 40, four fifths of the ratings, a context of 404 MiB: the supplement's table."""
    m, n, nnz, shown = TABLE_S1[name]
    words = ["--users", m, "--items", n, "--ratings", nnz, "--split", ".8,0,.2"]
    told = mfviz(
        "memory", "--solver", solver, *words, "--rank", 40, "--context-mib", 404, "--json"
    ).json
    assert told["backend"] == "cuda"
    assert abs(told["total_mib"] - shown) <= 2
    on_device = [p["bytes"] for p in told["parts"] if p["place"] != "host"]
    assert sum(on_device) / 2**20 == told["total_mib"]


def test_memory_takes_split_and_context(mfviz: Any) -> None:
    words = ["memory", "--solver", "ccd", "--users", 100, "--items", 50, "--json"]
    whole = mfviz(*words, "--ratings", 700).json
    part = mfviz(*words, "--ratings", 1000, "--split", ".7,.1,.2").json
    assert part["total_mib"] == pytest.approx(whole["total_mib"])
    more = mfviz(*words, "--ratings", 700, "--context-mib", 404).json
    assert more["total_mib"] == pytest.approx(whole["total_mib"] + 404)
    assert "total" in mfviz(*words[:-1], "--ratings", 700).out


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["--users", 0, "--items", 5, "--ratings", 9], "--users is 0"),
        (["--users", 5, "--items", 5, "--ratings", -1], "--ratings is -1"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--split", ".5,.5"], "three shares"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--split", ".5,.1,.1"], "add up to 1"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--split", "nan,.1,.2"], "add up to 1"),
        (["--users", 5, "--items", 5, "--ratings", 1, "--split", ".3,.3,.4"], "none to train on"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--context-mib", "nan"], "mib is nan"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--context-mib", "inf"], "mib is inf"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--batch", 8], "no setting 'batch'"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--rank", 5000], "rank is 5000"),
        (["--users", 5, "--items", 5, "--ratings", 9, "--backend", "cuda"], "cuda"),
        (["--users", 5, "--items", 5], "--ratings"),
    ],
)
def test_memory_refuses_with_one_clear_line(mfviz: Any, words: list[object], needle: str) -> None:
    said = mfviz("memory", "--solver", "ccd", *words, "--json")
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert needle in said.err


def test_warm_compiles_every_solver(mfviz: Any) -> None:
    told = mfviz("warm", "--json").json
    assert [row["solver"] for row in told["compiled"]] == list(registry())


def test_datasets_tells_what_is_here(mfviz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfviz.data.catalog import entries

    monkeypatch.delenv("MFVIZ_DATA_DIR", raising=False)
    told = {item["name"]: item for item in mfviz("datasets", "--json").json["datasets"]}
    assert list(told) == [found.name for found in entries()]
    assert told["toy"]["available"] is True
    assert "mfviz data get ml-25m" in told["ml-25m"]["available"]
    assert told["ml-1m"]["ratings"] == 1_000_209
    assert "toy" in mfviz("datasets").out


def test_data_get_shows_the_licence_and_wants_it_accepted(
    mfviz: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MFVIZ_DATA_DIR", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    said = mfviz("data", "get", "ml-100k")
    assert said.code == 2
    assert said.out == ""
    assert "GroupLens" in said.err
    assert "--yes" in said.err


def test_data_get_without_a_network_says_what_to_do(
    mfviz: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.delenv("MFVIZ_DATA_DIR", raising=False)
    monkeypatch.setattr("pooch.retrieve", refuse)
    said = mfviz("data", "get", "ml-100k", "--yes")
    assert said.code == 2
    assert "cannot be fetched" in said.err
    assert "MFVIZ_DATA_DIR" in said.err


def test_data_get_of_what_is_here_does_nothing(
    mfviz: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "u.data").write_text("1\t2\t3\t4\n")
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(tmp_path))
    said = mfviz("data", "get", "ml-100k")
    assert said.code == 0
    assert "here already" in said.out


@pytest.mark.parametrize("name", ["toy", "netflix-sample", "nonsense"])
def test_data_get_of_what_cannot_be_fetched(
    mfviz: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(tmp_path))
    said = mfviz("data", "get", name)
    assert said.code == 2
    assert name in said.err


@pytest.mark.data
@pytest.mark.parametrize("known", KNOWN, ids=[known.name for known in KNOWN])
def test_data_show_tells_what_real_files_hold(
    mfviz: Any, known: Known, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(data_dir))
    for source in (known.name, data_dir / known.name / known.file):
        told = mfviz("data", "show", source, "--json").json
        assert [told[key] for key in ("users", "items", "ratings")] == list(known[2:5])
        assert told["mean"] == pytest.approx(known.mean, abs=1e-6)
        assert told["no_split_by"].get("time", "").startswith(known.no_times)


def test_data_show_for_people_and_with_columns(mfviz: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("stars,who,what\n4,ann,x\n2,ann,x\n5,bo,y\n")
    said = mfviz("data", "show", path, "--columns", "who,what,stars")
    assert "3 ratings of 2 users for 2 items, from 2 to 5, mean 3.666667" in said.out
    assert "note: 1 repeated (user, item) pairs" in said.out
    assert "note: no split by time: its ratings have no times" in said.out
    said = mfviz("data", "show", tmp_path / "nowhere.csv")
    assert (said.code, said.out) == (2, "")


def test_data_cache_lists_and_clears_what_is_kept(
    mfviz: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mfviz.data import catalog, column_cache

    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(column_cache, "LEAST", 900)
    catalog._loaded.cache_clear()
    catalog.load("toy")
    told = mfviz("data", "cache", "--json").json
    assert [(kept["name"], kept["ratings"]) for kept in told["sets"]] == [("toy", 900)]
    assert told["sets"][0]["bytes"] > 900 * 12
    assert told["freed_bytes"] == 0
    assert "toy" in mfviz("data", "cache").out
    assert mfviz("data", "cache", "--clear", "--json").json["sets"] == []
    assert "0 large sets" in mfviz("data", "cache").out
    assert "0 B freed" in mfviz("data", "cache", "--clear").out


def test_no_command_shows_the_help(mfviz: Any) -> None:
    for words in ([], ["data"]):
        said = mfviz(*words)
        assert said.code == 2
        assert "Usage: mfviz" in said.err
        assert said.err.count("\n") > 5


def test_unknown_commands_and_options(mfviz: Any) -> None:
    said = mfviz("trian")
    assert said.code == 2
    assert "run" in said.err
    said = mfviz("run", "--no-such-option")
    assert said.code == 2
    assert "--no-such-option" in said.err
    assert said.err.count("\n") == 1


def test_replay_of_what_is_no_run(mfviz: Any, tmp_path: Path) -> None:
    for name, content in (("none.mfviz", None), ("text.mfviz", b"hello"), ("empty.mfviz", b"")):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        said = mfviz("replay", path)
        assert said.code == 2
        assert name in said.err
        assert said.err.count("\n") == 1


def test_version_and_module_entry() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "mfviz", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in outcome.stdout


def test_a_closed_pipe_is_no_error() -> None:
    """The reader of a pipe may go (head, less), and standard output may be closed already."""
    for word, left in (("solvers", True), ("datasets", False)):
        command = [sys.executable, "-m", "mfviz", word]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=None if left else lambda: os.close(1),
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            if left:
                process.stdout.read(1)
                process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0


def test_json_is_strict() -> None:
    assert as_json({"a": math.nan, "b": [math.inf, 1.5]}).split() == (
        '{ "a": null, "b": [ null, 1.5 ] }'.split()
    )


def test_table_aligns_numbers_to_the_right() -> None:
    lines = table(("name", "n"), [("a", "1"), ("bcd", "1,000")]).splitlines()
    assert lines == ["name      n", "----  -----", "a         1", "bcd   1,000"]


def test_table_wraps_a_long_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = table(("name", "meaning"), [("a", "words " * 12), ("b", "short")])
    assert all(len(line) <= 40 for line in text.splitlines())
    assert text.count("words") == 12

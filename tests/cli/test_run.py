from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

KEYS = {
    "status", "reason", "solver", "params", "backend", "device", "fingerprint", "epochs",
    "updates", "setup_s", "compile_s", "solve_s", "eval_s", "wall_s", "train_rmse", "test_rmse",
    "best_test_rmse", "history", "peak_host_bytes", "peak_device_bytes", "determinism",
}  # fmt: skip
ROW = {
    "epoch", "updates", "solve_s", "eval_s", "wall_s", "train_rmse", "test_rmse", "objective",
}  # fmt: skip


def quick(path: Path, *more: object) -> list[object]:
    base = ["run", "--solver", "als", "--data", path, "--rank", 4, "--epochs", 3, "--workers", 2]
    return [*base, *more]


def test_json_has_every_field_and_nothing_else_is_printed(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz(*quick(ratings_file, "--seed", 3, "--json"))
    assert said.code == 0, said.err
    told = said.json
    assert set(told) >= KEYS
    assert told["status"] == "done"
    assert told["solver"] == "als"
    assert told["epochs"] == 3
    assert told["params"]["rank"] == 4
    assert told["params"]["workers"] == 2
    assert told["params"]["seed"] == told["seed"] == 3
    assert [row["epoch"] for row in told["history"]] == [0, 1, 2, 3]
    assert all(set(row) == ROW for row in told["history"])
    assert told["test_rmse"] == told["history"][-1]["test_rmse"]
    assert told["best_test_rmse"] == min(row["test_rmse"] for row in told["history"])
    assert told["train_rmse"] < told["history"][0]["train_rmse"]
    assert told["shape"]["test"] + told["shape"]["set_aside"] == 60
    assert told["peak_host_bytes"] > 0
    assert told["peak_device_bytes"] == 0
    assert told["setup_s"] + told["solve_s"] + told["eval_s"] <= told["wall_s"] * 1.001


def test_a_preset_gives_way_to_what_is_given(mfviz: Any, ratings_file: Path) -> None:
    words = ["run", "--solver", "cumf_sgd", "--data", ratings_file, "--epochs", 1, "--workers", 1]
    told = mfviz(*words, "--preset", "netflix", "--rank", 8, "--set", "beta=0.2", "--json").json
    found = {name: told["params"][name] for name in ("rank", "lam", "lr", "beta", "epochs")}
    assert found == {"rank": 8, "lam": 0.05, "lr": 0.08, "beta": 0.2, "epochs": 1}
    said = mfviz(*words, "--preset", "nonsense")
    assert said.code == 2
    assert "cumf_sgd has no preset 'nonsense'; there are: 'cuMF_SGD, Netflix'" in said.err


def test_a_device_that_is_not_there_is_bad_input(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz(*quick(ratings_file, "--device", 1))
    assert said.code == 2
    assert "no devices to choose from" in said.err


def test_people_get_a_table(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz(*quick(ratings_file))
    assert said.code == 0
    assert "test RMSE" in said.out
    assert "40 users x 25 items" in said.out
    assert "peak memory" in said.out
    assert said.out.count("\n") < 40


def test_long_runs_are_told_without_their_middle(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz(*quick(ratings_file, "--epochs", 40))
    assert "..." in said.out
    assert "\n   40 " in said.out


def test_evaluate_every_leaves_gaps_that_are_null(mfviz: Any, ratings_file: Path) -> None:
    told = mfviz(*quick(ratings_file, "--epochs", 5, "--evaluate-every", 2, "--json")).json
    there = [row["test_rmse"] is not None for row in told["history"]]
    assert there == [True, False, True, False, True, True]
    told = mfviz(*quick(ratings_file, "--evaluate-every", 0, "--json")).json
    assert [row["test_rmse"] is not None for row in told["history"]] == [False, False, False, True]
    assert told["test_rmse"] is not None


def test_a_test_file_of_its_own(mfviz: Any, ratings_file: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("user,item,rating\nu01,i01,4\nu02,i03,3\nnobody,i03,5\n", encoding="utf-8")
    told = mfviz(*quick(ratings_file, "--test", test, "--json")).json
    assert told["shape"]["train"] == 600
    assert told["shape"]["test"] == 2
    assert told["shape"]["set_aside"] == 1
    assert any("set aside" in notice for notice in told["notices"])


def test_what_is_not_given_is_proposed_for_the_data(mfviz: Any, ratings_file: Path) -> None:
    from mfviz.api import load
    from mfviz.data.problem import split
    from mfviz.experiments.proposals import propose

    told = mfviz("run", "--solver", "als", "--data", ratings_file, "--epochs", 2, "--json").json
    proposed = propose("als", split(load(ratings_file), holdout=0.1, seed=0))
    for name, value in proposed.items():
        if name not in ("epochs", "seed", "workers"):
            assert told["params"][name] == pytest.approx(value), name


def test_set_reaches_any_setting_and_is_typed(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz(*quick(ratings_file, "--set", "lam=0.25", "--set", "rank=6", "--json"))
    assert said.json["params"]["lam"] == 0.25
    assert said.json["params"]["rank"] == 6


def test_a_seed_is_that_of_the_split_too_however_it_is_given(
    mfviz: Any, ratings_file: Path
) -> None:
    told = [mfviz(*quick(ratings_file, *words, "--json")).json for words in (
        ("--seed", 4), ("--set", "seed=4"), ("--seed", 5)
    )]  # fmt: skip
    assert told[0]["fingerprint"] == told[1]["fingerprint"] != told[2]["fingerprint"]
    assert told[0]["test_rmse"] == told[1]["test_rmse"]


def test_the_same_seed_gives_the_same_numbers(mfviz: Any, ratings_file: Path) -> None:
    first, again, other = (
        mfviz(*quick(ratings_file, "--seed", seed, "--json")).json for seed in (7, 7, 8)
    )
    assert first["fingerprint"] == again["fingerprint"] != other["fingerprint"]
    pairs = zip(first["history"], again["history"], strict=True)
    assert all(a["train_rmse"] == b["train_rmse"] for a, b in pairs)


def test_trace_replay_and_perfetto_tell_the_same_run(
    mfviz: Any, ratings_file: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "run.mfviz", tmp_path / "trace.json"
    told = mfviz(*quick(ratings_file, "--trace", file, "--json")).json
    assert mfviz("replay", file, "--json").json == told
    assert "test RMSE" in mfviz("replay", file).out
    assert mfviz("trace", file, "--perfetto", out).code == 0
    events = json.loads(out.read_text())["traceEvents"]
    assert {event["ph"] for event in events} >= {"X", "M", "C"}
    assert not list(tmp_path.glob("*.part*"))


def test_a_trace_that_cannot_be_written_loses_nothing(
    mfviz: Any, ratings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfviz.experiments import store

    def full(*places: object, **more: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "pack", full)
    said = mfviz(*quick(ratings_file, "--trace", tmp_path / "run.mfviz", "--json"))
    assert said.code == 1
    assert said.json["status"] == "done"
    assert said.err.count("\n") == 1
    assert "No space left" in said.err
    folder = said.err.partition("kept in ")[2].partition(",")[0]
    assert mfviz("replay", folder, "--json").json == said.json


def test_pace_is_waited_outside_solve_time(mfviz: Any, ratings_file: Path) -> None:
    told = mfviz(*quick(ratings_file, "--pace", 10, "--json")).json
    assert told["wall_s"] > 0.15 > told["solve_s"]


def test_a_diverged_run_is_an_outcome_not_an_error(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz(
        "run", "--solver", "sgd", "--data", ratings_file, "--rank", 8, "--epochs", 30,
        "--set", "lr=1", "--set", "lam=0", "--json",
    )  # fmt: skip
    assert said.code == 0
    told = said.json
    assert told["status"] == "diverged"
    assert told["fix"].startswith("lr=")
    assert told["fix"] in told["reason"]


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["--rank", 0], "rank is 0"),
        (["--rank", 99999], "rank is 99999"),
        (["--workers", 1000], "workers is 1000"),
        (["--seed", -1], "seed is -1"),
        (["--set", "lam=-1"], "lam is -1"),
        (["--set", "lam=abc"], "lam is abc"),
        (["--set", "lam=nan"], "lam is nan"),
        (["--set", "init_scale=0"], "above 0 and up to 10"),
        (["--seed", 2**31], "from 0 to 2147483647"),
        (["--set", "nope=1"], "no setting 'nope'"),
        (["--set", "lam"], "NAME=VALUE"),
        (["--holdout", 1.5], "holdout is 1.5"),
        (["--pace", 0], "pace is 0"),
        (["--pace", "nan"], "pace is nan"),
        (["--evaluate-every", -1], "evaluate_every is -1"),
        (["--backend", "cuda"], "cuda"),
        (["--rank", "x"], "'x' is not a valid int"),
        (["--holdout", 0.1, "--test", "x.csv"], "exclude each other"),
        (["--trace", "no-such-folder/run.mfviz"], "does not exist"),
    ],
)
def test_bad_settings_get_one_clear_line(
    mfviz: Any, ratings_file: Path, words: list[object], needle: str
) -> None:
    said = mfviz(*quick(ratings_file, *words, "--json"))
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("mfviz: ")
    assert needle in said.err
    assert not list((Path(os.environ["MFVIZ_RUNS_DIR"])).glob("*/nothing"))


@pytest.mark.parametrize(
    ("content", "needle"),
    [
        (b"", "empty"),
        (b"user,item,rating\n", ""),
        (b"u,i,r\n1,2,3\n1,2,much\n", "line 3"),
        (b"u,i,r\n1,2,3\n4,5,nan\n", "line 3"),
        (bytes(range(256)) * 8, ""),
    ],
    ids=["empty", "header only", "a word", "nan", "binary"],
)
def test_bad_files_get_one_clear_line(
    mfviz: Any, tmp_path: Path, content: bytes, needle: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    said = mfviz("run", "--solver", "als", "--data", path)
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "bad.csv" in said.err
    assert needle in said.err


def test_unknown_names_list_those_there_are(mfviz: Any, ratings_file: Path) -> None:
    said = mfviz("run", "--solver", "magic", "--data", ratings_file)
    assert said.code == 2
    assert "als" in said.err
    said = mfviz("run", "--solver", "als", "--data", "no-such-data")
    assert said.code == 2
    assert "no-such-data" in said.err
    assert said.err.count("\n") == 1


def test_a_solver_that_raises_fails_with_code_1(
    mfviz: Any, ratings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfviz.solvers.base import solver_class

    def broken(*args: object) -> float:
        raise FloatingPointError("the sky fell")

    monkeypatch.setattr(solver_class("als"), "objective", broken)
    said = mfviz(*quick(ratings_file, "--json"))
    assert said.code == 1
    assert said.json["status"] == "failed"
    assert "the sky fell" in said.json["reason"]


def start(path: Path, *more: str, folder: Path) -> subprocess.Popen[str]:
    words = [str(word) for word in quick(path, "--epochs", 10_000, "--pace", 20, "--json", *more)]
    environment = {**os.environ, "MFVIZ_RUNS_DIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mfviz", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Tests that a script runs behind it ignore interrupts, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        logs = list(folder.glob("*/events.jsonl"))
        lines = logs[0].read_text().splitlines() if logs else []
        if any('"epoch-ended"' in line and '"epoch": 3,' in line for line in lines):
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the run did not reach epoch 3 within a minute")


@pytest.mark.skipif(os.name == "nt", reason="sends a signal as a terminal does")
def test_an_interrupt_stops_the_run_and_tells_what_was_reached(
    ratings_file: Path, tmp_path: Path
) -> None:
    process = start(ratings_file, folder=tmp_path)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    told = json.loads(out)
    assert told["status"] == "stopped"
    assert told["epochs"] >= 3


def test_a_killed_run_leaves_a_folder_that_opens(
    mfviz: Any, ratings_file: Path, tmp_path: Path
) -> None:
    process = start(ratings_file, folder=tmp_path)
    process.kill()
    process.communicate(timeout=30)
    (folder,) = tmp_path.iterdir()
    told = mfviz("replay", folder, "--json").json
    assert told["status"] == "stopped"
    assert told["epochs"] >= 3
    assert any("breaks off" in text for text in [told["reason"], *told["notices"]])


def test_what_is_held_out_can_be_chosen(mfviz: Any, tmp_path: Path) -> None:
    rows = [f"{k % 9},{k % 7},{k % 5 + 1},{978300000 + k}" for k in range(120)]
    path = tmp_path / "timed.csv"
    path.write_text("who,what,stars,when\n" + "\n".join(rows) + "\n", encoding="utf-8")
    chosen = ("--columns", "who,what,stars,when")
    by_time, of_each = ("--split", "time"), ("--leave-out", 2)
    told = [
        mfviz(*quick(path, *chosen, *way, "--json")).json
        for way in ((), by_time, of_each, (*of_each, *by_time))
    ]
    assert len({one["fingerprint"] for one in told}) == 4
    assert [one["shape"]["train"] for one in told] == [108, 108, 102, 102]
    assert any("latest" in notice for notice in told[1]["notices"])
    for way, says in (
        (("--split", "time"), "no times"),
        (("--split", "moon"), "random, time, official"),
        (("--split", "official"), "no official test set"),
        (("--leave-out", 0), "at least 1"),
        (("--leave-out", 2, "--holdout", 0.2), "exclude each other"),
        (("--columns", "who,what"), "2 column"),
    ):
        path.write_text("who,what,stars\n1,2,3\n1,3,4\n2,2,1\n", encoding="utf-8")
        said = mfviz(*quick(path, *way))
        assert said.code == 2
        assert says in said.err
        assert said.err.count("\n") == 1

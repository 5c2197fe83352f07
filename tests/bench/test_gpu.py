"""The bench of devices: as CPU forms, and on a device that is none and whose numbers are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mfviz.backends import cuda
from mfviz.bench import gpu, gpu_report
from mfviz.bench.cli import bench
from mfviz.bench.gpu import Plan, measure_all
from mfviz.experiments import warmup
from mfviz.experiments.store import open_run
from mfviz.kernels.cuda import target
from mfviz.solvers.base import registry
from mfviz.theory.memory import rounding_bytes
from tests.fakes_device import FakeDriver

ROOM = 1 << 30


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that copies a byte and visits a rating in a known time, each run a fresh one."""
    registry()  # kernels are made with what is installed: they are to be imported before
    monkeypatch.setattr(target, "installed", True)
    monkeypatch.setattr(cuda, "_driver_error", lambda: None)
    for module in (cuda, gpu):
        monkeypatch.setattr(module, "devices", lambda: [cuda.Found(0, "fake H200", (9, 0), ROOM)])
        monkeypatch.setattr(module, "open_driver", lambda index=0: FakeDriver(room=ROOM))
    from mfviz.bench import gpu_case

    monkeypatch.setattr(gpu_case, "devices", cuda.devices)
    monkeypatch.setattr(gpu_case, "free_bytes", lambda index: ROOM)
    monkeypatch.setattr(cuda, "free_bytes", lambda index=0: ROOM)
    monkeypatch.setattr(warmup, "_rehearse", lambda solver, backend: None)
    monkeypatch.setattr(gpu, "RUNS_OF_ARRAY", 1000)


def test_cpu_forms_are_measured_and_recorded(tmp_path: Path) -> None:
    told: list[str] = []
    plan = Plan(
        tmp_path, sizes=("toy",), solvers=("msgd", "ds_sgd_d"), rank=4, epochs=3, minutes=1.0,
        backend="cpu", record="toy",
    )  # fmt: skip
    found = measure_all(plan, told.append)
    assert len(told) == 4
    assert found["skipped"] == found["goals"] == []
    assert [row["solver"] for row in found["rows"]] == ["msgd", "ds_sgd_d"]
    for row in found["rows"]:
        assert row["status"] == row["quality_status"] == "done"
        assert row["ledger_bytes"] == row["model_bytes"]
        assert row["updates_per_s"] == pytest.approx(2 * row["ratings"] / row["epoch_s"])
        assert math.isnan(row["device_epoch_s"])
        recorded = open_run(tmp_path / "traces" / row["trace"]).history()
        assert recorded.best_test_rmse == row["best_test_rmse"] == min(c[3] for c in row["curve"])
    best = min(row["best_test_rmse"] for row in found["rows"])
    assert found["targets"] == {"toy": pytest.approx(1.01 * best)}
    assert any(math.isfinite(row["seconds_to_target"]) for row in found["rows"])
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"][0]["solver"] == "msgd"
    assert "| toy | ds_sgd_d |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert not list(tmp_path.glob(".gpu*"))


@pytest.mark.usefixtures("device")
def test_numbers_of_a_known_device_are_what_they_must_be(tmp_path: Path) -> None:
    plan = Plan(tmp_path, sizes=("toy",), solvers=("ds_sgd_c", "ds_sgd_d"), rank=4, rounds=1)
    found = measure_all(plan)
    assert found["device"]["triad_gigabytes_per_s"] == pytest.approx(48 / FakeDriver.kernel_ns)
    for row in found["rows"]:
        assert row["status"] == "done"
        assert row["event_cost"] == 0.0
        model = registry()[row["solver"]].make(**row["params"])
        shape = (row["users"], row["items"], row["ratings"])
        sizes = [p.bytes for p in model.memory(*shape, "cuda").parts if p.place != "host"]
        assert row["grown_bytes"] == row["ledger_bytes"] == sum(sizes)
        assert row["process_bytes"] == row["ledger_bytes"]
        assert row["model_bytes"] == sum(sizes) + rounding_bytes(sizes)
    whole, batches = found["rows"]
    assert whole["device_epoch_s"] == pytest.approx(FakeDriver.kernel_ns * whole["ratings"] / 1e9)
    assert math.isnan(whole["overlap"])
    assert whole["lanes_side_by_side"] == pytest.approx(1.0)
    assert batches["overlap"] > 0.8
    goals = {(g["solver"], g["goal"]): g["met"] for g in found["goals"]}
    assert goals["ds_sgd_d", gpu_report.GOALS[2].title] is True
    assert goals["ds_sgd_c", "cost of event timing"] is True


@pytest.mark.usefixtures("device")
def test_what_is_not_measured_is_told(tmp_path: Path) -> None:
    plan = Plan(tmp_path, sizes=("no-such-set", "toy"), solvers=("msgd",), rank=300, epochs=2)
    found = measure_all(plan)
    assert found["rows"] == []
    unknown, refused = found["skipped"]
    assert "no-such-set" in unknown["reason"]
    assert "rank" in refused["reason"]
    over = measure_all(Plan(tmp_path, sizes=("toy",), solvers=("msgd",), minutes=0.0))
    assert [row["reason"] for row in over["skipped"]] == ["no time was left"]
    assert "no time was left" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_goals_are_about_their_size_rank_and_device() -> None:
    row: dict[str, Any] = {
        "size": "25m", "rank": 64, "solver": "msgd", "epoch_s": 0.004, "params": {},
        "overlap": math.nan, "updates_per_s": 5e9, "as_published": False, "event_cost": 0.02,
    }  # fmt: skip
    found: dict[str, Any] = {
        "device": {"name": "NVIDIA H200", "triad_gigabytes_per_s": 4300.0},
        "plan": {"backend": "cuda"}, "rows": [row],
    }  # fmt: skip

    def verdicts(**changed: Any) -> dict[str, Any]:
        found["rows"] = [{**row, **changed}]
        return {goal["goal"]: goal["met"] for goal in gpu_report.goals(found)}

    sgd, als, _, memory, timing = (goal.title for goal in gpu_report.GOALS)
    assert verdicts() == {sgd: True, timing: False}
    assert verdicts(epoch_s=0.006)[sgd] is False
    assert sgd not in verdicts(rank=32)
    assert sgd not in verdicts(size="10m")
    exact = {"solver": "cumf_als", "epoch_s": 0.019}
    assert verdicts(**exact)[als] is True
    assert als not in verdicts(**exact, params={"solve": "cg"})
    streamed = {"solver": "ds_sgd_d", "model_bytes": 100}
    assert verdicts(**streamed, grown_bytes=103)[memory] is False
    assert verdicts(**streamed, grown_bytes=102)[memory] is True
    (rate,) = [v for k, v in verdicts(as_published=True, rank=128).items() if "published" in k]
    assert rate is True
    found["device"]["name"] = "another GPU"
    assert set(verdicts().values()) == {None}


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    from mfviz.errors import ParameterError

    for arguments, words in (
        (["--backend", "tpu"], "cuda or cpu"),
        (["--epochs", "1"], "at least 2"),
        (["--solvers", "nonsense", "--out", str(tmp_path)], "no solver is called"),
    ):
        with pytest.raises(ParameterError, match=words):
            CliRunner().invoke(bench, ["gpu", *arguments], catch_exceptions=False)

"""The comparison with other packages, played by contenders whose times are known."""

from __future__ import annotations

import ctypes
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mfviz.bench import peers
from mfviz.bench.chart import as_svg
from mfviz.bench.cli import bench
from mfviz.bench.contenders import Contender, Job, Ours, Predict, Speed
from mfviz.bench.libmf import NODE, LibMF, nodes
from mfviz.data.problem import Problem, split
from mfviz.data.synthetic import PRESETS, generate
from mfviz.errors import MfvizError


@pytest.fixture(scope="module")
def problem() -> Problem:
    return split(generate(PRESETS["toy"], name="toy"), holdout=0.1)


class Fake(Contender):
    """Needs two seconds to begin and one an epoch; "good" settings halve the error sooner."""

    choices = ({"good": False}, {"good": True})

    def __init__(self, label: str, epoch_s: float, clock: list[float]) -> None:
        self.label, self._epoch_s, self._clock = label, epoch_s, clock

    def begin(self, job: Job) -> None:
        self._job = job

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        self._clock[0] += 2.0 + epochs * self._epoch_s
        error = 1.0 / (1 + (2 if settings["good"] else 1) * epochs)
        return lambda u, i: self._job.problem.test.r + error


class Absent(Contender):
    label = "absent"

    def begin(self, job: Job) -> None:
        import_name = "no_such_package_at_all"
        __import__(import_name)

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        raise AssertionError


@pytest.fixture
def found(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    clock = [0.0]
    monkeypatch.setattr("mfviz.bench.contenders.time.perf_counter", lambda: clock[0])
    cast = [Fake("LIBMF", 1.0, clock), Fake("quick", 0.25, clock), Absent()]
    monkeypatch.setattr(peers, "others", lambda libmf: cast)
    monkeypatch.setattr(peers, "OURS", ())
    return peers.compare(problem, rank=4, threads=1, repeat=3, goal=0.1)


def test_times_are_differences_and_ratios_are_within_rounds(found: dict[str, Any]):
    slow, quick = found["contenders"]
    assert (slow["epoch_s"], slow["setup_s"]) == pytest.approx((1.0, 2.0))
    assert (quick["epoch_s"], quick["setup_s"]) == pytest.approx((0.25, 2.0))
    assert quick["speed_ratio"] == pytest.approx(4.0)
    assert slow["epoch_s_by_round"] == pytest.approx([1.0] * 3)


def test_each_has_its_better_settings_and_the_goal_is_counted_in_epochs(found: dict[str, Any]):
    for row in found["contenders"]:
        assert row["settings"] == {"good": True}
        assert row["epochs_to_goal"] == 5  # 1 / (1 + 2 * 5) is below 0.1, with four epochs not
    assert found["contenders"][1]["seconds_to_goal"] == pytest.approx(1.25)


def test_who_is_missing_is_named_and_not_fatal(found: dict[str, Any]):
    (gone,) = found["missing"]
    assert gone["label"] == "absent"
    assert "no_such_package_at_all" in gone["reason"]
    assert "missing: absent" in peers.tell(found)


def test_the_table_and_the_picture_name_everybody(found: dict[str, Any]):
    words, picture = peers.tell(found), as_svg(found)
    root = ET.fromstring(picture)
    lines = [e for e in root.iter() if e.tag.endswith("polyline")]
    assert len(lines) == 2
    for label in ("LIBMF", "quick"):
        assert label in words
        assert label in picture


def test_a_picture_of_nothing_is_still_a_picture(found: dict[str, Any]):
    ET.fromstring(as_svg({**found, "contenders": []}))


def entry(*curves: Sequence[tuple[int, float]], label: str = "x") -> peers.Entry:
    fake = Fake(label, 1.0, [0.0])
    return peers.Entry(fake, curves=[({"at": k}, list(c)) for k, c in enumerate(curves)])


def test_settings_that_are_there_first_are_chosen_else_those_that_come_closest():
    one = entry([(1, 0.9), (2, 0.8), (3, 0.7)], [(1, 0.85), (2, 0.79), (3, 0.78)])
    for goal, chosen in ((0.8, 0), (0.79, 1), (0.1, 0)):
        one.choose(goal)
        assert one.chosen == chosen
    assert peers.reached([(1, math.nan), (2, 0.5)], 0.6) == 2
    assert peers.reached([], 0.6) == math.inf


def test_the_goal_is_that_of_libmf_or_one_that_all_reach():
    worse, better = entry([(1, 0.9), (2, 0.8)]), entry([(1, 0.7)], label="LIBMF")
    assert peers.common_goal([worse, better]) == pytest.approx(0.7006, abs=1.1e-4)
    better = entry([(1, 0.7)], label="y")
    assert peers.common_goal([worse, better]) == pytest.approx(0.8006, abs=1.1e-4)
    assert math.isnan(peers.common_goal([]))


def test_a_solver_of_ours_is_a_contender(problem: Problem):
    ours = Ours("strip_sgd", {"biases": False}, epochs=4)
    job = Job(problem, rank=4, threads=2)
    ours.begin(job)
    assert ours.label == "strip_sgd biases=False"
    speed = ours.measure({})
    assert isinstance(speed, Speed)
    assert speed.epoch_s > 0
    assert [epoch for epoch, _ in ours.curve(job, {}, (1, 2))] == [1, 2, 3, 4]
    assert job.rmse(ours.train({}, 2)) < 2


def test_without_libmf_the_error_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("LIBMF_SO", raising=False)
    with pytest.raises(MfvizError, match="--libmf PATH"):
        LibMF()
    broken = tmp_path / "libmf.so"
    broken.write_bytes(b"no library")
    with pytest.raises(MfvizError, match="cannot load LIBMF"):
        LibMF(broken)


def test_a_library_that_is_another_one_is_refused(monkeypatch: pytest.MonkeyPatch):
    class Other:
        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **more: Other())
    with pytest.raises(MfvizError, match="no LIBMF"):
        LibMF("other.so")


def test_records_are_those_of_the_ratings(problem: Problem):
    records = nodes(problem.train)
    assert records.dtype == NODE
    assert records.dtype.itemsize == 12
    np.testing.assert_array_equal(records["v"], problem.train.i)


def test_the_command_prints_strict_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(peers, "others", lambda libmf: [Absent()])
    monkeypatch.setattr(peers, "OURS", (("strip_sgd", {}),))
    picture = tmp_path / "peers.svg"
    words = ["peers", "--data", "toy", "--rank", "4", "--threads", "1", "--repeat", "1"]
    done = CliRunner().invoke(bench, [*words, "--json", "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)["peers"]
    assert [row["label"] for row in one["contenders"]] == ["strip_sgd"]
    assert one["contenders"][0]["speed_ratio"] is None
    assert one["missing"][0]["label"] == "absent"
    assert "strip_sgd" in picture.read_text(encoding="utf-8")

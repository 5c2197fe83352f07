"""The benches of kernels, scaling and solvers, at sizes at which only their sense is tested."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mfviz.bench import kernels, scaling, solvers
from mfviz.bench.cli import bench
from mfviz.data.problem import Problem, split
from mfviz.data.synthetic import PRESETS, generate
from mfviz.experiments.bandwidth import flops_per_s, gathers_per_s, gigabytes_per_s
from mfviz.kernels.triad import gathered_sum, multiply_adds
from mfviz.solvers.base import registry
from mfviz.theory.cost import FAMILIES


@pytest.fixture(scope="module")
def problem() -> Problem:
    return split(generate(PRESETS["toy"], name="toy"), holdout=0.1)


def test_memory_has_a_bandwidth() -> None:
    assert 0 < gigabytes_per_s(2, mib=1, repeat=1) < 1e5


def test_gathers_have_a_rate() -> None:
    assert 0 < gathers_per_s(2, (50, 70), count=1000, repeat=1) < 1e13


def test_flops_have_a_rate_and_add_up() -> None:
    assert 0 < flops_per_s(2, turns=1000, repeat=1) < 1e15
    assert multiply_adds(2) == 8 * 16 * 1.75  # 1, 1.5, 1.75 in each lane of eight vectors


def test_a_loop_of_gathers_gathers_everything() -> None:
    y, rng = np.arange(70, dtype=np.float32), np.random.default_rng(0)
    index = rng.integers(0, 70, 160, dtype=np.int32)
    assert gathered_sum(y, index) == y[index].sum()


def test_a_kernel_that_gathers_has_its_share(problem: Problem) -> None:
    found = kernels.measure(
        problem, ranks=(8,), epochs=1, workers=1, repeat=1, mib=1, solvers=("ccdpp", "sgd")
    )
    row, other = found["rows"]
    rate = 5 * 8 * problem.train.nnz / row["epoch_s"]
    assert row["gathers_per_s"] == pytest.approx(rate)
    assert row["share_of_gathers"] == pytest.approx(rate / found["gathers_per_s"][1])
    assert math.isnan(other["share_of_gathers"])


def test_kernels_have_a_row_a_rank_and_bytes_where_theory_knows_them(problem: Problem) -> None:
    found = kernels.measure(
        problem, ranks=(4, 16), epochs=1, workers=2, repeat=2, mib=1,
        solvers=("als", "minibatch_sgd", "sgd"),
    )  # fmt: skip
    rows = {(row["solver"], row["rank"]): row for row in found["rows"]}
    assert set(rows) == {(key, r) for key in ("als", "minibatch_sgd", "sgd") for r in (4, 16)}
    assert set(found["gigabytes_per_s"]) == {1, 2}  # sgd has one worker whatever is asked for
    for (key, rank), row in rows.items():
        assert row["kernel"] == registry()[key].card.kernel
        assert len(row["epoch_s_by_round"]) == 2
        assert row["mega_updates_per_s"] > 0
        speed = found["gigabytes_per_s"][row["workers"]]
        assert row["share_of_bandwidth"] == pytest.approx(row["gigabytes_per_s"] / speed)
        if key in ("sgd", "minibatch_sgd"):
            asked = problem.train.nnz * (12 + 16 * rank if key == "sgd" else 56 + 48 * rank)
            assert row["gigabytes_per_s"] == pytest.approx(asked / row["epoch_s"] / 1e9)
    told = kernels.tell(found)
    assert "GB/s" in told
    assert told.count("\n") == 4 + len(rows)


def test_every_solver_with_a_formula_exists() -> None:
    assert set(FAMILIES) == set(registry())


def test_growth_is_the_exponent_and_speed_up_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(key: str, problem: Any, rank: int, epochs: int, workers: int) -> dict[str, float]:
        return {"epoch_s": problem.train.nnz**2 * rank**0.5 / workers}

    monkeypatch.setattr(scaling, "once", once)
    found = scaling.measure(
        solvers=("dsgd", "sgd"),
        sizes=(0.01, 0.02),
        ranks=(4, 16),
        workers=(1, 4),
        epochs=1,
        repeat=2,
    )
    crews = {(r["solver"], r["value"]) for r in found["rows"] if r["axis"] == "workers"}
    assert crews == {("dsgd", 1), ("dsgd", 4), ("sgd", 1)}  # sgd has one worker
    rows = {(r["axis"], r["value"]): r for r in found["rows"] if r["solver"] == "dsgd"}
    sizes = sorted(value for axis, value in rows if axis == "ratings")
    assert found["on"]["training_ratings"] == sizes[-1]
    assert rows["ratings", sizes[-1]]["growth"] == pytest.approx(2)
    assert rows["rank", 16]["growth"] == pytest.approx(0.5)
    assert rows["workers", 4]["speed_up"] == pytest.approx(4)
    ceilings = {(r["solver"], r["value"]): r for r in found["rows"] if r["axis"] == "ceiling"}
    assert set(ceilings) == {(what, count) for what in scaling.CEILINGS for count in (1, 4)}
    for what in scaling.CEILINGS:
        one, four = ceilings[what, 1], ceilings[what, 4]
        assert four["speed_up"] == pytest.approx(one["epoch_s"] / four["epoch_s"])
    assert all(math.isnan(rows["rank", 4][name]) for name in ("growth", "speed_up"))
    assert scaling.tell(found).count("\n") == 2 + len(found["rows"])


def test_a_core_that_is_slow_in_most_rounds_leaves_the_least_times_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[int] = Counter()

    def once(key: str, problem: Any, rank: int, epochs: int, workers: int) -> dict[str, float]:
        calls[workers] += 1
        slow = workers == 4 and calls[workers] > 3  # a round has three of them
        return {"epoch_s": (1.6 if slow else 1.0) / workers}

    monkeypatch.setattr(scaling, "once", once)
    found = scaling.measure(
        solvers=("dsgd",), sizes=(0.01,), ranks=(4,), workers=(1, 4), epochs=1, repeat=3
    )
    rows = {(r["axis"], r["value"]): r for r in found["rows"] if r["solver"] == "dsgd"}
    assert rows["workers", 4]["speed_up"] == pytest.approx(4 / 1.6)
    assert rows["workers", 4]["speed_up_least"] == pytest.approx(4)
    assert math.isnan(rows["workers", 1]["speed_up_least"])
    assert math.isnan(rows["rank", 4]["speed_up_least"])


def test_what_a_clock_outside_says_is_told(problem: Problem) -> None:
    found = solvers.outside("sgd", problem, 4, 2, 1)
    assert math.isfinite(found["outside_ratio"])  # of milliseconds; it says nothing else here
    row = {"solver": "sgd", **found}
    assert "outside" in solvers.tell([row])


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["kernels", "--data", "toy", "--rank", "4", "--epochs", "1"], "kernels"),
        (["scaling", "--size", "0.01", "--rank", "4", "--epochs", "1"], "scaling"),
        (["solvers", "--data", "toy", "--rank", "4", "--epochs", "1"], "solvers"),
    ],
)
def test_commands_print_one_json_object_with_the_machines_name(
    command: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "gigabytes_per_s", lambda workers, mib: 10.0)
    whole = [*command, "--repeat", "1", "--solver", "sgd"]
    done = CliRunner().invoke(bench, [*whole, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["machine"]["cpu"]
    assert name in found
    assert "sgd" in CliRunner().invoke(bench, whole, catch_exceptions=False).stdout

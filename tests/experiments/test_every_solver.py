"""Every solver under a run: its events keep the rules, and it can be held anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.run import Run
from mfviz.experiments.store import open_run
from mfviz.solvers.base import Solver, registry
from mfviz.telemetry.check import check_run


@pytest.fixture(scope="module")
def problem() -> Problem:
    rng = np.random.default_rng(5)
    u, i = np.divmod(rng.choice(400 * 300, 12_000, replace=False), 300)
    planted = rng.normal(size=(400, 3)), rng.normal(size=(300, 3))
    r = 3.5 + 0.4 * np.einsum("ij,ij->i", planted[0][u], planted[1][i])
    return split(Ratings.from_triples(u, i, np.clip(r, 0.5, 5.0), name="planted"), holdout=0.1)


def made(key: str, **settings: Any) -> Solver:
    cls = registry()[key]
    highest = cls.param.workers.bounds[1]
    return cls.make(**{"rank": 8, "epochs": 4, "workers": min(3, highest), **settings})


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


@pytest.mark.parametrize("key", registry())
def test_its_run_file_proves_what_it_promises(key: str, problem: Problem, tmp_path: Path) -> None:
    # Solvers that race may end anywhere after a few epochs from near zero: let them learn.
    races = made(key).determinism() == "statistical"
    sure = {"epochs": 8, "lr": 0.05, "init_scale": 0.1} if races else {}
    run = Run(problem, made(key, **sure), folder=tmp_path)
    run.execute()
    assert (run.status, run.reason) == ("done", "")
    events = run.log.read()[0]
    assert check_run(events) == []
    assert open_run(tmp_path).events == events
    result = run.result()
    assert result.tables.peak_by_part == result.tables.model
    assert result.best_test_rmse < result.history["test_rmse"][0]
    assert 0 <= result.tables.idle_share() < 1


@pytest.mark.parametrize("chunk", [1, 997])
@pytest.mark.parametrize("key", registry())
def test_it_can_be_held_in_the_middle_of_an_epoch(key: str, problem: Problem, chunk: int) -> None:
    # A batch longer than a chunk also stops between its phases, where no visit is counted yet.
    batch = {"batch": chunk} if "batch" in registry()[key].hyper_parameters() else {}
    run = Run(problem, made(key, epochs=1000, **batch), chunk=chunk, pace=2)
    run.pause()
    run.start()
    until(lambda: run.status == "paused")
    assert (run.epoch, run.updates) == (0, 0)
    for _ in range(4):
        place = run.updates
        run.step("checkpoint")
        until(lambda place=place: run.status == "paused" and run.updates > place)  # type: ignore[misc]
    place = run.updates
    time.sleep(0.05)
    assert run.updates == place
    run.pace = math.inf
    run.resume()
    until(lambda: run.updates > place)
    run.stop()
    assert run.wait(10)
    assert run.status == "stopped"
    # the last epoch did not end, so its ratings are not those of an epoch
    assert [v for v in check_run(run.log.read()[0]) if "ratings" not in v] == []

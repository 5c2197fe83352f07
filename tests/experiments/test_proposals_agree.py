"""With its own proposal every solver ends near the best, on planted and on real ratings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.data.synthetic import PRESETS, generate
from mfviz.experiments.proposals import FAMILIES, propose, recognise
from mfviz.experiments.run import Run
from mfviz.solvers.base import NEAR_THE_BEST, registry

SEED, NEAR = 7, 0.02
EXCUSED = 0.03  # what a card may allow that says why its solver cannot come nearer


def last_rmse(problem: Problem, key: str) -> float:
    solver = registry()[key].make(**propose(key, problem), seed=SEED)
    run = Run(problem, solver, evaluate_every=0)
    run.execute()
    assert run.status == "done", run.reason
    return float(run.result().history["test_rmse"].iloc[-1])


def far_from_the_best(problem: Problem) -> dict[str, float]:
    found = {key: last_rmse(problem, key) for key in sorted(FAMILIES)}
    best = min(found.values())
    return {
        key: error
        for key, error in found.items()
        if error > best + (EXCUSED if excuse(key) else NEAR)
    }


def excuse(key: str) -> str:
    """What the solver's card says about its accuracy, if that is not what all others say."""
    said = registry()[key].card.accuracy
    return said if said != NEAR_THE_BEST else ""


def planted(users: int = 943, items: int = 1682, ratings: int = 100_000) -> Problem:
    """Rank 4 with biases and noise: the preset small-100k, or another shape of it."""
    spec = replace(PRESETS["small-100k"], users=users, items=items, ratings=ratings)
    return split(generate(spec), holdout=0.1, seed=2)


def test_every_solver_has_a_proposal_of_its_own() -> None:
    assert set(FAMILIES) == set(registry())


def test_only_a_solver_whose_model_is_smaller_is_excused() -> None:
    assert [key for key in sorted(FAMILIES) if excuse(key)] == ["cumf_sgd", "fpsgd"]
    assert "biases" in excuse("fpsgd")
    assert "biases" in excuse("cumf_sgd")


@pytest.mark.slow
@pytest.mark.parametrize("shape", [{}, {"users": 600, "items": 400, "ratings": 40_000}], ids=str)
def test_on_a_planted_problem_of_rank_4(shape: dict[str, int]) -> None:
    problem = planted(**shape)
    assert (recognise(problem) is None) == bool(shape)
    assert not far_from_the_best(problem)


@pytest.mark.slow
@pytest.mark.data
def test_on_the_first_split_of_ml_100k(data_dir: Path) -> None:
    parts = []
    for name in ("u1.base", "u1.test"):
        path = data_dir / "ml-100k" / name
        if not path.exists():
            pytest.skip("needs ml-100k in MFVIZ_DATA_DIR")
        table = np.loadtxt(path, usecols=(0, 1, 2), dtype=np.int64)
        parts.append(Ratings.from_triples(*table.T))
    assert not far_from_the_best(Problem.from_files(*parts))

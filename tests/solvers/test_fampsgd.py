"""FAMPSGD against its naive twin, and against MSGD where it has nothing of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.solvers.base import Factors
from mfviz.solvers.fampsgd import FAMPSGD, ORDERS
from mfviz.solvers.msgd import MSGD
from tests.naive_descent import model_of
from tests.naive_gpu import fractional
from tests.solvers.recorded import train
from tests.solvers.test_als import distance
from tests.solvers.test_asgd import distance as model_distance
from tests.solvers.test_asgd import random_problem
from tests.solvers.test_msgd import memory_held, memory_of, on_device, order_of
from tests.solvers.test_sgd import bits

BRISK: dict[str, Any] = {
    "rank": 5, "epochs": 3, "workers": 2, "lr": 0.1, "lam": 0.1, "init_scale": 0.3, "decay": 0.9,
    "kappa": 0.5, "order": 0.25, "offset": 0.5,
}  # fmt: skip


def twin(initial: Factors, mutant: str = "", **changed: Any) -> tuple[np.ndarray, np.ndarray]:
    """Three epochs in the solver's own order of visits."""
    problem = random_problem()
    t, f, order = problem.train, initial.rank, order_of(problem, 0, True)
    settings = {"lam": 0.1, "kappa": 0.5, "order": 0.25, "offset": 0.5, **changed}
    return fractional(
        t.u, t.i, t.r, initial.P[:, :f], initial.Q[:, :f], [order] * 3,
        lrs=[0.1 * 0.9**epoch for epoch in range(3)], mu=initial.mu, mutant=mutant, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_equals_the_naive_twin(order: float, adaptive: bool) -> None:
    changed: dict[str, Any] = {"order": order, "adaptive": adaptive}
    record = train(FAMPSGD(**{**BRISK, **changed}), random_problem())
    assert distance(record.final, twin(record.initial, **changed)) < 1e-5


@pytest.mark.parametrize(
    "wrong",
    [
        {"mutant": "shared"}, {"mutant": "at once"}, {"mutant": "other"}, {"mutant": "no gamma"},
        {"order": 0.5}, {"offset": 0.6}, {"adaptive": False}, {"kappa": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_mutants_are_seen(wrong: dict[str, Any]) -> None:
    record = train(FAMPSGD(**BRISK), random_problem())
    assert distance(record.final, twin(record.initial, **wrong)) > 1e-3


@pytest.mark.parametrize("biases", [True, False])
def test_without_its_own_it_is_msgd_bit_for_bit(biases: bool) -> None:
    problem = random_problem()
    settings = {**BRISK, "biases": biases, "kappa": 0.0, "adaptive": False}
    found = train(FAMPSGD(**settings), problem)
    own = ("kappa", "adaptive", "order", "offset")
    plain = train(MSGD(**{k: v for k, v in settings.items() if k not in own}), problem)
    assert bits(found.final) == bits(plain.final)
    more = found.ledger.high_water_bytes - plain.ledger.high_water_bytes
    assert more == 8 * problem.train.nnz


def test_neither_workers_nor_chunks_change_a_bit() -> None:
    problem = random_problem()
    wanted = bits(train(FAMPSGD(**BRISK, biases=True), problem).final)
    for workers, chunk in ((1, 1), (3, 50)):
        solver = FAMPSGD(**{**BRISK, "workers": workers}, biases=True)
        assert bits(train(solver, problem, chunk=chunk).final) == wanted


@pytest.mark.parametrize("chunk", [None, 97])
@pytest.mark.parametrize("settings", [{}, {"biases": True, "order": 0.5}], ids=str)
def test_a_device_is_asked_for_the_same(settings: dict[str, Any], chunk: int | None) -> None:
    problem, solver = random_problem(), FAMPSGD(**{**BRISK, **settings})
    wanted = train(solver, problem).final
    driver, factors, spans, held, checkpoints = on_device(solver, problem, chunk)
    assert model_distance(factors, model_of(wanted)) < 1e-5
    assert driver.races() == 0
    assert sum(s["ratings"] for s in spans) == checkpoints[-1].updates == 6 * problem.train.nnz
    assert memory_of(solver, problem) == memory_held(held)

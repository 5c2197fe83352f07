from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from mfviz.backends.host import Crew, Gate
from mfviz.experiments import evaluate
from mfviz.experiments.evaluate import rmse, sum_of_squares
from mfviz.solvers.base import Factors
from tests.fakes import tiny_problem

PROBLEM = tiny_problem()


def model(scale: float = 1.0) -> Factors:
    rng = np.random.default_rng(3)
    P, Q = (rng.normal(size=(k, 16)).astype(np.float32) for k in (30, 20))
    bu, bi = (rng.normal(size=k).astype(np.float32) for k in (30, 20))
    return Factors(P, Q, bu, bi, rank=16, mu=3.5, biased=True, scale=scale)


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("piece", [1, 7, 1 << 15])
def test_the_sum_is_that_of_the_definition_for_any_crew(
    monkeypatch: pytest.MonkeyPatch, scale: float, piece: int
) -> None:
    monkeypatch.setattr(evaluate, "PIECE", piece)
    train, factors = PROBLEM.train, model(scale)
    expected = float(((train.r - factors.predict(train.u, train.i)) ** 2).sum())
    found = []
    for workers in (1, 2, 5):
        with Crew(workers) as crew:
            found.append(sum_of_squares(train, factors, crew, Gate(), lambda: None))
    assert found[0] == pytest.approx(expected, rel=1e-6)
    assert found[0] == found[1] == found[2]  # pieces are added in their order


def test_no_rating_has_no_rmse() -> None:
    empty = tiny_problem(holdout=0.0).test
    with Crew(2) as crew:
        assert sum_of_squares(empty, model(), crew, Gate(), lambda: None) == 0.0
    assert math.isnan(rmse(0.0, 0))
    assert rmse(8.0, 2) == 2.0


def test_a_dismissed_gate_sends_the_workers_home() -> None:
    gate = Gate()
    gate.dismiss()
    with Crew(2) as crew:
        assert sum_of_squares(PROBLEM.train, model(), crew, gate, lambda: None) == 0.0


def test_the_caller_takes_part_and_looks_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "PIECE", 1)
    monkeypatch.setattr(evaluate, "LOOK_S", 0.0)
    threads, looks = set(), []

    def note(*args: object) -> float:
        threads.add(threading.get_ident())
        return 1.0

    monkeypatch.setattr(evaluate, "squared_error", note)
    with Crew(1) as crew:
        found = sum_of_squares(PROBLEM.train, model(), crew, Gate(), lambda: looks.append(1))
    assert found == len(looks) == PROBLEM.train.nnz
    assert threads == {threading.get_ident()}, "alone it needs no other thread"


def test_what_the_caller_finds_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "PIECE", 1)
    monkeypatch.setattr(evaluate, "LOOK_S", 0.0)
    gate, looks = Gate(), []

    def look() -> None:
        looks.append(1)
        gate.dismiss()
        raise InterruptedError

    with Crew(3) as crew, pytest.raises(InterruptedError):
        sum_of_squares(PROBLEM.train, model(), crew, gate, look)
    assert looks == [1]

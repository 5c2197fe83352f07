"""Preconditioned SGD against its naive twin and its mutants; without preconditioning it is SGD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.solvers.base import Factors, registry
from mfviz.solvers.preconditioned_sgd import PreconditionedSGD
from tests.naive_descent import model_of, preconditioned
from tests.solvers.recorded import Record, train
from tests.solvers.replay import distance, problem_of, rates, sgd_orders

TOLERANCE = 3e-5
SETTINGS: dict[str, Any] = {
    "rank": 10, "lr": 0.05, "lam": 0.1, "lr_bias": 0.03, "lam_bias": 0.05, "init_scale": 0.5,
    "schedule": "constant", "seed": 3, "epochs": 2, "epsilon": 0.05,
}  # fmt: skip


def run(problem: Problem, *, chunk: int | None = None, **settings: Any) -> Record:
    return train(PreconditionedSGD.make(**{**SETTINGS, **settings}), problem, chunk=chunk)


def twin(problem: Problem, record: Record, *, mutant: str = "", **settings: Any):
    solver: Any = PreconditionedSGD.make(**{**SETTINGS, **settings})
    t = problem.train
    _, lr, lam, lr_bias, lam_bias = rates(solver, problem)
    model = preconditioned(
        t.u, t.i, t.r, model_of(record.initial), sgd_orders(solver, t.nnz), lr=lr, lam=lam,
        lr_bias=lr_bias, lam_bias=lam_bias, kind=solver.precondition, epsilon=solver.epsilon,
        mutant=mutant,
    )  # fmt: skip
    extra = record.final.P.shape[1] - record.final.rank
    P, Q = (np.pad(model[a], ((0, 0), (0, extra))) for a in ("P", "Q"))
    return P, Q, model["bu"], model["bi"]


def bits(factors: Factors) -> bytes:
    return b"".join(a.tobytes() for a in (factors.P, factors.Q, factors.bu, factors.bi))


@pytest.mark.parametrize("rank", [1, 10, 20])
@pytest.mark.parametrize("kind", ["whiten", "kaczmarz", "none"])
@pytest.mark.parametrize("biases", [True, False])
def test_equals_the_naive_twin(rank: int, kind: str, biases: bool) -> None:
    problem = problem_of()
    settings: dict[str, Any] = {"rank": rank, "precondition": kind, "biases": biases}
    record = run(problem, **settings)
    assert distance(record.final, twin(problem, record, **settings)) < TOLERANCE


@pytest.mark.parametrize("mutant", ["swapped", "never", "only error", "new p", "epsilon"])
def test_mutants_are_seen(mutant: str) -> None:
    problem = problem_of()
    record = run(problem)
    wrong: dict[str, Any] = {"epsilon": 0.2} if mutant == "epsilon" else {"mutant": mutant}
    assert distance(record.final, twin(problem, record, **wrong)) > 100 * TOLERANCE


def test_without_preconditioning_it_is_serial_sgd_bit_for_bit() -> None:
    problem = problem_of()
    shared = {name: value for name, value in SETTINGS.items() if name != "epsilon"}
    wanted = train(registry()["sgd"].make(**shared), problem).final
    assert bits(run(problem, precondition="none").final) == bits(wanted)
    assert bits(run(problem).final) != bits(wanted)


def test_with_a_large_epsilon_it_is_sgd() -> None:
    problem = problem_of()
    found = run(problem, epochs=1, epsilon=1e5).final
    wanted = run(problem, epochs=1, precondition="none").final
    assert np.linalg.norm(found.P - wanted.P) < 1e-5 * np.linalg.norm(wanted.P)


def test_kaczmarz_with_a_rate_of_one_solves_for_the_rating() -> None:
    """One rating, no lambda: from the items' side alone a rate of one half takes half of it."""
    problem = problem_of(1, 1, 1)
    settings: dict[str, Any] = {"precondition": "kaczmarz", "lr": 0.5, "lam": 0.0, "epochs": 1}
    record = run(problem, biases=False, centre=False, **settings)
    t, (P, Q) = problem.train, (record.initial.P[0], record.initial.Q[0])
    e = float(t.r[0] - P @ Q)
    wanted = P + 0.5 * e * Q / (Q @ Q)
    np.testing.assert_allclose(record.final.P[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["whiten", "kaczmarz"])
def test_chunks_change_no_bit(kind: str) -> None:
    problem = problem_of()
    reference = run(problem, precondition=kind).final
    for chunk in (1, 50):
        record = run(problem, precondition=kind, chunk=chunk)
        assert bits(record.final) == bits(reference)
        assert np.diff([c.updates for c in record.checkpoints]).max() == chunk

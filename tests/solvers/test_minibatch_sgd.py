"""Mini-batch SGD against its naive twin and its mutants; batches of one rating are serial SGD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.solvers import minibatch_sgd
from mfviz.solvers.base import Factors, registry
from mfviz.solvers.minibatch_sgd import MinibatchSGD
from mfviz.telemetry.events import Noticed
from tests.naive_descent import minibatch, model_of
from tests.solvers.recorded import Record, train
from tests.solvers.replay import distance, problem_of, rates, sgd_orders

TOLERANCE = 1e-5
SETTINGS: dict[str, Any] = {
    "rank": 10, "lr": 0.1, "lam": 0.1, "lr_bias": 0.03, "lam_bias": 0.05, "init_scale": 0.3,
    "schedule": "constant", "seed": 3, "epochs": 3, "workers": 2, "batch": 32,
}  # fmt: skip


@pytest.fixture(autouse=True)
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers share even small batches: their barriers are what is to be tested."""
    monkeypatch.setattr(minibatch_sgd, "ALONE", 0)


def run(problem: Problem, *, chunk: int | None = None, **settings: Any) -> Record:
    return train(MinibatchSGD.make(**{**SETTINGS, **settings}), problem, chunk=chunk)


def twin(problem: Problem, record: Record, *, mutant: str = "", **settings: Any):
    solver: Any = MinibatchSGD.make(**{**SETTINGS, **settings})
    t = problem.train
    _, lr, lam, lr_bias, lam_bias = rates(solver, problem)
    model = minibatch(
        t.u, t.i, t.r, model_of(record.initial), sgd_orders(solver, t.nnz), solver.batch or t.nnz,
        lr=lr, lam=lam, lr_bias=lr_bias, lam_bias=lam_bias, form=solver.form, mutant=mutant,
    )  # fmt: skip
    return [np.pad(model[a], ((0, 0), (0, 6))) for a in ("P", "Q")] + [model["bu"], model["bi"]]


def bits(factors: Factors) -> bytes:
    return b"".join(a.tobytes() for a in (factors.P, factors.Q, factors.bu, factors.bi))


@pytest.mark.parametrize("batch", [1, 7, 32, 0])
@pytest.mark.parametrize("form", ["sum", "mean", "row"])
def test_equals_the_naive_twin(batch: int, form: str) -> None:
    problem = problem_of()
    lr = {"sum": 0.02, "mean": 2.0 if batch > 7 else 0.2, "row": 0.1}[form]
    settings: dict[str, Any] = {"batch": batch, "form": form, "lr": lr, "lr_bias": lr / 4}
    record = run(problem, **settings)
    assert distance(record.final, twin(problem, record, **settings)) < TOLERANCE


def test_without_biases_equals_the_naive_twin() -> None:
    problem = problem_of()
    record = run(problem, biases=False)
    assert distance(record.final, twin(problem, record, biases=False)) < TOLERANCE


@pytest.mark.parametrize("mutant", ["fresh", "once", "lost"])
def test_mutants_are_seen(mutant: str) -> None:
    problem = problem_of()
    record = run(problem)
    assert distance(record.final, twin(problem, record, mutant=mutant)) > 100 * TOLERANCE


@pytest.mark.parametrize("form", ["sum", "mean", "row"])
@pytest.mark.parametrize("more", [{}, {"biases": False}, {"schedule": "bold"}], ids=str)
def test_batches_of_one_rating_are_serial_sgd_bit_for_bit(form: str, more: dict) -> None:
    problem = problem_of()
    settings = {**SETTINGS, **more, "workers": 1}
    batch = settings.pop("batch")
    wanted = train(registry()["sgd"].make(**settings), problem).final
    for workers in (1, 2):
        found = run(problem, batch=1, form=form, workers=workers, **more)
        assert bits(found.final) == bits(wanted)
    assert bits(run(problem, batch=batch, **more).final) != bits(wanted)


@pytest.mark.parametrize("batch", [1, 64, 0])
def test_workers_and_chunks_change_no_bit(batch: int) -> None:
    problem = problem_of()
    reference = run(problem, batch=batch, workers=1, lr=0.02).final
    for workers, chunk in ((1, 1), (2, None), (3, 50), (5, 100)):
        record = run(problem, batch=batch, workers=workers, chunk=chunk, lr=0.02)
        assert bits(record.final) == bits(reference)
        assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates
        steps = np.diff([c.updates for c in record.checkpoints])
        assert steps.max() <= (chunk or problem.train.nnz)


def test_the_mean_over_all_ratings_is_gradient_descent() -> None:
    """One step of the whole gradient, in closed form."""
    problem = problem_of()
    settings: dict[str, Any] = {
        "batch": 0,
        "form": "mean",
        "biases": False,
        "epochs": 1,
        "lr": 5.0,
    }
    record = run(problem, **settings)
    t, start = problem.train, model_of(record.initial)
    e = t.r - problem.train.mean - (start["P"][t.u] * start["Q"][t.i]).sum(axis=1)
    gradient = np.zeros_like(start["P"])
    np.add.at(gradient, t.u, e[:, None] * start["Q"][t.i] - 0.1 * start["P"][t.u])
    wanted = start["P"] + 5.0 / t.nnz * gradient
    assert np.linalg.norm(record.final.P[:, :10] - wanted) < TOLERANCE * np.linalg.norm(wanted)


def test_phases_of_large_batches_are_drawn_and_small_ones_are_not() -> None:
    problem = problem_of(300, 200, 9000)
    large, small = (run(problem, batch=b, epochs=1, lr=0.001) for b in (4096, 16))
    assert {"errors", "update", "steps", "wait"} <= {s["name"] for s in large.spans}
    assert {s["name"] for s in small.spans} == {"batches"}


def test_a_small_batch_is_one_workers_and_that_is_drawn_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(minibatch_sgd, "ALONE", 1 << 13)
    problem = problem_of()
    small, large = run(problem, batch=8, workers=3), run(problem, batch=1024, workers=3, rank=64)
    assert {s["lane"] for s in small.spans if s["ratings"]} == {"W0"}
    waits = [s for s in small.spans if s["op"] == "wait"]
    assert {s["lane"] for s in waits} == {"W1", "W2"}
    told = [fields["message"] for kind, fields in small.events if kind is Noticed]
    assert told
    assert "Batches of 8 " in told[0]
    assert {s["lane"] for s in large.spans if s["ratings"]} == {"W0", "W1", "W2"}
    assert not [kind for kind, _ in large.events if kind is Noticed]

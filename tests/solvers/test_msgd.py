"""MSGD against its naive twin and ASGD, on the CPU and through the calls of a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem
from mfviz.experiments.context import make_context
from mfviz.kernels.als import group_by_row
from mfviz.kernels.rows import shuffle_row
from mfviz.solvers.asgd import ASGD
from mfviz.solvers.base import Checkpoint, Factors
from mfviz.solvers.msgd import MSGD
from mfviz.solvers.stochastic import draw_seed
from mfviz.telemetry.memory import Ledger
from mfviz.theory.memory import device_mib
from tests.fakes_device import FakeDriver
from tests.naive_descent import asgd as naive_asgd
from tests.naive_descent import model_of
from tests.solvers.recorded import train
from tests.solvers.test_asgd import distance, random_problem
from tests.theory.test_theory import TABLE_S1

BRISK: dict[str, Any] = {
    "rank": 5, "epochs": 3, "workers": 2, "lr": 0.08, "lam": 0.1, "init_scale": 0.3, "decay": 0.9,
}  # fmt: skip


def order_of(problem: Problem, seed: int, shuffle: bool) -> tuple[np.ndarray, np.ndarray]:
    """The order of visits of both phases, from the solver's own random numbers."""
    t, rng, found = problem.train, np.random.default_rng(seed).spawn(3)[2], []
    seeds = [draw_seed(rng) if shuffle else None for _ in range(2)]
    for row, count, drawn in zip(
        (t.u, t.i), (problem.n_users, problem.n_items), seeds, strict=True
    ):
        indptr = np.zeros(count + 1, np.int64)
        index, value = np.zeros(t.nnz, np.int32), np.zeros(t.nnz, np.float32)
        group_by_row(row, np.arange(t.nnz, dtype=np.int32), t.r, indptr, index, value)
        if drawn is not None:
            for x in range(count):
                shuffle_row(index, value, indptr[x], indptr[x + 1], drawn, x)
        found.append(index)
    return found[0], found[1]


def twin(problem: Problem, initial: Factors, *, biased=False, shuffle=True, mutant="", lam=0.1):
    t, order = problem.train, order_of(problem, 0, shuffle)
    lrs = [(0.08 * 0.9**epoch, 0.9**epoch) for epoch in range(3)]
    return naive_asgd(
        t.u, t.i, t.r, model_of(initial), [order] * 3, lrs=lrs, lam=lam, lr_bias=0.01,
        lam_bias=0.02, biased=biased, mutant=mutant,
    )  # fmt: skip


def on_device(
    solver: Any, problem: Problem, chunk: int | None = None, told: Any = None, **fake: Any
) -> Any:
    """Train on a fake device; return driver, factors, spans, ledger's bytes and checkpoints."""
    driver, ledger, held = FakeDriver(**fake), Ledger(), {}
    with Crew(solver.threads) as crew:
        context = make_context(
            solver, crew, ledger=ledger, backend="cuda", driver=driver, chunk=chunk,
            emit=told or (lambda kind, **fields: None),
        )  # fmt: skip
        checkpoints: list[Checkpoint] = []
        for checkpoint in solver.iterate(problem, context):
            checkpoints.append(checkpoint)
            held = {k: v[0] for k, v in ledger._held.items()}
        context.refresh()
        spans = list(context.spans.drain(0, 1, context.names))
    return driver, context.factors, spans, held, checkpoints


def memory_of(solver: Any, problem: Problem) -> tuple[int, int]:
    """Bytes on the device and on the host, as the model says."""
    model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz, "cuda")
    there, here = (
        sum(part.bytes for part in model.parts if part.place == where)
        for where in ("device", "host")
    )
    return there, here


def memory_held(held: dict[tuple[str, str], int]) -> tuple[int, int]:
    """Bytes on the device and on the host, of what the ledger holds."""
    there, here = (
        sum(size for (place, _), size in held.items() if place == where)
        for where in ("cuda:0", "host")
    )
    return there, here


@pytest.mark.parametrize("rank", [1, 5, 20])
@pytest.mark.parametrize("biased", [True, False])
def test_equals_the_naive_twin(rank: int, biased: bool) -> None:
    problem = random_problem()
    record = train(MSGD.make(**{**BRISK, "rank": rank, "biases": biased}), problem)
    assert distance(record.final, twin(problem, record.initial, biased=biased)) < 1e-5
    assert record.final.bu.any() == biased


@pytest.mark.parametrize("mutant", ["stale", "both", "decay once", "order", "lambda"])
def test_mutants_are_seen(mutant: str) -> None:
    problem = random_problem()
    record = train(MSGD.make(**BRISK), problem)
    others: dict = {"order": {"shuffle": False}, "lambda": {"lam": 0.12}}
    wrong = others.get(mutant, {"mutant": mutant})
    assert distance(record.final, twin(problem, record.initial, **wrong)) > 1e-3


@pytest.mark.parametrize("biases", [True, False])
def test_is_asgd_bit_for_bit(biases: bool) -> None:
    problem, settings = random_problem(), {**BRISK, "shuffle": False, "biases": biases}
    reference = train(ASGD.make(**settings), problem).final
    for workers, chunk in ((1, 1), (2, None), (3, 7)):
        solver = MSGD.make(**{**settings, "workers": workers})
        final = train(solver, problem, chunk=chunk).final
        for name in ("P", "Q", "bu", "bi"):
            np.testing.assert_array_equal(getattr(final, name), getattr(reference, name))


@pytest.mark.parametrize("chunk", [None, 97])
@pytest.mark.parametrize("settings", [{}, {"biases": True}, {"rank": 16}], ids=str)
def test_a_device_is_asked_for_the_same(settings: dict, chunk: int | None) -> None:
    problem, solver = random_problem(), MSGD.make(**{**BRISK, **settings})
    record = train(solver, problem)
    driver, factors, spans, _, checkpoints = on_device(solver, problem, chunk)
    assert distance(factors, model_of(record.final)) < 1e-5
    assert {call[0] for call in driver.calls} <= {"record", "kernel", "copy"}
    assert sum(s["ratings"] for s in spans) == checkpoints[-1].updates == 6 * problem.train.nnz
    kernels = [s["name"] for s in spans if s["op"] == "kernel"]
    each = -(-problem.train.nnz // (chunk or problem.train.nnz))
    assert kernels == [*["users"] * each, *["items"] * each] * 3
    assert {s["clock"] for s in spans} == {"cuda-events"}
    assert driver.races() == 0


def test_memory_on_a_device_is_what_the_model_says() -> None:
    problem, solver = random_problem(), MSGD.make(**{**BRISK, "biases": True})
    _, _, _, held, _ = on_device(solver, problem)
    model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz, "cuda")
    there = {p.name: p.bytes for p in model.parts if p.place == "device"}
    assert there == {name: size for (place, name), size in held.items() if place == "cuda:0"}
    here = {p.name: p.bytes for p in model.parts if p.place == "host"}
    assert here == {name: size for (place, name), size in held.items() if place == "host"}


@pytest.mark.parametrize("key", ["msgd", "ds_sgd_c"])
@pytest.mark.parametrize("name", TABLE_S1)
def test_the_model_reproduces_table_s1(name: str, key: str) -> None:
    from mfviz.solvers.base import registry

    m, n, nnz, shown = TABLE_S1[name]
    model = registry()[key](rank=40).memory(m, n, round(0.8 * nnz), "cuda")
    sizes = [part.bytes for part in model.parts if part.place == "device"]
    assert abs(device_mib(sizes) - shown) <= 2


def test_a_full_device_ends_the_training_with_what_to_change() -> None:
    from mfviz.errors import DeviceError

    with pytest.raises(DeviceError, match="lower rank"):
        on_device(MSGD.make(**BRISK), random_problem(), room=6000)

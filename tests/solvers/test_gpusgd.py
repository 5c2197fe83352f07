"""GPUSGD: strata on two levels against its naive twin; with one it is DSGD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.data.layout import grid
from mfviz.data.problem import Problem
from mfviz.solvers.base import Factors
from mfviz.solvers.dsgd import DSGD
from mfviz.solvers.gpusgd import GPUSGD, two_level_schedule
from mfviz.solvers.stratified import STRATA
from tests import naive
from tests.naive_descent import model_of
from tests.solvers.recorded import train
from tests.solvers.replay import distance, problem_of, rates, streams
from tests.solvers.test_asgd import distance as model_distance
from tests.solvers.test_msgd import memory_held, memory_of, on_device
from tests.solvers.test_sgd import bits

BRISK: dict[str, Any] = {
    "rank": 10, "epochs": 3, "workers": 2, "grid": 3, "threads_a_block": 2, "lr": 0.15, "lam": 0.1,
    "lr_bias": 0.03, "lam_bias": 0.05, "init_scale": 0.3, "schedule": "constant", "seed": 3,
}  # fmt: skip


def twin(solver: GPUSGD, problem: Problem, start: Factors, mutant: str = "") -> Any:
    """Every block is shuffled once; strata are drawn for each epoch, outer ones before inner."""
    _, layout_rng, order_rng = streams(solver)
    G, T = solver.grid, solver.threads_a_block
    layout = grid(problem.train, G * T, G * T, layout_rng)
    seed = order_rng.integers(1, 1 << 63)
    blocks = {
        divmod(b, G * T): naive.shuffled(
            range(*layout.offsets[b : b + 2]), naive.part_seed(seed, b)
        )
        for b in range(G * T * G * T)
    }
    model: Any = (start.P, start.Q, start.bu, start.bi)
    for _ in range(solver.epochs):
        outer, inner = ([layout_rng.permutation(k) for _ in range(3)] for k in (G, T))
        # in stratum s row block g has column block c[(o[s] + w[g]) % k]: as DSGD's "wor"
        sigma, tau = (
            [[c[(o[s] + w[g]) % len(c)] for g in range(len(c))] for s in range(len(c))]
            for o, w, c in (outer, inner)
        )
        strata = [
            [sigma[s][g] * T + tau[t][a] for g in range(G) for a in range(T)]
            for s in range(G)
            for t in (range(T) if mutant != "one level" else [0] * T)
        ]
        model = naive.dsgd(
            layout.u, layout.i, layout.r, blocks, np.array(strata), *model,
            *rates(solver, problem), mutant=mutant,
        )  # fmt: skip
    return model


@pytest.mark.parametrize("biases", [True, False])
def test_equals_the_naive_twin(biases: bool) -> None:
    problem, solver = problem_of(), GPUSGD(**BRISK, biases=biases)
    record = train(solver, problem)
    assert distance(record.final, twin(solver, problem, record.initial)) < 1e-5


@pytest.mark.parametrize("mutant", ["new p", "no barrier", "one level"])
def test_mutants_are_seen(mutant: str) -> None:
    problem, solver = problem_of(), GPUSGD(**BRISK)
    record = train(solver, problem)
    assert distance(record.final, twin(solver, problem, record.initial, mutant)) > 1e-3


def test_one_level_is_dsgd_bit_for_bit() -> None:
    """In the first epoch: dsgd shuffles its blocks anew in the next ones."""
    problem = problem_of()
    settings = {**BRISK, "epochs": 1, "threads_a_block": 1}
    found = train(GPUSGD(**settings), problem).final
    del settings["threads_a_block"]
    assert bits(found) == bits(train(DSGD(**settings), problem).final)


def test_neither_workers_nor_chunks_change_a_bit() -> None:
    problem = problem_of()
    wanted = bits(train(GPUSGD(**BRISK), problem).final)
    for workers, chunk in ((1, 1), (3, 50)):
        solver = GPUSGD(**{**BRISK, "workers": workers})
        assert bits(train(solver, problem, chunk=chunk).final) == wanted


@pytest.mark.parametrize("kind", STRATA)
def test_each_block_comes_once_and_none_of_a_stratum_meet(kind: str) -> None:
    G, T = 3, 4
    strata = two_level_schedule(kind, G, T, np.random.default_rng(1))
    everything = np.arange(G * T)
    assert all(sorted(row) == everything.tolist() for row in strata)  # no column twice
    assert all(sorted(col) == everything.tolist() for col in strata.T)  # every block once
    outer = strata.reshape(G, T, G, T) // T
    assert (outer == outer[:, :1, :, :1]).all()  # T strata in a row stay in one block each


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("chunk", [None, 40])
def test_a_device_is_asked_for_the_same(biases: bool, chunk: int | None) -> None:
    problem, solver = problem_of(), GPUSGD(**BRISK, biases=biases)
    wanted = train(solver, problem).final
    driver, factors, spans, held, checkpoints = on_device(solver, problem, chunk)
    assert model_distance(factors, model_of(wanted)) < 1e-5
    assert driver.races() == 0
    kernels = [s["ratings"] for s in spans if s["op"] == "kernel"]
    assert sum(kernels) == checkpoints[-1].updates == 3 * problem.train.nnz
    assert len(kernels) == 9 if chunk is None else len(kernels) > 9
    assert memory_of(solver, problem) == memory_held(held)

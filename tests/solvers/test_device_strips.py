"""Strip SGD on a device: its squares of blocks and warps against the naive twin."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mfviz.data.problem import Problem
from mfviz.kernels.cuda.strips import rows_that_fit
from mfviz.solvers.device_strips import strip_shape
from mfviz.solvers.strip_sgd import StripSGD
from tests import naive
from tests.naive_descent import model_of
from tests.solvers.recorded import train
from tests.solvers.replay import distance, problem_of, rates, streams
from tests.solvers.test_asgd import distance as model_distance
from tests.solvers.test_msgd import memory_held, memory_of, on_device

BRISK: dict[str, Any] = {
    "rank": 10, "epochs": 3, "workers": 2, "blocks": 3, "warps": 2, "lr": 0.1, "lam": 0.1,
    "lr_bias": 0.03, "lam_bias": 0.05, "init_scale": 0.3, "schedule": "constant", "seed": 3,
}  # fmt: skip
NARROW = 5  # rows of a strip that fit, in some tests


def made(**settings: Any) -> StripSGD:
    solver = StripSGD.make(**{**BRISK, **settings})
    assert isinstance(solver, StripSGD)
    return solver


def square(kind: str, side: int, rng: np.random.Generator) -> list[list[int]]:
    """Column of each row (inner lists) in each step: DSGD's "wor", or (s + w) mod side."""
    if kind == "seq":
        return [[(s + w) % side for w in range(side)] for s in range(side)]
    order, rows, cols = (rng.permutation(side) for _ in range(3))
    return [[cols[(order[s] + rows[w]) % side] for w in range(side)] for s in range(side)]


def twin(solver: StripSGD, problem: Problem, start: Any, mutant: str = "") -> Any:
    """Visit the runs of users in parts of strips, block after block and worker after worker."""
    train_ = problem.train
    shape = strip_shape(solver, problem.n_users, problem.n_items, train_.nnz)
    G, S, T = shape.blocks, shape.strips, shape.warps
    ranges = naive.strip_ranges(train_.u, problem.n_users, G * T)
    of_user = np.searchsorted(ranges[1:-1], np.arange(problem.n_users), side="right")
    dealt = naive.strip_items(train_.i, problem.n_items, G * T, S)
    parts: dict = {}
    for t, (u, i) in enumerate(zip(train_.u, train_.i, strict=True)):
        owner, strip = divmod(dealt[i], S)
        parts.setdefault((of_user[u], owner // T, strip, owner % T), []).append(t)
    rng, model = streams(solver)[1], (start.P, start.Q, start.bu, start.bi)
    for _ in range(solver.epochs):
        kind = "wor" if solver.shuffle else "seq"
        outer, inner = square(kind, G, rng), square(kind, T, rng)
        turns = rng.permutation(S) if solver.shuffle else range(S)
        runs = []
        steps = range(T) if mutant != "one step" else [0] * T
        for k, block, turn, step, w in np.ndindex(G, G, S, T, T):
            key = (block * T + w, outer[k][block], turns[turn], inner[steps[step]][w])
            mine = sorted(parts.get(key, []), key=lambda t: train_.u[t])
            cuts = [0, *(a + 1 for a, (x, y) in enumerate(pairwise(mine))
                         if train_.u[x] != train_.u[y]), len(mine)]  # fmt: skip
            runs += [mine[low:high] for low, high in pairwise(cuts) if high > low]
        model = naive.strip_sgd(
            train_.u, train_.i, train_.r, runs, *model, *rates(solver, problem), mutant=mutant
        )
    return model


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared memory has room for a few rows only, so that a group is many strips."""
    monkeypatch.setattr("mfviz.solvers.device_strips.rows_that_fit", lambda width: NARROW)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"warps": 1, "blocks": 1}], ids=str)
@pytest.mark.usefixtures("narrow")
def test_a_device_gives_what_the_naive_twin_does(settings: dict, biases: bool) -> None:
    problem, solver = problem_of(nnz=500), made(biases=biases, **settings)
    assert strip_shape(solver, problem.n_users, problem.n_items, problem.train.nnz).strips > 1
    start = train(solver, problem).initial
    driver, factors, spans, held, checkpoints = on_device(solver, problem)
    assert distance(factors, twin(solver, problem, start)) < 1e-5
    assert driver.races() == 0
    assert sum(s["ratings"] for s in spans) == checkpoints[-1].updates == 3 * problem.train.nnz
    assert memory_of(solver, problem) == memory_held(held)


@pytest.mark.parametrize("mutant", ["one by one", "new p", "lambda once", "one step"])
def test_mutants_are_seen(mutant: str) -> None:
    problem, solver = problem_of(nnz=500), made(blocks=2)
    _, factors, _, _, _ = on_device(solver, problem)
    wrong = twin(solver, problem, train(solver, problem).initial, mutant)
    assert distance(factors, wrong) > 1e-3


@pytest.mark.parametrize("schedule", ["constant", "bold"])
def test_one_warp_a_block_is_the_cpu_with_as_many_workers(schedule: str) -> None:
    """The bold driver, too, judges the factors as they are on the device."""
    problem = problem_of(nnz=500)
    solver = made(workers=3, blocks=3, warps=1, shuffle=False, schedule=schedule)
    wanted = train(solver, problem).final
    _, factors, _, _, _ = on_device(solver, problem)
    assert model_distance(factors, model_of(wanted)) < 1e-5


def test_chunks_are_rounded_up_to_rounds() -> None:
    problem, solver = problem_of(nnz=500), made()
    _, wanted, _, _, _ = on_device(solver, problem)
    _, factors, spans, _, checkpoints = on_device(solver, problem, 1)
    for name in ("P", "Q", "bu", "bi"):
        np.testing.assert_array_equal(getattr(factors, name), getattr(wanted, name))
    assert sum(s["op"] == "kernel" for s in spans) == 3 * 3
    assert len([c for c in checkpoints if c.kind == "stratum" and not c.running]) == 3 * 2


def test_the_shape_fits_shared_memory_and_the_problem() -> None:
    for m, n, nnz, rank in (
        (162_541, 59_047, 25_000_095, 64), (480_189, 17_770, 99_072_112, 128),
        (600, 400, 20_000, 16), (3, 2, 4, 256),
    ):  # fmt: skip
        for blocks in (0, 500):
            solver = made(rank=rank, blocks=blocks, warps=8)
            shape = strip_shape(solver, m, n, nnz)
            assert shape.warps * -(-n // shape.columns) <= rows_that_fit(rank)
            assert shape.rows <= min(m, n)
    large = strip_shape(made(rank=64, blocks=0, warps=8), 162_541, 59_047, 25_000_095)
    assert (large.blocks, large.strips, large.warps) == (128, 3, 8)
    assert strip_shape(made(blocks=0, warps=8), 6040, 3706, 900_188).blocks == 41

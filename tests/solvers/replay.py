"""Repeats in slow motion what a solver of the SGD family must have done, from its seed alone.

Orders come from the solver's own three random streams (start, layout, order of visits); every
rating is then visited by the naive twins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfviz.data.layout import Grid, grid
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.solvers.base import Factors, Solver
from mfviz.solvers.fpsgd import FPSGD
from mfviz.solvers.stratified import stratum_schedule
from mfviz.solvers.strip_sgd import strips_of_group
from tests import naive

Arrays = tuple[Any, Any, Any, Any]


def problem_of(
    m: int = 30, n: int = 20, nnz: int = 400, *, seed: int = 0, holdout: float = 0.0
) -> Problem:
    """Ratings of a planted rank 3 around 3, uneven: popular rows come by squared uniforms."""
    rng = np.random.default_rng(seed)
    u, i = (rng.random((2, nnz)) ** 2 * [[m], [n]]).astype(int)
    P, Q = rng.normal(size=(m, 3)), rng.normal(size=(n, 3))
    r = 3.0 + 0.6 * (P[u] * Q[i]).sum(axis=1) + 0.1 * rng.normal(size=nnz)
    return split(Ratings.from_triples(u, i, r), holdout=holdout)


def streams(solver: Solver) -> list[np.random.Generator]:
    """The solver's streams: start, layout, order of visits."""
    return np.random.default_rng(solver.seed).spawn(3)


def distance(found: Factors, wanted: Arrays) -> float:
    """Largest relative distance of P, Q, bu and bi, in the Frobenius norm."""
    pairs = zip((found.P, found.Q, found.bu, found.bi), wanted, strict=True)
    return max(
        float(np.linalg.norm(a - b) / np.linalg.norm(b)) if np.any(b) else float(np.abs(a).max())
        for a, b in pairs
    )


def sgd_orders(solver: Solver, nnz: int) -> list[list[int]]:
    """Order of visits of each epoch of serial SGD."""
    rng, order, orders = streams(solver)[2], list(range(nnz)), []
    for _ in range(solver.epochs):
        order = naive.shuffled(order, rng.integers(1, 1 << 63))
        orders.append(order)
    return orders


def dsgd_plan(solver: Any, problem: Problem) -> tuple[Grid, list[tuple[dict, Any]]]:
    """Grid, and for each epoch the blocks in their order of visits and the strata."""
    _, layout_rng, order_rng = streams(solver)
    d = solver.grid
    layout = grid(problem.train, d, d, layout_rng, shuffle=solver.shuffle)
    blocks = {divmod(b, d): list(range(*layout.offsets[b : b + 2])) for b in range(d * d)}
    plan = []
    for _ in range(solver.epochs):
        seed = order_rng.integers(1, 1 << 63)
        blocks = {
            (row, col): naive.shuffled(part, naive.part_seed(seed, row * d + col))
            for (row, col), part in blocks.items()
        }
        plan.append((blocks, stratum_schedule(solver.strata, d, layout_rng)))
    return layout, plan


def rates(solver: Any, problem: Problem) -> tuple[float, ...]:
    """``mu, lr, lam, lr_bias, lam_bias`` of a constant schedule."""
    mu = problem.train.mean if solver.centre else 0.0
    if not solver.biases:
        return mu, solver.lr, solver.lam, 0.0, 0.0
    return mu, solver.lr, solver.lam, solver.lr_bias, solver.lam_bias


def sgd_twin(solver: Any, problem: Problem, start: Factors, mutant: str = "") -> Arrays:
    """Factors and biases after all epochs of ``sgd`` (or ``hogwild`` with one worker)."""
    model: Any = (start.P, start.Q, start.bu, start.bi)
    train = problem.train
    for order in sgd_orders(solver, train.nnz):
        known = rates(solver, problem)
        model = naive.sgd(train.u, train.i, train.r, order, *model, *known, mutant=mutant)
    return model


def dsgd_twin(solver: Any, problem: Problem, start: Factors, mutant: str = "") -> Arrays:
    """Factors and biases after all epochs of ``dsgd``."""
    model: Any = (start.P, start.Q, start.bu, start.bi)
    layout, plan = dsgd_plan(solver, problem)
    for blocks, strata in plan:
        known = rates(solver, problem)
        model = naive.dsgd(
            layout.u, layout.i, layout.r, blocks, strata, *model, *known, mutant=mutant
        )
    return model


def strip_plan(solver: Any, problem: Problem, mutant: str = "") -> list[list[list[int]]]:
    """Runs of each epoch of ``strip_sgd`` in the order of their visits."""
    _, layout_rng, order_rng = streams(solver)
    train, m, n, T = problem.train, problem.n_users, problem.n_items, solver.workers
    each = strips_of_group(solver, m, n, train.nnz)
    ranges = naive.strip_ranges(train.u, m, T)
    of_item = naive.strip_items(train.i, n, T, each)
    strips = [of_item[item] for item in train.i]
    users, epochs = list(range(m)), []
    schedule, turns = stratum_schedule("seq", T, layout_rng), np.arange(each)
    for _ in range(solver.epochs):
        if solver.shuffle:
            schedule = stratum_schedule("wor", T, layout_rng)
            turns = layout_rng.permutation(each)
            seed = order_rng.integers(1, 1 << 63)
            for w in range(T):
                low, high = ranges[w : w + 2]
                near = [range(a, min(a + 16, high)) for a in range(low, high, 16)]
                near = naive.shuffled(near, naive.part_seed(seed, w))
                users[low:high] = [user for part in near for user in part]
        runs = naive.strip_runs(train.u, strips, ranges, users, schedule, turns, mutant=mutant)
        epochs.append(runs)
    return epochs


def strip_twin(solver: Any, problem: Problem, start: Factors, mutant: str = "") -> Arrays:
    """Factors and biases after all epochs of ``strip_sgd``."""
    model: Any = (start.P, start.Q, start.bu, start.bi)
    train = problem.train
    for runs in strip_plan(solver, problem, mutant):
        known = rates(solver, problem)
        model = naive.strip_sgd(train.u, train.i, train.r, runs, *model, *known, mutant=mutant)
    return model


def fpsgd_layout(solver: FPSGD, problem: Problem) -> Grid:
    """The grid that ``fpsgd`` lays out."""
    d = solver.blocks_a_side
    within = "row" if problem.n_users > problem.n_items else "col"
    return grid(problem.train, d, d, streams(solver)[1], sort_within=within)


def fpsgd_twin(
    solver: FPSGD,
    problem: Problem,
    start: Factors,
    schedules: list[list[tuple[int, int]]],
    mutant: str = "",
) -> Arrays:
    """Factors after the recorded schedules, one for each iteration."""
    layout, d = fpsgd_layout(solver, problem), solver.blocks_a_side
    blocks = {divmod(b, d): list(range(*layout.offsets[b : b + 2])) for b in range(d * d)}
    P, Q = start.P, start.Q
    GP, GQ = np.ones((len(P), 2)), np.ones((len(Q), 2))
    r = layout.r / start.scale
    for epoch, schedule in enumerate(schedules, 1):
        P, Q, GP, GQ = naive.fpsgd(
            layout.u, layout.i, r, blocks, schedule, P, Q, GP, GQ, solver.lr,
            solver.lam / start.scale, rank=solver.rank, slow_only=epoch == 1, mutant=mutant,
        )  # fmt: skip
    return P, Q, start.bu, start.bi

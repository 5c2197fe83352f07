"""How the proposals were chosen, as code: a grid of settings judged on a validation part.

Only training ratings enter. A tenth of them is held out as the validation part, the solver trains
on the rest, and settings are compared by the validation RMSE of the *last* epoch, averaged over
seeds.
Test ratings are never looked at; :mod:`mfviz.experiments.proposals` tells data and seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfviz.data.problem import split
from mfviz.data.ratings import Ratings
from mfviz.experiments.run import Run
from mfviz.solvers.base import solver_class

__all__ = ["SEEDS", "Trial", "tune", "validate"]

SEEDS = (1001, 1002)  # of validation parts and solvers; no goal is measured on them
HOLDOUT = 0.1


@dataclass(frozen=True)
class Trial:
    """One choice of settings and how it did.

    Attributes
    ----------
    settings : dict
        As given to the solver.
    rmse : float
        Validation RMSE of the last epoch, mean over seeds; NaN where a run diverged.
    best_rmse, best_epoch : float, int
        Lowest mean over seeds, and its epoch.
    solve_s : float
        Mean solve time.
    """

    settings: dict[str, Any]
    rmse: float
    best_rmse: float
    best_epoch: int
    solve_s: float


def validate(
    train: Ratings, solver: str, settings: Mapping[str, Any], *, seeds: Sequence[int] = SEEDS
) -> Trial:
    """Judge one choice of settings.

    Parameters
    ----------
    train : Ratings
        Training ratings of a problem; no test ratings.
    solver : str
        Key of the solver.
    settings : mapping
        Its settings; what is left out has its default.
    seeds : sequence of int
        Each gives a validation part and a start.

    Returns
    -------
    Trial
    """
    curves, seconds = [], []
    for seed in seeds:
        made = solver_class(solver).make(**settings, seed=seed)
        run = Run(split(train, holdout=HOLDOUT, seed=seed), made)
        run.execute()
        history = run.result().history
        curve = np.full(made.epochs + 1, np.nan)
        if run.status == "done":
            curve[history["epoch"]] = history["test_rmse"]
        curves.append(curve)
        seconds.append(float(history["solve_s"].max()))
    mean = np.mean(curves, axis=0)
    at = int(np.nanargmin(mean)) if np.isfinite(mean).any() else 0
    return Trial(dict(settings), float(mean[-1]), float(mean[at]), at, float(np.mean(seconds)))


def tune(
    train: Ratings,
    solver: str,
    fixed: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = SEEDS,
) -> Iterator[Trial]:
    """Judge every point of a grid, in its order.

    Parameters
    ----------
    train, solver, seeds
        As for :func:`validate`.
    fixed : mapping
        Settings that all points share.
    grid : mapping of str to sequence
        Values to try, by setting.
    """
    for values in itertools.product(*grid.values()):
        chosen = {**fixed, **dict(zip(grid, values, strict=True))}
        yield validate(train, solver, chosen, seeds=seeds)

"""Speed of the solvers: updates a second, set-up, and what one epoch takes."""

from __future__ import annotations

import statistics
import time
from typing import Any

from mfviz.api import load
from mfviz.cli_common import seconds, table
from mfviz.data.problem import Problem, split
from mfviz.errors import MfvizError
from mfviz.experiments.proposals import propose
from mfviz.experiments.run import Run
from mfviz.progress import progress_bar
from mfviz.solvers.base import registry, solver_class

__all__ = ["measure", "once", "outside", "tell"]


def measure(
    data: str, *, rank: int, epochs: int, workers: int | None, repeat: int, solvers: list[str]
) -> list[dict[str, Any]]:
    """Run each solver ``repeat`` times, in turns, and keep the medians.

    Parameters
    ----------
    data : str
        Name or path.
    rank, epochs : int
    workers : int, optional
        One for each core if it is not given.
    repeat : int
    solvers : list of str
        Keys; all that run on the CPU if it is empty.

    Returns
    -------
    list of dict
        A row a solver. An update is a visit of a rating; two-sided solvers count each side.
        ``outside_ratio`` is what a clock outside says of the time of ``epochs`` further epochs,
        over what the runs report as solve time: near 1 where nothing is hidden.
    """
    problem = split(load(data), holdout=0.1)
    keys = solvers or [key for key, cls in registry().items() if "cpu" in cls.backends]
    rounds: dict[str, list[dict[str, float]]] = {key: [] for key in keys}
    with progress_bar(repeat * len(keys), "solvers", unit="run") as bar:
        for _ in range(repeat):  # in turns, so that a drift of the machine meets all alike
            for key in keys:
                bar.set_postfix_str(key)
                rounds[key].append(outside(key, problem, rank, epochs, workers))
                bar.update()
    return [{"solver": key, **_median(rows)} for key, rows in rounds.items()]


def tell(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a table."""
    cells = [
        (
            row["solver"],
            f"{row['workers']:.0f}",
            f"{row['mega_updates_per_s']:.1f}",
            seconds(row["epoch_s"]),
            seconds(row["setup_s"]),
            f"{row['outside_ratio']:.2f}",
            f"{row['test_rmse']:.4f}",
        )
        for row in rows
    ]
    names = ("solver", "workers", "Mupdates/s", "an epoch", "set-up", "outside", "test RMSE")
    return table(names, cells)


def outside(
    key: str, problem: Problem, rank: int, epochs: int, workers: int | None
) -> dict[str, float]:
    """Run a solver for ``epochs`` and for twice as many, with a clock outside.

    The difference of the two has neither set-up nor evaluation in it. All other numbers are those
    of the shorter run.
    """
    once(key, problem, rank, 1, workers)  # the kernels are compiled before the clock runs
    found, spent = [], []
    for count in (epochs, 2 * epochs):
        began = time.perf_counter()
        found.append(once(key, problem, rank, count, workers))
        spent.append(time.perf_counter() - began)
    reported = found[1]["solve_s"] - found[0]["solve_s"]
    return {**found[0], "outside_ratio": (spent[1] - spent[0]) / reported}


def once(
    key: str, problem: Problem, rank: int, epochs: int, workers: int | None
) -> dict[str, float]:
    """Run a solver with its proposal, evaluating at the end only.

    Parameters
    ----------
    key : str
    problem : Problem
    rank, epochs : int
    workers : int, optional
        One for each core if it is not given; kept within what the solver allows.
    """
    settings = {**propose(key, problem), "rank": rank, "epochs": epochs}
    if workers is not None:
        low, high = solver_class(key).param["workers"].bounds
        settings["workers"] = min(max(workers, low), high)
    run = Run(problem, solver_class(key).make(**settings), evaluate_every=0)
    run.execute()
    if run.status == "failed":
        raise MfvizError(f"{key} failed: {run.reason}")
    tables = run.result().tables
    last = tables.epochs[-1]
    return {
        "workers": run.solver.workers,
        "solve_s": last.solve_s,
        "updates": last.updates / last.epoch,
        "mega_updates_per_s": last.updates / last.solve_s / 1e6,
        "epoch_s": last.solve_s / last.epoch,
        "setup_s": tables.setup_s,
        "test_rmse": last.test_rmse,
        "peak_bytes": sum(tables.peak_by_place.values()),
    }


def _median(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}

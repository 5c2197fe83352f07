"""How the cost of an epoch grows with the data, with the rank and with workers.

More workers can give no more than the machine does. What it gives at once to loops of nothing but
multiply-adds and of nothing but gathers is measured beside the solvers, in the same turns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from mfviz.bench.solvers import once
from mfviz.cli_common import seconds, table
from mfviz.data.problem import Problem, split
from mfviz.data.synthetic import PRESETS, generate
from mfviz.experiments.bandwidth import flops_per_s, gathers_per_s
from mfviz.progress import progress_bar
from mfviz.solvers.base import solver_class

__all__ = ["measure", "tell"]

CEILINGS = ("flops alone", "gathers alone")  # what stands in the solver's place
GATHERS = 1 << 20  # of a worker from each vector

BASE = "1m-like"  # synthetic ratings whose users, items and ratings are scaled together


def measure(
    *,
    solvers: Sequence[str],
    sizes: Sequence[float],
    ranks: Sequence[int],
    workers: Sequence[int],
    epochs: int,
    repeat: int,
) -> dict[str, Any]:
    """Measure epochs while one of size, rank and workers changes and the others stay.

    Parameters
    ----------
    solvers : sequence of str
        Keys.
    sizes : sequence of float
        Sizes of the data, 1 being those of ml-1m; the others are measured at the last one.
    ranks, workers : sequence of int
        The others are measured at the first rank and the last number of workers.
    epochs, repeat : int

    Returns
    -------
    dict
        ``on`` and ``rows``: a row a solver, axis and value (training ratings, rank, workers).
        ``growth`` is the exponent x of ``seconds ~ value^x`` between the first value of the axis
        and this one; of workers, ``speed_up`` is the ratio to the first, and ``speed_up_least``
        that of the least times: a core that others share is now and then slow for some dozens of
        milliseconds, and two workers wait for the slower one. Rows of the axis "ceiling" have the
        seconds that the machine takes for 10^9 flops or gathers.
    """
    problem = cache(_problem)
    base = {"ratings": sizes[-1], "rank": ranks[0], "workers": workers[-1]}
    axes = {"ratings": sizes, "rank": ranks, "workers": workers}
    cases = [
        (key, axis, {**base, axis: value})
        for key in solvers
        for axis, values in axes.items()
        for value in values
        if axis != "workers" or value <= solver_class(key).param["workers"].bounds[1]
    ]
    cases += [(key, "ceiling", {"ceiling": value}) for key in CEILINGS for value in workers]
    times: list[list[float]] = [[] for _ in cases]
    with progress_bar(repeat * len(cases), "scaling", unit="run") as bar:
        for _ in range(repeat):  # in turns, so that a drift of the machine meets all alike
            for at, (key, axis, chosen) in enumerate(cases):
                bar.set_postfix_str(f"{key} {axis} {chosen[axis]}")
                times[at].append(_seconds(key, chosen, epochs, problem))
                bar.update()
    rows = [
        {
            "solver": key, "axis": axis,
            "value": problem(chosen[axis]).train.nnz if axis == "ratings" else chosen[axis],
            "epoch_s": statistics.median(spent), "epoch_s_by_round": spent,
        }
        for (key, axis, chosen), spent in zip(cases, times, strict=True)
    ]  # fmt: skip
    on = {"data": BASE, "size": base.pop("ratings"), **base, "epochs": epochs, "rounds": repeat}
    on["training_ratings"] = problem(sizes[-1]).train.nnz
    return {"on": on, "rows": [{**row, **_against_first(row, rows)} for row in rows]}


def tell(found: dict[str, Any]) -> str:
    """Write what was measured as a table."""
    on = found["on"]
    head = (
        f"{on['data']} x {on['size']:g} ({on['training_ratings']:,} training ratings), rank "
        f"{on['rank']}, {on['workers']} worker(s), where the row says nothing else; "
        f"{on['rounds']} round(s); ceiling: seconds for 10^9 of them, by workers"
    )
    rows = [
        (
            row["solver"],
            row["axis"],
            f"{row['value']:,}",
            seconds(row["epoch_s"]),
            *(
                "-" if math.isnan(row[name]) else f"{row[name]:.2f}"
                for name in ("growth", "speed_up", "speed_up_least")
            ),
        )
        for row in found["rows"]
    ]
    names = ("solver", "axis", "value", "an epoch", "growth", "speed-up", "of least times")
    return head + "\n" + table(names, rows)


def _problem(size: float) -> Problem:
    spec = PRESETS[BASE]
    users, items, ratings = (
        max(2, round(size * count)) for count in (spec.users, spec.items, spec.ratings)
    )
    # A small set is denser than a large one: it has fewer pairs for each rating.
    ratings = min(ratings, users * items // 4)
    spec = replace(spec, users=users, items=items, ratings=ratings)
    return split(generate(spec, name=f"{BASE} x {size:g}"), holdout=0.1)


def _seconds(
    key: str, chosen: dict[str, Any], epochs: int, problem: Callable[[float], Problem]
) -> float:
    """Seconds of an epoch of a solver, or of 10^9 flops or gathers."""
    if key in CEILINGS:
        return _ceiling_s(key, chosen["ceiling"])
    found = once(key, problem(chosen["ratings"]), chosen["rank"], epochs, chosen["workers"])
    return found["epoch_s"]


def _ceiling_s(what: str, workers: int) -> float:
    """Seconds in which so many workers do 10^9 flops or gathers and nothing else."""
    if what == CEILINGS[0]:
        return 1e9 / flops_per_s(workers)
    spec = PRESETS[BASE]
    return 1e9 / gathers_per_s(workers, (spec.users, spec.items), count=GATHERS)


def _against_first(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, float]:
    same = (r for r in rows if (r["solver"], r["axis"]) == (row["solver"], row["axis"]))
    first = next(same)
    found = dict.fromkeys(("growth", "speed_up", "speed_up_least"), math.nan)
    if row is first:
        return found
    ratio = first["epoch_s"] / row["epoch_s"]
    if row["axis"] in ("workers", "ceiling"):
        least = min(first["epoch_s_by_round"]) / min(row["epoch_s_by_round"])
        return {**found, "speed_up": ratio, "speed_up_least": least}
    return {**found, "growth": -math.log(ratio) / math.log(row["value"] / first["value"])}

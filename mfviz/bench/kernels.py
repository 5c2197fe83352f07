"""Speed of the kernels by rank: updates, bytes, and how much of memory's bandwidth that is.

A kernel is measured where it works: in an epoch of its solver, barriers and orders of visits
included, evaluation and set-up left out. Bytes are those that the algorithm asks for (see
:mod:`mfviz.theory.cost`), so a share above 1 says that caches serve a part of them. Kernels that
gather are shown beside a loop of gathers from vectors of the same lengths.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from mfviz.bench.solvers import once
from mfviz.cli_common import seconds, table
from mfviz.data.problem import Problem
from mfviz.experiments.bandwidth import MIB_OF_ARRAY, gathers_per_s, gigabytes_per_s
from mfviz.progress import progress_bar
from mfviz.solvers.base import registry, solver_class
from mfviz.theory.cost import epoch_cost, family_of

__all__ = ["measure", "tell"]


def measure(
    problem: Problem,
    *,
    ranks: Sequence[int],
    epochs: int,
    workers: int,
    repeat: int,
    solvers: Sequence[str] = (),
    mib: int = MIB_OF_ARRAY,
) -> dict[str, Any]:
    """Measure each kernel at each rank ``repeat`` times, in turns, and keep the medians.

    Parameters
    ----------
    problem : Problem
    ranks : sequence of int
    epochs, workers, repeat : int
    solvers : sequence of str
        Keys; all that run on the CPU if it is empty.
    mib : int
        As in :func:`mfviz.experiments.bandwidth.gigabytes_per_s`.

    Returns
    -------
    dict
        ``on`` (what was measured), ``gigabytes_per_s`` (of memory, by number of workers),
        ``gathers_per_s`` (likewise) and ``rows``, one a kernel and rank.
    """
    keys = list(solvers) or [key for key, cls in registry().items() if "cpu" in cls.backends]
    cases = [(key, rank) for rank in ranks for key in keys]
    found: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
    memory: dict[int, list[float]] = {}
    gathers: dict[int, list[float]] = {}
    lengths = (problem.n_users, problem.n_items)
    with progress_bar(repeat * len(cases), "kernels", unit="run") as bar:
        for _ in range(repeat):
            for key, rank in cases:
                bar.set_postfix_str(f"{key} {rank}")
                found[key, rank].append(once(key, problem, rank, epochs, workers))
                bar.update()
            for count in {int(rows[-1]["workers"]) for rows in found.values()}:
                memory.setdefault(count, []).append(gigabytes_per_s(count, mib=mib))
                gathers.setdefault(count, []).append(gathers_per_s(count, lengths))
    speeds, gathering = (
        {count: statistics.median(values) for count, values in sorted(measured.items())}
        for measured in (memory, gathers)
    )
    return {
        "on": {
            "data": problem.train.name,
            "fingerprint": problem.fingerprint,
            "ratings": problem.train.nnz,
            "epochs": epochs,
            "rounds": repeat,
        },
        "gigabytes_per_s": speeds,
        "gathers_per_s": gathering,
        "rows": [_row(problem, case, rows, speeds, gathering) for case, rows in found.items()],
    }


def tell(found: dict[str, Any]) -> str:
    """Write what was measured as a table."""
    on = found["on"]
    speeds = ", ".join(
        f"{speed:.1f} GB/s with {count} worker(s)"
        for count, speed in found["gigabytes_per_s"].items()
    )
    gathers = ", ".join(
        f"{rate / 1e9:.2f} G/s with {count} worker(s)"
        for count, rate in found["gathers_per_s"].items()
    )
    head = (
        f"{on['data']}: {on['ratings']:,} training ratings, {on['rounds']} round(s) of "
        f"{on['epochs']} epochs\n"
        f"memory (triad): {speeds}; bytes are those that the algorithm asks for\n"
        f"gathers: {gathers}"
    )
    names = (
        "kernel of", "rank", "workers", "an epoch", "Mu/s", "Gflop/s", "GB/s", "of memory's",
        "of gathers'",
    )  # fmt: skip
    rows = [
        (
            row["solver"],
            str(row["rank"]),
            str(row["workers"]),
            seconds(row["epoch_s"]),
            f"{row['mega_updates_per_s']:.1f}",
            _number(row["gigaflops_per_s"], ".1f"),
            _number(row["gigabytes_per_s"], ".1f"),
            _number(row["share_of_bandwidth"], ".2f"),
            _number(row["share_of_gathers"], ".2f"),
        )
        for row in found["rows"]
    ]
    return f"{head}\n{table(names, rows)}"


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _row(
    problem: Problem,
    case: tuple[str, int],
    rows: list[dict[str, float]],
    speeds: dict[int, float],
    gathering: dict[int, float],
) -> dict[str, Any]:
    key, rank = case
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    workers, epoch_s = int(rows[-1]["workers"]), middle["epoch_s"]
    shape = (problem.n_users, problem.n_items, problem.train.nnz, rank)
    found: dict[str, Any] = {
        "solver": key,
        "kernel": solver_class(key).card.kernel,
        "rank": rank,
        "workers": workers,
        "epoch_s": epoch_s,
        "epoch_s_by_round": [row["epoch_s"] for row in rows],
        "mega_updates_per_s": middle["updates"] / epoch_s / 1e6,
    }
    family = family_of(key)
    cost = epoch_cost(family, *shape, workers=workers) if family else None
    rate = cost.bytes / epoch_s / 1e9 if cost else float("nan")
    gathers = cost.gathers / epoch_s if cost and cost.gathers else float("nan")
    return {
        **found,
        "gigaflops_per_s": cost.flops / epoch_s / 1e9 if cost else float("nan"),
        "gigabytes_per_s": rate,
        "share_of_bandwidth": rate / speeds[workers],
        "gathers_per_s": gathers,
        "share_of_gathers": gathers / gathering[workers],
    }

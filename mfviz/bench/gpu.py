"""Every solver with a CUDA form at growing sizes: times, rates, overlap and memory, beside goals.

Sizes and solvers come one after the other until the time is over, and what was found is written
after each of them: a lent machine may be gone before the last one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mfviz.backends.cuda import devices, open_driver
from mfviz.backends.host import cpu_count
from mfviz.bench.gpu_case import Case, Limit, Row, measure
from mfviz.bench.gpu_report import goals, markdown
from mfviz.bench.machine import machine
from mfviz.bench.rating_files import NETFLIX
from mfviz.cli_common import as_json
from mfviz.data.catalog import entries, load
from mfviz.data.column_cache import open_kept
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.data.synthetic import generate
from mfviz.errors import MfvizError
from mfviz.experiments.bandwidth import (
    MIB_OF_ARRAY,
    RUNS_OF_ARRAY,
    device_gigabytes_per_s,
    gigabytes_per_s,
)
from mfviz.kernels.cuda.target import SIMULATED
from mfviz.solvers.base import registry, solver_class

__all__ = ["SIZES", "Plan", "measure_all"]

SIZES = {"1m": "1m-like", "10m": "10m-like", "25m": "25m-like", "netflix": "netflix-like"}
DEFAULT = ("ml-1m", "1m", "25m", "10m", "netflix")  # what the goals are about comes early
FAIR = 3.0  # times its even share of what is left, a case may take at most
LEAST_S = 20.0
WITHIN = 1.01  # of the best RMSE at a size: the target that all solvers are timed to
PUBLISHED = ("cumf_sgd", "cuMF_SGD, Netflix")  # a solver whose authors tell its rate, and how


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes
    ----------
    sizes : tuple of str
        Names of :data:`SIZES`, or of data sets.
    solvers : tuple of str
        Keys; all with a CUDA form if it is empty.
    rank, epochs : int
        Of the runs that are not evaluated; the evaluated ones have as many epochs as are proposed.
    minutes : float
        After which nothing more begins.
    rounds : int
        See :func:`mfviz.bench.gpu_case.measure`; sizes above 50 million ratings have none.
    backend : str
        "cuda", or "cpu" for the CPU forms of the same solvers.
    device : int
    record : str
        Synthetic size whose evaluated runs are kept as traces; empty for none.
    out : Path
        Folder of gpu.json, gpu.md and the traces.
    """

    out: Path
    sizes: tuple[str, ...] = DEFAULT
    solvers: tuple[str, ...] = ()
    rank: int = 64
    epochs: int = 6
    minutes: float = 9.0
    rounds: int = 2
    backend: str = "cuda"
    device: int = 0
    record: str = "1m"
    keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        known = [key for key, cls in registry().items() if "cuda" in cls.backends]
        for key in self.solvers:
            solver_class(key)
        object.__setattr__(self, "keys", self.solvers or tuple(known))


def measure_all(plan: Plan, told: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Measure what is planned, as far as the time goes.

    Parameters
    ----------
    plan : Plan
    told : callable
        Takes a line about each step.

    Returns
    -------
    dict
        What ``gpu.json`` holds: ``machine``, ``device``, ``plan``, ``rows``, ``skipped``,
        ``targets`` and ``goals``.

    Raises
    ------
    UnsupportedError
        If there is no such device.
    """
    limit = Limit(plan.minutes)
    plan.out.mkdir(parents=True, exist_ok=True)
    about, triad = _place(plan)
    told(f"{about['name']}: {triad:.0f} GB/s (triad)")
    found: dict[str, Any] = {
        "machine": machine(),
        "device": {**about, "triad_gigabytes_per_s": triad},
        "plan": {**asdict(plan), "out": plan.out.name},
        "rows": [],
        "skipped": [],
    }
    for size, key, problem, left in _cases(plan, limit, found, told):
        began = time.monotonic()
        share = max(LEAST_S, FAIR * limit.left_s / left)
        for settings in _settings(plan, size, key):
            row = _row(plan, size, key, problem, settings, min(share, limit.left_s), triad)
            found["rows" if "epoch_s" in row else "skipped"].append(row)
        told(f"{size} {key}: {time.monotonic() - began:.1f} s, {limit.left_s:.0f} s left")
        write(found, plan.out)
    write(found, plan.out)
    return found


def _place(plan: Plan) -> tuple[dict[str, Any], float]:
    """What is measured on, and the bandwidth of its memory."""
    if plan.backend == "cpu":
        described = machine()
        about = {"name": f"{described['cpu']}, {described['cores']} core(s)", "index": None}
        mib = MIB_OF_ARRAY if not SIMULATED else 1
        return about, gigabytes_per_s(cpu_count(), mib=mib)
    driver = open_driver(plan.device)
    try:
        speed = device_gigabytes_per_s(
            driver, runs=RUNS_OF_ARRAY if not SIMULATED else 64, repeat=20 if not SIMULATED else 2
        )
    finally:
        driver.close()
    return asdict(devices()[plan.device]), speed


def _cases(
    plan: Plan, limit: Limit, found: dict[str, Any], told: Callable[[str], None]
) -> Iterator[tuple[str, str, Problem, int]]:
    """Size, solver, ratings, and how many cases are left; what cannot be had is noted."""
    left = len(plan.sizes) * len(plan.keys)
    for size in plan.sizes:
        problem, reason = None, "no time was left"
        if limit.left_s:
            began = time.monotonic()
            try:
                problem = split(_ratings(size), holdout=0.1)
                told(f"{size}: {problem.train.nnz:,} ratings in {time.monotonic() - began:.1f} s")
            except MfvizError as error:
                reason = str(error)
        for key in plan.keys:
            if problem is not None and limit.left_s:
                yield size, key, problem, left
            else:
                why = reason if problem is None else "no time was left"
                found["skipped"].append({"size": size, "solver": key, "reason": why})
            left -= 1


def _ratings(size: str) -> Ratings:
    name = SIZES.get(size, size)
    if name != SIZES["netflix"]:
        return load(name)
    return open_kept(lambda: NETFLIX, lambda: generate(NETFLIX, name=name), name=name)


def _settings(plan: Plan, size: str, key: str) -> list[dict[str, Any]]:
    """What a solver is set to; one whose authors tell its rate is run as they ran it, too."""
    solver, name = PUBLISHED
    if key != solver or size not in ("25m", "netflix"):
        return [{}]
    published = dict(solver_class(key).published[name])
    published.pop("epochs", None)
    return [{}, published]


def _row(
    plan: Plan, size: str, key: str, problem: Problem, settings: Mapping[str, Any],
    limit_s: float, triad: float,
) -> Row:  # fmt: skip
    at = {"size": size, "solver": key, "as_published": bool(settings)}
    try:
        case = Case(
            key, problem, rank=plan.rank, epochs=plan.epochs, settings=settings,
            backend=plan.backend, device=plan.device,
        )  # fmt: skip
        if case.refusal:
            return {**at, "reason": case.refusal}
        kept = size == plan.record and not settings and _synthetic(size)
        record = plan.out / "traces" / f"{plan.backend}-{size}-{key}.mfviz" if kept else None
        rounds = plan.rounds if problem.train.nnz < 50_000_000 and not settings else 0
        found = measure(case, limit_s=limit_s, rounds=rounds, triad=triad, record=record)
    except MfvizError as error:
        return {**at, "reason": str(error)}
    return {**at, **found}


def _synthetic(size: str) -> bool:
    """Whether ratings are drawn: runs on those of people are not to be given away."""
    name = SIZES.get(size, size)
    return name == SIZES["netflix"] or any(
        e.name == name and e.kind == "synthetic" for e in entries()
    )


def targets(rows: Sequence[Row]) -> dict[str, float]:
    """RMSE that the solvers of a size are timed to: 1 % above the best of them."""
    best: dict[str, float] = {}
    for row in rows:
        reached = row.get("best_test_rmse", float("nan"))
        if reached == reached:
            best[row["size"]] = min(best.get(row["size"], float("inf")), reached)
    return {size: WITHIN * rmse for size, rmse in best.items()}


def seconds_to(row: Row, target: float) -> float:
    """Solve seconds after which a row's test RMSE was at most the target; NaN if it never was."""
    for _, solve_s, _, test_rmse in row.get("curve", ()):
        if test_rmse <= target:
            return float(solve_s)
    return float("nan")


def write(found: dict[str, Any], out: Path) -> None:
    """Bring targets and goals up to date, and write both files anew, each at once.

    Parameters
    ----------
    found : dict
    out : Path
    """
    found["targets"] = targets(found["rows"])
    for row in found["rows"]:
        row["seconds_to_target"] = seconds_to(row, found["targets"].get(row["size"], float("nan")))
    found["goals"] = goals(found)
    for name, text in (("gpu.json", as_json(found)), ("gpu.md", markdown(found))):
        unfinished = out / f".{name}"
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, out / name)

"""What the bench of devices says to people: a table in Markdown, and goals beside what was found.

Goals are those of an NVIDIA H200; on another device they stand beside the numbers without a
verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mfviz.cli_common import seconds
from mfviz.telemetry.agreement import sentence

__all__ = ["GOALS", "Goal", "goals", "markdown"]

Row = dict[str, Any]
SGD = ("cumf_sgd", "ds_sgd_c", "ds_sgd_d", "fampsgd", "gpusgd", "msgd", "strip_sgd")
ALS = ("als", "cumf_als")
DEVICE = "H200"
# cuMF_SGD's published rate with 128 features in halves, scaled by bandwidth to an H200's 4.3 TB/s.
PUBLISHED_RATE, PUBLISHED_BANDWIDTH = 4e9, 4300.0
MIB = 1 << 20


@dataclass(frozen=True)
class Goal:
    """What a number of a row ought to be.

    Attributes
    ----------
    title : str
    value : callable
        Of a row; NaN where it says nothing about this.
    least, most : float
        Bounds of the number.
    stretch : float
        The bound that would be better still; NaN for none.
    """

    title: str
    value: Callable[[Row], float]
    least: float = -math.inf
    most: float = math.inf
    stretch: float = math.nan

    def met(self, value: float) -> bool:
        """Whether a value is within the bounds."""
        return self.least <= value <= self.most


def _epoch(*keys: str) -> Callable[[Row], float]:
    """Milliseconds an epoch with 25 million ratings and 64 features."""

    def value(row: Row) -> float:
        fits = row["size"] == "25m" and row["rank"] == 64 and row["solver"] in keys
        exact = row["params"].get("solve", "cholesky") != "cg"
        return 1e3 * row["epoch_s"] if fits and exact else math.nan

    return value


def _overlap(row: Row) -> float:
    return float(row["overlap"] if row["solver"] == "ds_sgd_d" else math.nan)


def _memory(row: Row) -> float:
    """How far the device's memory is from the model, as a share."""
    grown, large = row.get("grown_bytes"), row["size"] in ("25m", "netflix")
    if row["solver"] != "ds_sgd_d" or not large or grown is None:
        return math.nan
    return float(abs(grown - row["model_bytes"]) / row["model_bytes"])


GOALS = (
    Goal("SGD: ms an epoch, 25M-like, f = 64", _epoch(*SGD), most=5.0, stretch=2.5),
    Goal("exact ALS: ms a sweep, 25M-like, f = 64", _epoch(*ALS), most=20.0, stretch=10.0),
    Goal("DS-SGD-D, 4 batches: overlap of the smaller of copy and compute", _overlap, least=0.8),
    Goal("DS-SGD-D: device memory off its model", _memory, most=0.02),
    Goal("cost of event timing", lambda row: row.get("event_cost", math.nan), most=0.01),
)


def goals(found: dict[str, Any]) -> list[Row]:
    """Hold rows to the goals.

    Parameters
    ----------
    found : dict
        With ``device`` and ``rows``, of runs on a device.

    Returns
    -------
    list of dict
        ``goal, size, solver, value, least, most, stretch, met``; ``met`` is None on other devices.
    """
    if found["plan"]["backend"] == "cpu":
        return []
    judged = DEVICE in found["device"]["name"]
    rows = []
    for goal, row in _pairs(found):
        value = goal.value(row)
        if math.isfinite(value):
            rows.append({
                "goal": goal.title, "size": row["size"], "solver": row["solver"], "value": value,
                "least": goal.least, "most": goal.most, "stretch": goal.stretch,
                "met": goal.met(value) if judged else None,
            })  # fmt: skip
    return rows


def _pairs(found: dict[str, Any]) -> Iterator[tuple[Goal, Row]]:
    share = found["device"]["triad_gigabytes_per_s"] / PUBLISHED_BANDWIDTH
    rate = Goal(
        "cuMF_SGD as published: updates/s, its rate scaled by bandwidth",
        lambda row: row["updates_per_s"] if row["as_published"] else math.nan,
        least=PUBLISHED_RATE * share, stretch=2 * PUBLISHED_RATE * share,
    )  # fmt: skip
    for goal in (*GOALS, rate):
        for row in found["rows"]:
            yield goal, row


def markdown(found: dict[str, Any]) -> str:
    """Write the rows, the goals and what was left out as Markdown."""
    device, plan = found["device"], found["plan"]
    versions = ", ".join(
        f"{name} {found['machine'][name]}"
        for name in ("mfviz", "numba", "numba-cuda", "numpy")
        if found["machine"].get(name)
    )
    head = [
        f"# {device['name']}",
        "",
        f"Backend {plan['backend']}; a triad reaches {device['triad_gigabytes_per_s']:,.0f} GB/s; "
        f"{versions}. Times are solve times (medians of epochs, the first left out), *device* "
        "is the device's own; GB/s are those that the algorithm asks for, so that a share above "
        "100 % says that caches serve a part. Memory is what the device's use grew by (the "
        "ledger's peak where that is not known), beside the model.",
        "",
    ]
    names = (
        "size", "solver", "f", "an epoch", "device", "Mu/s", "GB/s", "of triad", "overlap",
        "MiB", "model", "timing costs", "test RMSE", "to target",
    )  # fmt: skip
    parts = [*head, _table(names, [_cells(row, found["targets"]) for row in found["rows"]])]
    profiled = [row for row in found["rows"] if row.get("cupti")]
    if profiled:
        lanes = [
            f"- {row['size']} {row['solver']}, {sentence(lane, off)}"
            for row in profiled
            for lane, off in row["cupti"].items()
        ]
        parts += ["", "Event times beside what CUPTI recorded:", "", *lanes]
    if found["goals"]:
        told = [_judged(goal) for goal in found["goals"]]
        of_goals = ("goal (of an H200)", "size", "solver", "measured", "aim", "stretch", "met")
        parts += ["", _table(of_goals, told)]
    if found["skipped"]:
        left = [(row["size"], row["solver"], row.get("reason", "")) for row in found["skipped"]]
        parts += ["", _table(("left out", "solver", "why"), left)]
    return "\n".join(parts)


def _cells(row: Row, targets: dict[str, float]) -> tuple[str, ...]:
    target = targets.get(row["size"], math.nan)
    memory = row.get("grown_bytes") or row.get("ledger_bytes")
    solver = row["solver"] + (" as published" if row["as_published"] else "")
    return (
        row["size"],
        solver if row["status"] == "done" else f"{solver} ({row['status']})",
        str(row["rank"]),
        seconds(row["epoch_s"]),
        seconds(row["device_epoch_s"]),
        f"{row['updates_per_s'] / 1e6:,.0f}",
        _number(row["gigabytes_per_s"], ",.0f"),
        _percent(row["share_of_bandwidth"]),
        _percent(row["overlap"]),
        _mib(memory),
        _mib(row.get("model_bytes")),
        _percent(row.get("event_cost", math.nan), ".1f"),
        _number(row.get("best_test_rmse", math.nan), ".4f"),
        f"{seconds(row['seconds_to_target'])} ({target:.4f})" if math.isfinite(target) else "-",
    )


def _judged(goal: Row) -> tuple[str, ...]:
    low, high = goal["least"], goal["most"]
    aim = f"≥ {low:.3g}" if math.isfinite(low) else f"≤ {high:.3g}"
    met = {None: "-", True: "yes", False: "no"}[goal["met"]]
    stretch = _number(goal["stretch"], ".3g")
    return goal["goal"], goal["size"], goal["solver"], f"{goal['value']:.3g}", aim, stretch, met


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _percent(value: float, form: str = ".0f") -> str:
    return f"{format(100 * value, form)} %" if math.isfinite(value) else "-"


def _mib(size: float | None) -> str:
    return f"{size / MIB:,.1f}" if size is not None else "-"

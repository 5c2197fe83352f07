"""How far the times of a device's events are from CUPTI's: names of what is measured, and its sum.

A run that is profiled tells it for each lane at the end of each epoch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

from mfviz.telemetry.events import Measured

__all__ = ["LARGEST", "MEDIAN", "OPERATIONS", "agreement", "sentence"]

OPERATIONS = "in CUPTI"  # copies and kernels that it has records of
MEDIAN, LARGEST = "events off CUPTI, median", "events off CUPTI, largest"  # in microseconds
FOLDS: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    OPERATIONS: ("operations", sum),
    MEDIAN: ("median_us", statistics.median),
    LARGEST: ("largest_us", max),
}


def agreement(measured: Iterable[Measured]) -> dict[str, dict[str, float]]:
    """Fold what a profiled run measured.

    Parameters
    ----------
    measured : iterable of Measured

    Returns
    -------
    dict
        By lane ``operations`` that were compared, ``median_us`` (the median of the epochs'
        medians) and ``largest_us``; empty if the run was not profiled.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for each in measured:
        lane, _, name = each.name.rpartition(": ")
        if name in FOLDS and not math.isnan(each.value):
            values.setdefault(lane, {}).setdefault(name, []).append(each.value)
    return {
        lane: {FOLDS[name][0]: FOLDS[name][1](found) for name, found in by_name.items()}
        for lane, by_name in values.items()
    }


def sentence(lane: str, found: dict[str, float]) -> str:
    """Put what :func:`agreement` has of a lane in words."""
    if not found.get("operations"):
        return f"{lane}: CUPTI has no record of it"
    return (
        f"{lane}: event times agree with CUPTI within {found['largest_us']:.1f} us "
        f"(median {found['median_us']:.1f} us, {found['operations']:,.0f} operations)"
    )

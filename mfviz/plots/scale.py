"""Axes that grow in steps, and numbers as people write them. Plain functions."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = [
    "bytes_text",
    "grow",
    "log_ticks",
    "mib_text",
    "nice",
    "number_text",
    "rmse_text",
    "span_range",
]

LADDER = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def nice(value: float, ladder: Iterable[float] = LADDER) -> float:
    """Smallest round number that is at least ``value`` (> 0): a step of the ladder times 10^k."""
    if not value > 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for step in ladder:
        if step * power >= value * (1 - 1e-9):
            return step * power
    return 10.0 * power


def grow(value: float, planned: float = 0.0) -> float:
    """End of an axis that starts at 0: round, beyond ``value``, and not beyond ``planned``.

    Parameters
    ----------
    value : float
        Largest value so far.
    planned : float
        Where the axis will end in the end (0: not known); an axis of up to 30 takes it at once.
    """
    if 0 < planned <= 30:
        return max(planned, value)
    end = nice(max(value, 1e-9) * 1.15)
    return max(min(end, planned), value) if planned else end


def span_range(values: Iterable[float], steps: int = 5) -> tuple[float, float]:
    """Round lower and upper end of an axis around ``values``, about ``steps`` round steps apart.

    The ends are multiples of a round step, so that they move seldom while values trickle in.
    """
    found = [v for v in values if math.isfinite(v)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    least = max(abs(high) * 0.02, 1e-6)
    if high - low < least:
        low, high = low - least / 2, high + least / 2
    width = high - low
    step = nice(width / steps, (1.0, 2.0, 5.0, 10.0))
    margin = 0.3 * step
    return step * math.floor((low - margin) / step), step * math.ceil((high + margin) / step)


def log_ticks(start: float, end: float) -> list[float]:
    """Ticks at 1, 2 and 5 times the powers of ten (the powers alone beyond four decades)."""
    if not 0 < start < end:
        return []
    powers = range(math.floor(math.log10(start)), math.ceil(math.log10(end)) + 1)
    steps = (1.0, 2.0, 5.0) if len(powers) <= 5 else (1.0,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [t for t in ticks if start * (1 - 1e-9) <= t <= end * (1 + 1e-9)]


def rmse_text(value: float) -> str:
    """Write an RMSE with three decimals; large ones with three digits."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2e}"


def number_text(value: float) -> str:
    """Write a number with about three digits and no needless zeros."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def bytes_text(value: float) -> str:
    """Write bytes in KB, MB or GB (powers of 1000)."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.1f} {unit}" if abs(scaled) < 10 else f"{scaled:.0f} {unit}"
    return f"{value:.0f} B"


def mib_text(value: float) -> str:
    """Write bytes as a number of MiB (2^20), with the digits that matter."""
    mib = value / 2**20
    if mib >= 99.5:
        return f"{mib:,.0f}"
    return f"{mib:.1f}" if mib >= 9.95 else f"{mib:.2f}" if mib >= 0.0995 else f"{mib:.2g}"

"""A comparison as a picture: test RMSE against seconds of training, one curve a contender."""

from __future__ import annotations

import math
from html import escape
from typing import Any

__all__ = ["as_svg"]

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 210, 40, 48
INK, LINE = "#454D5B", "#C9CFD8"
HUES = ("#0067A8", "#B5460F", "#1B7F4B", "#7A4FB5", "#A8326B", "#5B6B00", "#007A87", "#7A5C3E")


def as_svg(found: dict[str, Any]) -> str:
    """Draw a comparison of :func:`mfviz.bench.peers.compare`.

    Parameters
    ----------
    found : dict

    Returns
    -------
    str
        An SVG document. Seconds are on a logarithmic axis and leave set-up out.
    """
    curves = [
        (row["label"], [(s, error) for _, s, error in row["curve"] if math.isfinite(error)])
        for row in found["contenders"]
    ]
    curves = [(label, points) for label, points in curves if points]
    on = found["on"]
    title = f"{on['data']}, rank {on['rank']}, {on['threads']} thread(s): test RMSE"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#FFFFFF"/>',
        _text(LEFT, 24, title),
    ]
    if curves:
        parts += _frame(curves) + _curves(curves)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scales(curves: list[tuple[str, list[tuple[float, float]]]]) -> tuple[Any, Any, Any]:
    """Ranges of log10 seconds and RMSE, and the way from both to pixels."""
    xs = [math.log10(s) for _, points in curves for s, _ in points]
    lowest = min(error for _, points in curves for _, error in points)
    highest = max(points[-1][1] for _, points in curves)
    left, right = min(xs), max(max(xs), min(xs) + 0.1)
    top = highest + 0.5 * max(highest - lowest, 0.01)

    def place(s: float, error: float) -> tuple[float, float]:
        across = (math.log10(s) - left) / (right - left)
        up = (min(error, top) - lowest) / (top - lowest)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )

    return (left, right), (lowest, top), place


def _frame(curves: list[tuple[str, list[tuple[float, float]]]]) -> list[str]:
    (left, right), (low, high), place = _scales(curves)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" fill="none" '
        f'stroke="{LINE}"/>',
        _text(LEFT, HEIGHT - 8, "seconds of training (set-up left out)"),
    ]
    for power in range(math.ceil(left), math.floor(right) + 1):
        x, y = place(10.0**power, low)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" stroke="{LINE}"/>')
        parts.append(_text(x - 10, y + 16, f"{10.0**power:g}"))
    for at in range(5):
        error = low + at * (high - low) / 4
        _, y = place(10.0**left, error)
        parts.append(_text(16, y + 4, f"{error:.3f}"))
    return parts


def _curves(curves: list[tuple[str, list[tuple[float, float]]]]) -> list[str]:
    *_, place = _scales(curves)
    parts = []
    for at, (label, points) in enumerate(curves):
        hue = HUES[at % len(HUES)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{hue}" stroke-width="2"/>')
        y = TOP + 16 + 20 * at
        x = WIDTH - RIGHT + 12
        parts.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 20}" y2="{y - 4}" stroke="{hue}" '
            'stroke-width="2"/>'
        )
        parts.append(_text(x + 26, y, label))
    return parts


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'

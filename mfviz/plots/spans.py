"""What stands in the rectangles of a timeline, and in which of them there is room for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfviz.plots.labels import text_width
from mfviz.plots.timeline import BusyTime
from mfviz.telemetry.events import Span

__all__ = ["span_labels", "span_words", "wait_words"]

SIDES = ("users", "items")
WAITS = {
    "barrier": "barrier",
    "no-free-block": "no free block",
    "transfer": "copy",
    "launch": "launch",
    "evaluate": "evaluation",
    "pause": "pause",
}


def span_labels(
    spans: Sequence[Span], busy: BusyTime, start: float, end: float, px_per_ms: float
) -> list[tuple[Span, float, str]]:
    """Choose the spans that are wide enough for a word, and the longest word that fits.

    Parameters
    ----------
    spans : sequence of Span
    busy : BusyTime
    start, end : float
        What is looked at, in busy ms before now.
    px_per_ms : float

    Returns
    -------
    list of (Span, float, str)
        With the middle of the visible part, in busy ms before now.
    """
    if not spans:
        return []
    edges = np.clip(busy.at([(s.start_ns / 1e6, s.end_ns / 1e6) for s in spans]), start, end)
    wide = (edges[:, 1] - edges[:, 0]) * px_per_ms
    found = []
    for at in np.flatnonzero(wide > 16).tolist():
        span = spans[at]
        waits = span.op == "wait"
        block = "" if span.op == "host" else span.block
        for text in span_words(span.name, block, span.reason if waits else ""):
            if text_width(text, 11) + (14 if waits else 4) <= wide[at]:
                found.append((span, float(edges[at].mean()), text))
                break
    return found


def span_words(name: str, block: str, reason: str = "") -> tuple[str, ...]:
    """What may stand in a rectangle, longest first.

    Parameters
    ----------
    name, block, reason : str
        Of the span; half-sweeps are named after their side and their blocks are ranges of rows,
        the end excluded.
    """
    if reason:
        return (wait_words(reason),)
    if block and name in SIDES:
        start, _, end = block.partition(",")
        rows = f"{int(start) + 1}–{end}" if start.isdigit() and end else block
        return (f"{name} {rows}", rows)
    return (block or name,)


def wait_words(reason: str) -> str:
    """Reason of a wait, in words."""
    return WAITS.get(reason, reason)

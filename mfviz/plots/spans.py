"""What stands in the rectangles of a timeline, and in which of them there is room for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfviz.plots.labels import text_width
from mfviz.plots.timeline import BusyTime
from mfviz.telemetry.events import Span

__all__ = ["block_words", "of_batches", "span_labels", "span_words", "wait_words"]

SIDES = ("users", "items")
LETTERS = {"users": "M", "items": "N", "batch of users": "M", "batch of items": "N"}
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
        reason = span.reason if waits else ""
        for text in span_words(span.name, block, reason, batches=of_batches(span)):
            if text_width(text, 11) + (14 if waits else 4) <= wide[at]:
                found.append((span, float(edges[at].mean()), text))
                break
    return found


def of_batches(span: Span) -> bool:
    """Whether the block of a span is a batch and its buffer, as streams have them."""
    return "stream" in span.lane and span.name in LETTERS


def span_words(
    name: str, block: str, reason: str = "", *, batches: bool = False
) -> tuple[str, ...]:
    """What may stand in a rectangle, longest first.

    Parameters
    ----------
    name, block, reason : str
        Of the span; half-sweeps are named after their side and their blocks are ranges of rows,
        the end excluded.
    batches : bool
        Whether the block is a batch and its buffer; batches are called M0, M1, ... of the users
        and N0, N1, ... of the items, after the streams that work on them.
    """
    if reason:
        return (wait_words(reason),)
    if batches:
        batch = block.partition(",")[0]
        return (block_words(name, block, batches=True), f"{LETTERS[name]}{batch}")
    if block and name in SIDES:
        rows = block_words("", block)
        return (f"{name} {rows}", rows)
    return (block or name,)


def block_words(name: str, block: str, *, batches: bool = False) -> str:
    """Name of a span and what it works on, in words; see :func:`span_words`."""
    start, _, end = block.partition(",")
    if batches:
        return f"{name}, batch {start}" if name in SIDES else f"{name}: {start}"
    if name in ("", *SIDES) and block:
        rows = f"{int(start) + 1}–{end}" if start.isdigit() and end else block
        return f"{name} {rows}".strip()
    return f"{name}, block {block}" if block else name


def wait_words(reason: str) -> str:
    """Reason of a wait, in words."""
    return WAITS.get(reason, reason)

"""Small pieces of HTML and the way numbers are written: one function a kind, used everywhere.

A state is always an icon, a word and a tint, never a colour alone. Text that came from outside (a
file name, an error) is escaped here.
"""

from __future__ import annotations

import math
from html import escape

from mfviz.plots.style import STATES

__all__ = [
    "badge",
    "chip",
    "count",
    "megabytes",
    "memory_size",
    "number",
    "pill",
    "rate",
    "rmse",
    "seconds",
    "speed",
]

NOTHING = "–"
_PATHS = {
    "dot": '<circle cx="6" cy="6" r="3.5" fill="currentColor"/>',
    "ring": '<circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    "check": '<path d="M1.5 6.4 4.6 9.5 10.5 2.8" fill="none" stroke="currentColor" '
    'stroke-width="1.8"/>',
    "bars": '<path d="M3 1.5h2.2v9H3zM6.8 1.5H9v9H6.8z" fill="currentColor"/>',
    "clock": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" '
    'stroke-width="1.4"/><path d="M6 3.2V6l2 1.3" fill="none" stroke="currentColor" '
    'stroke-width="1.4"/>',
    "triangle": '<path d="M6 1.2 11.4 10.8H.6z" fill="currentColor"/>',
    "cross": '<path d="M2 2l8 8M10 2l-8 8" fill="none" stroke="currentColor" stroke-width="2"/>',
    "square": '<rect x="2" y="2" width="8" height="8" fill="currentColor"/>',
    "play": '<path d="M2.5 1 10.5 6l-8 5z" fill="currentColor"/>',
}


def icon(name: str) -> str:
    """Draw a 12 px icon in the colour of the text around it; screen readers skip it."""
    if name not in _PATHS:
        return ""
    return f'<svg class="icon" viewBox="0 0 12 12" aria-hidden="true">{_PATHS[name]}</svg>'


def pill(state: str, words: str = "", *, large: bool = False) -> str:
    """Show a state: icon, word, tint.

    Parameters
    ----------
    state : str
        A key of ``plots.style.STATES``, or "replay".
    words : str
        What to say; the state's own name if it is left out.
    large : bool
        The size of the status line.
    """
    look = "play" if state == "replay" else STATES.get(state, STATES["empty"])["icon"]
    size = " large" if large else ""
    name = state.replace(" ", "-")
    return f'<span class="pill {name}{size}">{icon(look)}{escape(words or state)}</span>'


def chip(letter: str) -> str:
    """Show a run's letter in its colour."""
    return f'<span class="chip {escape(letter)}">{escape(letter)}</span>'


def badge(determinism: str, *, reconstruction: bool = False) -> str:
    """Show how far a run repeats: exact, exact at N workers or statistical."""
    kind = "exact" if determinism.startswith("exact") else "statistical"
    shown = f'<span class="badge {kind}">{escape(determinism)}</span>' if determinism else NOTHING
    if reconstruction:
        shown += ' <span class="badge reconstruction">reconstruction</span>'
    return shown


def number(value: float, digits: int) -> str:
    """Write a number with that many decimals, a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.{digits}f}" if math.isfinite(value) else "not finite"


def rmse(value: float, digits: int = 4) -> str:
    """Write an RMSE; large ones of a diverging run get a power of ten."""
    if math.isfinite(value) and value >= 1000:
        return f"{value:.2g}"
    return number(value, digits)


def seconds(value: float) -> str:
    """Write a duration in seconds, with three digits that matter."""
    if not math.isfinite(value):
        return NOTHING
    digits = 3 if value < 10 else 2 if value < 100 else 0
    return f"{value:.{digits}f} s"


def count(value: int) -> str:
    """Write a count with thousands."""
    return f"{value:,}"


def rate(value: float) -> str:
    """Write updates a second: 50.0 M, 823 k."""
    if not math.isfinite(value):
        return NOTHING
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.{1 if value < 100 * size else 0}f}{unit}"
    return f"{value:.0f}"


def megabytes(size: float) -> str:
    """Write bytes as a number of MB (10^6)."""
    value = size / 1e6
    return f"{value:.{2 if value < 1 else 1 if value < 10 else 0}f}"


def memory_size(size: float) -> str:
    """Write bytes with the unit that suits them."""
    for scale, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= scale:
            value = size / scale
            return f"{value:.{1 if value < 10 else 0}f} {unit}"
    return f"{size / 1e3:.0f} kB"


def speed(epochs_per_s: float) -> str:
    """Write a pace."""
    if math.isinf(epochs_per_s):
        return "as fast as it goes"
    return f"{epochs_per_s:g} epoch{'' if epochs_per_s == 1 else 's'}/s"

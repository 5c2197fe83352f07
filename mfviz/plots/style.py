"""The look, in one home: colours of both themes, of runs, operations, memory parts and states.

Figures take their colours from here, as their models and not as CSS; the style sheet of the
page is filled from the same tables. Plain dictionaries, no drawing.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "FONT",
    "LETTERS",
    "MARKERS",
    "MEMORY",
    "MEMORY_LABELS",
    "OPS",
    "OPS_TEXT",
    "RUNS",
    "SIZES",
    "STATES",
    "THEMES",
    "TOKENS",
    "contrast",
    "readable",
    "run_colour",
]

THEMES = ("light", "dark")

FONT = (
    '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", Arial, '
    '"Noto Sans", sans-serif'
)
SIZES = {"tick": "12px", "label": "13px", "span": "11px"}

TOKENS: dict[str, dict[str, str]] = {
    "light": {
        "bg": "#F4F5F7",
        "surface": "#FFFFFF",
        "inset": "#EEF0F3",
        "border": "#DFE3E8",
        "control": "#858E9C",
        "ink": "#15181E",
        "ink2": "#444C5A",
        "ink3": "#5F6978",
        "grid": "#E9ECF0",
        "axis": "#AEB6C1",
        "hatch": "#BAC2CD",
        "hatch_bg": "#F4F5F8",
        "accent": "#4649C4",
        "on_accent": "#FFFFFF",
        "tint": "#EBEBFA",
        "bad": "#A3211B",
    },
    "dark": {
        "bg": "#0D1015",
        "surface": "#161A21",
        "inset": "#20262F",
        "border": "#2B323D",
        "control": "#6E7888",
        "ink": "#ECEFF4",
        "ink2": "#BAC2CE",
        "ink3": "#97A1B0",
        "grid": "#232933",
        "axis": "#4C5666",
        "hatch": "#424C5B",
        "hatch_bg": "#1B2029",
        "accent": "#A5AAFF",
        "on_accent": "#14163A",
        "tint": "#272A4D",
        "bad": "#FFA099",
    },
}

LETTERS = ("A", "B", "C", "D", "E")

# A colour follows the run, never the solver.
RUNS: dict[str, dict[str, str]] = {
    "light": {"A": "#0067A8", "B": "#B84A00", "C": "#00805E", "D": "#9A3F7A", "E": "#5A4300"},
    "dark": {"A": "#62B6F2", "B": "#FF9A5C", "C": "#45C79C", "D": "#E59CCB", "E": "#F2E06B"},
}
MARKERS = {
    "A": "circle",
    "B": "square",
    "C": "triangle",
    "D": "diamond",
    "E": "inverted_triangle",
}

# Kinds of operation, as in mfviz.telemetry.events.OPS; a wait is a hatch, never a solid fill.
OPS: dict[str, dict[str, str]] = {
    "light": {
        "h2d": "#3A9AD6",
        "d2h": "#B0568F",
        "kernel": "#007F5C",
        "host": "#3F4754",
        "wait": "#F4F5F8",
    },
    "dark": {
        "h2d": "#5CB4EC",
        "d2h": "#DB8FBF",
        "kernel": "#2FB389",
        "host": "#C9D0DB",
        "wait": "#1B2029",
    },
}
OPS_TEXT: dict[str, dict[str, str]] = {
    "light": {
        "h2d": "#04202F",
        "d2h": "#FFFFFF",
        "kernel": "#FFFFFF",
        "host": "#FFFFFF",
        "wait": "#444C5A",
    },
    "dark": {
        "h2d": "#06151F",
        "d2h": "#240D1B",
        "kernel": "#04170F",
        "host": "#0F141B",
        "wait": "#BAC2CE",
    },
}

# Memory parts, as in mfviz.telemetry.memory.PARTS and in its order of stacking.
MEMORY: dict[str, dict[str, str]] = {
    "light": {
        "context": "#8D96A4",
        "ratings by user": "#3A9AD6",
        "ratings by item": "#93CBEE",
        "P": "#007F5C",
        "Q": "#6FC4A6",
        "buffers": "#D9981C",
        "workspace": "#B0568F",
    },
    "dark": {
        "context": "#7B8797",
        "ratings by user": "#5CB4EC",
        "ratings by item": "#A9D8F7",
        "P": "#2FB389",
        "Q": "#9BDCC5",
        "buffers": "#E3B04A",
        "workspace": "#DB8FBF",
    },
}
# What stands inside a segment, longest first; the first that fits is drawn.
MEMORY_LABELS: dict[str, tuple[str, ...]] = {
    "context": ("context",),
    "ratings by user": ("ratings by user", "by user"),
    "ratings by item": ("ratings by item", "by item"),
    "P": ("P",),
    "Q": ("Q",),
    "buffers": ("buffers",),
    "workspace": ("workspace",),
}

_GOOD = {"light": ("#0A6548", "#DFF3EA"), "dark": ("#74DDB4", "#13342A")}
_CALM = {"light": ("#714B00", "#FBEFD5"), "dark": ("#F1C66A", "#382C14")}
_BAD = {"light": ("#A3211B", "#FCE6E4"), "dark": ("#FFA099", "#421D1B")}
_GREY = {"light": ("#444C5A", "#EBEEF2"), "dark": ("#BAC2CE", "#262D37")}
_BUSY = {"light": ("#4649C4", "#EBEBFA"), "dark": ("#A5AAFF", "#272A4D")}
_NONE = {"light": ("#5F6978", ""), "dark": ("#97A1B0", "")}

# State -> icon, and (text, tint) by theme; a tint of "" is a dashed edge without a fill.
STATES: dict[str, dict[str, Any]] = {
    "running": {"icon": "dot", **_BUSY},
    "done": {"icon": "check", **_GOOD},
    "fits": {"icon": "check", **_GOOD},
    "paused": {"icon": "bars", **_CALM},
    "warming": {"icon": "clock", **_CALM},
    "diverged": {"icon": "triangle", **_BAD},
    "failed": {"icon": "cross", **_BAD},
    "does not fit": {"icon": "cross", **_BAD},
    "queued": {"icon": "ring", **_GREY},
    "stopped": {"icon": "square", **_GREY},
    "empty": {"icon": "", **_NONE},
}


def run_colour(letter: str, theme: str = "light") -> str:
    """Colour of a run; from the sixth run on the hues repeat (such a line is dashed)."""
    return RUNS[theme][LETTERS[(ord(letter) - ord("A")) % len(LETTERS)]]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours ``#RRGGBB``, from 1 to 21 (WCAG 2.2)."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(fill: str) -> str:
    """Text colour, dark or white, that stands out better from ``fill``."""
    return max(("#FFFFFF", "#0F141B"), key=lambda text: contrast(text, fill))


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

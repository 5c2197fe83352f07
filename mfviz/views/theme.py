"""The look as the page takes it: CSS variables, the style sheet's parts and Material's palettes.

Colours come from ``plots.style`` alone. Components live in shadow roots of their own, so each gets
only the part of ``assets/style.css`` that concerns it (parts begin with ``/* @name */``), while
the variables are set once, at the outermost component, and are inherited by everything inside.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from mfviz.plots.style import FONT, MEMORY, OPS, RUNS, STATES, THEMES, TOKENS, readable
from mfviz.resources import asset

__all__ = ["material", "sheet", "variables"]

BUTTONS = {"textTransform": "none", "boxShadow": "none", "fontWeight": 600}


@cache
def sheet(*parts: str) -> str:
    """Return the named parts of the style sheet, in one string.

    Raises
    ------
    KeyError
        If the style sheet has no such part.
    """
    found = _parts()
    return "\n".join(found[part] for part in parts)


@cache
def variables(light: str = ".mui-light", dark: str = ".mui-dark") -> str:
    """Return rules that set every colour as a CSS variable, for a selector of each theme."""
    selectors = dict(zip(THEMES, (light, dark), strict=True))
    return "\n".join(
        f"{selectors[theme]} {{ color-scheme: {theme}; font-family: {FONT}; {_colours(theme)} }}"
        for theme in THEMES
    )


@cache
def material() -> dict[str, Any]:
    """Return the theme configuration of the Material components, by theme."""
    return {theme: _material(theme) for theme in THEMES}


@cache
def _parts() -> dict[str, str]:
    text = asset("style.css").read_text(encoding="utf-8")
    pieces = re.split(r"/\* @(\w+) \*/", text)
    return dict(zip(pieces[1::2], (piece.strip() for piece in pieces[2::2]), strict=True))


def _colours(theme: str) -> str:
    named = {name.replace("_", "-"): value for name, value in TOKENS[theme].items()}
    named |= {f"run-{letter}": value for letter, value in RUNS[theme].items()}
    named |= {f"op-{op}": value for op, value in OPS[theme].items()}
    named |= {f"mem-{part.replace(' ', '-')}": v for part, v in MEMORY[theme].items()}
    named |= {f"on-{part.replace(' ', '-')}": readable(v) for part, v in MEMORY[theme].items()}
    for state, look in STATES.items():
        text, tint = look[theme]
        named[f"{state.replace(' ', '-')}"] = text
        named[f"{state.replace(' ', '-')}-tint"] = tint or "transparent"
    return " ".join(f"--mf-{name}: {value};" for name, value in named.items())


def _material(theme: str) -> dict[str, Any]:
    token = TOKENS[theme]
    return {
        "palette": {
            "primary": {"main": token["accent"], "contrastText": token["on_accent"]},
            "background": {"default": token["bg"], "paper": token["surface"]},
            "text": {"primary": token["ink"], "secondary": token["ink2"]},
            "divider": token["border"],
            "error": {"main": token["bad"]},
        },
        "shape": {"borderRadius": 8},
        "typography": {"fontFamily": FONT, "fontSize": 14, "button": BUTTONS},
    }

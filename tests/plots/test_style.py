"""The palette keeps what it promises: readable text, and hues that all can tell apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mfviz.plots import style
from mfviz.telemetry.events import OPS
from mfviz.telemetry.memory import PARTS

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = RGB_TO_XYZ.sum(axis=1)


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = RGB_TO_XYZ @ rgb / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen(colour: str, deficiency: str) -> np.ndarray:
    matrix = np.eye(3) if deficiency == "none" else np.array(DEFICIENCIES[deficiency])
    return lab(np.clip(matrix @ linear(colour), 0, 1))


@pytest.mark.parametrize("deficiency", ["none", *DEFICIENCIES])
@pytest.mark.parametrize("theme", style.THEMES)
@pytest.mark.parametrize("family", ["runs", "operations"])
def test_hues_stay_apart(family, theme, deficiency):
    table = style.RUNS[theme] if family == "runs" else style.OPS[theme]
    colours = [c for name, c in table.items() if name != "wait"]  # a wait is a hatch
    distance = min(
        float(np.linalg.norm(seen(a, deficiency) - seen(b, deficiency)))
        for a, b in combinations(colours, 2)
    )
    assert distance >= 10


def text_pairs(theme):
    token = style.TOKENS[theme]
    for ink in ("ink", "ink2", "ink3"):
        for ground in ("surface", "bg", "inset"):
            yield f"{ink} on {ground}", token[ink], token[ground]
    yield "accent on surface", token["accent"], token["surface"]
    yield "on accent", token["on_accent"], token["accent"]
    yield "bad on surface", token["bad"], token["surface"]
    yield "wait label on its plate", style.OPS_TEXT[theme]["wait"], token["surface"]
    for letter, colour in style.RUNS[theme].items():
        yield f"label of run {letter}", colour, token["surface"]
        yield f"chip of run {letter}", style.readable(colour), colour
    for op, fill in style.OPS[theme].items():
        yield f"text on {op}", style.OPS_TEXT[theme][op], fill
    for part, fill in style.MEMORY[theme].items():
        yield f"text on {part}", style.readable(fill), fill
    for state, look in style.STATES.items():
        text, tint = look[theme]
        yield f"pill {state}", text, tint or token["surface"]


@pytest.mark.parametrize("theme", style.THEMES)
def test_text_is_readable(theme):
    weak = {what: round(style.contrast(a, b), 2) for what, a, b in text_pairs(theme)}
    assert {what: ratio for what, ratio in weak.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", style.THEMES)
def test_edges_of_controls_are_visible(theme):
    token = style.TOKENS[theme]
    assert style.contrast(token["control"], token["surface"]) >= 3


def test_tables_are_complete():
    light, dark = (style.TOKENS[theme] for theme in style.THEMES)
    assert light.keys() == dark.keys()
    for theme in style.THEMES:
        assert set(style.OPS[theme]) == set(style.OPS_TEXT[theme]) == set(OPS)
        assert tuple(style.MEMORY[theme]) == PARTS
        assert tuple(style.RUNS[theme]) == style.LETTERS
    assert tuple(style.MEMORY_LABELS) == PARTS
    assert set(style.MARKERS) == set(style.LETTERS)


def test_sixth_run_reuses_the_first_hue():
    assert style.run_colour("F") == style.run_colour("A")
    assert style.run_colour("B", "dark") == style.RUNS["dark"]["B"]

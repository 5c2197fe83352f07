"""Drawings of ratings before anything is trained: popularity, values given, cells filled.

These read the portrait of a data set where the other plots read histories: there is no run yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mfviz.data.portrait import Portrait
from mfviz.plots import style

__all__ = ["DRAWINGS", "cells", "popularity", "values"]

Draw = Callable[..., Any]
SIDES = {"users": "A", "items": "B"}  # a colour a side
LOOK: dict[str, Any] = {
    "backend": "bokeh", "responsive": True, "min_height": 180, "show_legend": False, "title": "",
    "default_tools": [], "toolbar": None,
}  # fmt: skip


def popularity(portrait: Portrait, theme: str = "light") -> Any:
    """Ratings of each user and item against its rank, both axes logarithmic.

    Parameters
    ----------
    portrait : Portrait
    theme : {"light", "dark"}

    Returns
    -------
    holoviews element
    """
    hv = _holoviews()
    layers = []
    for name, curve in (("users", portrait.by_user), ("items", portrait.by_item)):
        colour = style.RUNS[theme][SIDES[name]]
        rank, count = curve[0], np.maximum(curve[1], 0.8)  # one without ratings lies below 1
        line = hv.Curve((rank, count), "rank", "ratings", label=name)
        layers.append(line.opts(backend="bokeh", color=colour, line_width=2.5))
        above = name == _first(portrait)
        y = float(count[0]) * (1.15 if above else 0.6)
        words = hv.Text(1.15, y, f"{name}, up to {int(curve[1][0]):,} ratings each")
        layers.append(
            words.opts(
                backend="bokeh", text_color=colour, text_align="left",
                text_font_size=style.SIZES["label"], text_font_style="bold",
                text_baseline="bottom" if above else "top",
            )
        )  # fmt: skip
    top = float(max(portrait.by_user[1].max(), portrait.by_item[1].max()))
    return hv.Overlay(layers).opts(
        logx=True, logy=True, xlabel="rank", ylabel="ratings", ylim=(0.7, 2.2 * top),
        xlim=(1.0, 1.1 * max(portrait.users, portrait.items)), **LOOK,
    )  # fmt: skip


def values(portrait: Portrait, theme: str = "light") -> Any:
    """How often each rating value is given; see :func:`popularity`."""
    hv = _holoviews()
    steps = np.diff(portrait.values)
    half = 0.42 * (steps.min() if len(steps) else 1.0)
    bars = [
        (value - half, 0.0, value + half, count)
        for value, count in zip(portrait.values, portrait.counts, strict=True)
    ]
    return hv.Rectangles(bars, ["rating", "count", "to", "top"]).opts(
        fill_color=style.TOKENS[theme]["accent"], line_color=None, xlabel="rating",
        ylabel="ratings", ylim=(0.0, 1.05 * float(portrait.counts.max())), yformatter="%d",
        **LOOK,
    )  # fmt: skip


def cells(portrait: Portrait, theme: str = "light") -> Any:
    """Which part of the matrix is filled: users from the busiest down, items from the hottest on.

    The colour is the logarithm of the share of filled cells, since it spans several powers of ten;
    see :func:`popularity`.
    """
    hv = _holoviews()
    filled = portrait.cells[::-1]  # an image begins with the row of the largest y
    least = float(filled[filled > 0].min())
    token = style.TOKENS[theme]
    bounds = (0.0, 0.0, float(portrait.items), float(portrait.users))
    return hv.Image(np.log10(np.maximum(filled, least / 3)), bounds=bounds).opts(
        cmap=_ramp(token["surface"], token["accent"]), xlabel="item, by its ratings",
        ylabel="user, by ratings", invert_yaxis=True, **LOOK,
    )  # fmt: skip


# Kind of a drawing -> what draws it.
DRAWINGS: dict[str, Draw] = {
    "popularity": popularity, "values": values, "cells": cells,
}  # fmt: skip


def _holoviews() -> Any:
    """HoloViews with its Bokeh backend; imported late, as most who import mfviz draw nothing."""
    import holoviews as hv
    import holoviews.plotting.bokeh  # registers the backend

    return hv


def _first(portrait: Portrait) -> str:
    """Side whose curve begins higher."""
    return "users" if portrait.by_user[1][0] >= portrait.by_item[1][0] else "items"


def _ramp(low: str, high: str, steps: int = 64) -> list[str]:
    """Colours from one to the other."""
    start, end = (np.array([int(c[at : at + 2], 16) for at in (1, 3, 5)]) for c in (low, high))
    mixed = np.linspace(start, end, steps).round().astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in mixed]

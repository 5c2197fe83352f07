"""Drawings of ratings: they show the numbers of the portrait, in both themes."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pytest

from mfviz.data.portrait import portrait
from mfviz.data.problem import split
from mfviz.data.ratings import Ratings
from mfviz.plots.portrait import DRAWINGS, cells, popularity, values
from mfviz.plots.style import RUNS, THEMES


@pytest.fixture(scope="module")
def ratings():
    rng = np.random.default_rng(2)
    users, items = rng.zipf(1.4, 2000) % 90, rng.zipf(1.3, 2000) % 70
    return portrait(split(Ratings.from_triples(users, items, rng.integers(1, 6, 2000))))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_it_is_drawn_by_bokeh(name, theme, ratings):
    figure = hv.render(DRAWINGS[name](ratings, theme), backend="bokeh")
    assert figure.renderers
    assert {axis.axis_label for axis in figure.axis} <= {
        "rank", "ratings", "rating", "item, by its ratings", "user, by ratings"
    }  # fmt: skip


def test_popularity_has_a_curve_a_side_in_its_colour(ratings):
    curves = popularity(ratings, "dark").Curve.values()
    for curve, side, letter in zip(curves, (ratings.by_user, ratings.by_item), "AB", strict=True):
        np.testing.assert_array_equal(curve.dimension_values("rank"), side[0])
        np.testing.assert_array_equal(curve.dimension_values("ratings"), np.maximum(side[1], 0.8))
        assert curve.opts.get("style").kwargs["color"] == RUNS["dark"][letter]


def test_bars_are_as_high_as_the_counts(ratings):
    bars = values(ratings)
    np.testing.assert_array_equal(bars.dimension_values("top"), ratings.counts)


def test_the_busiest_user_and_the_hottest_item_meet_at_the_top_left(ratings):
    image = cells(ratings)
    drawn = image.dimension_values(2, flat=False)  # rows from the smallest y on
    assert drawn[0, 0] == np.log10(ratings.cells[0, 0])
    assert np.unravel_index(drawn.argmax(), drawn.shape)[0] < len(drawn) / 2

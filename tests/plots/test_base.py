"""Every plot: found by itself, explained, and of the columns that the page promises."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.errors import ParameterError
from mfviz.plots.base import plot, registry
from tests.fakes import make_history

CONTRACT = {
    "rmse": ("run", "epoch", "updates", "solve_s", "wall_s", "train_rmse", "test_rmse"),
    "timeline": (
        "run", "lane", "op", "start_ms", "end_ms", "name", "epoch", "ratings", "bytes", "block",
        "reason", "measured",
    ),
    "memory": ("run", "t_s", "place", "name", "bytes", "measured"),
}  # fmt: skip


def test_registry_finds_the_plots():
    assert set(CONTRACT) <= set(registry())


@pytest.mark.parametrize("key", CONTRACT)
def test_columns_are_the_promised_ones(key):
    assert tuple(plot(key).columns) == CONTRACT[key]
    frame = plot(key).frame([("A", make_history()), ("B", make_history(run="r2"))])
    assert tuple(frame) == CONTRACT[key]
    assert set(frame["run"]) == {"A", "B"}
    assert len({len(column) for column in frame.values()}) == 1


@pytest.mark.parametrize("key", CONTRACT)
def test_nothing_gives_empty_columns(key):
    frame = plot(key).frame([])
    assert all(len(column) == 0 for column in frame.values())


@pytest.mark.parametrize("key", CONTRACT)
def test_rows_come_in_any_portions(key):
    item, history = plot(key), make_history(epochs=4)
    whole = item.rows("A", history)
    half = tuple(size // 2 for size in item.sizes(history))
    rest = item.rows("A", history, half)
    assert 0 < len(rest) < len(whole)
    assert set(map(repr, rest)) <= set(map(repr, whole))
    assert item.rows("A", history, item.sizes(history)) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("key", CONTRACT)
def test_element_is_rendered(key, theme):
    import holoviews as hv

    item = plot(key)
    frame = item.frame([("A", make_history()), ("B", make_history(run="r2"))])
    figure = hv.render(item.element(frame, theme), backend="bokeh")
    assert figure.renderers


def test_every_plot_explains_itself():
    for item in registry().values():
        assert item.title
        assert len(item.explain.split()) > 10


def test_unknown_plot_is_named():
    with pytest.raises(ParameterError, match=r"'heat'.*memory, rmse, timeline"):
        plot("heat")


def test_numbers_are_arrays_and_words_are_lists():
    frame = plot("rmse").frame([("A", make_history())])
    assert frame["run"] == ["A"] * 4
    assert isinstance(frame["test_rmse"], np.ndarray)
    assert frame["epoch"].tolist() == [0, 1, 2, 3]

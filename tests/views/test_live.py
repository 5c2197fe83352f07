"""Live figures without a browser: what is shown, what is streamed, when all is built anew."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.plots import style
from mfviz.telemetry.history import History
from mfviz.views.live_memory import LiveMemory
from mfviz.views.live_rmse import LiveRMSE
from mfviz.views.live_timeline import LiveTimeline
from tests.fakes import make_events, make_history

FIGURES = [LiveRMSE, LiveTimeline, LiveMemory]


@pytest.fixture(params=FIGURES, ids=lambda cls: cls.plot.key)
def live(request):
    return request.param()


def columns(figure):
    return {name: list(column) for name, column in figure.source.data.items()}


def assert_same(figure, other):
    for name, column in columns(other).items():
        if isinstance(other.source.data[name], np.ndarray):
            np.testing.assert_array_equal(figure.source.data[name], column)
        else:
            assert list(figure.source.data[name]) == column


def test_the_source_is_named_and_has_the_promised_columns(live):
    assert live.source.name == f"live-{live.plot.key}"
    assert tuple(live.source.data) == tuple(live.plot.columns)
    assert all(len(column) == 0 for column in live.source.data.values())


def test_streaming_gives_the_same_as_showing_at_once(live):
    events = make_events(epochs=6, end=True)
    history = History()
    live.show([("A", history)])
    for start in range(0, len(events), 7):
        history.feed(events[start : start + 7])
        live.update()
    whole = type(live)()
    whole.show([("A", make_history(epochs=6))])
    # parts of the tables come in turns when streamed, one after the other at once
    for name, column in columns(whole).items():
        assert sorted(map(repr, live.source.data[name])) == sorted(map(repr, column))


def test_only_what_is_new_is_streamed(live, monkeypatch):
    events = make_events(epochs=6)
    history = History()
    history.feed(events[: len(events) // 2])
    live.show([("A", history)])
    held = len(live.source.data["run"])
    streamed = []
    monkeypatch.setattr(type(live.source), "stream", lambda self, new: streamed.append(new))
    history.feed(events[len(events) // 2 :])
    assert live.update()
    total = len(type(live).plot.rows("A", history))
    assert [len(new["run"]) for new in streamed] == [total - held]


def test_nothing_new_changes_nothing(live, monkeypatch):
    live.show([("A", make_history())])
    monkeypatch.setattr(live, "_refresh", lambda: pytest.fail("it was drawn again"))
    assert live.update() is False


def test_the_end_of_a_run_is_noticed_without_new_rows(live):
    events = make_events(epochs=2, end=True)
    history = History()
    history.feed(events[:-1])
    live.show([("A", history)])
    history.feed(events[-1:])
    assert live.update() is True


def test_two_runs_share_the_source(live):
    live.show([("A", make_history(run="r1")), ("B", make_history(run="r2", epochs=5))])
    assert set(live.source.data["run"]) == {"A", "B"}


def test_new_tracks_replace_the_old(live):
    live.show([("A", make_history(run="r1", epochs=5))])
    live.show([("B", make_history(run="r2", epochs=2))])
    assert set(live.source.data["run"]) == {"B"}


@pytest.mark.parametrize("change", ["shorter", "other run"])
def test_a_history_that_was_rebuilt_is_shown_anew(live, change):
    history = make_history(epochs=5)
    live.show([("A", history)])
    History.__init__(history)  # scrubbed back: cleared, and fed anew
    if change == "shorter":
        history.feed(make_events(epochs=2, end=False))
    else:
        history.feed(make_events(epochs=6, run="another"))
    assert live.update()
    fresh = type(live)()
    fresh.show([("A", history)])
    assert_same(live, fresh)


def test_clear_invites(live):
    live.show([("A", make_history())])
    live.clear()
    assert len(live.source.data["run"]) == 0
    assert live._invite.visible
    assert live._invite.text.startswith("Press Run")
    assert not any(axis.visible for axis in live.figure.axis)


def test_nobody_is_asked_to_press_run_while_a_run_goes_on(live):
    history = History()
    live.show([("A", history)])
    assert live._invite.visible
    assert "on their way" in live._invite.text
    history.feed(make_events(epochs=2))
    live.update()
    assert not live._invite.visible


def test_axes_come_with_the_data(live):
    assert live._invite.visible
    live.show([("A", make_history())])
    assert not live._invite.visible


def test_a_full_source_keeps_a_share_of_every_run(live, monkeypatch):
    monkeypatch.setattr(type(live), "rollover", 60)
    over = make_history(run="r1", epochs=3)
    events = make_events(run="r2", epochs=60, end=False)
    growing = History()
    live.show([("A", over), ("B", growing)])
    for start in range(0, len(events), 25):
        growing.feed(events[start : start + 25])
        live.update()
        run = list(live.source.data["run"])
        assert len(run) <= 60
        assert run.count("A") > 0
    last = live.plot.rows("B", growing)[-1]
    newest = [live.source.data[name][-1] for name in live.plot.columns]
    assert repr([str(v) for v in newest]) == repr(
        [_as_text(v, live, n) for n, v in _named(live, last)]
    )


def _named(live, row):
    return list(zip(live.plot.columns, row, strict=True))


def _as_text(value, live, name):
    return str(np.float64(value)) if live.plot.columns[name] == "float64" else str(value)


@pytest.mark.parametrize("theme", style.THEMES)
def test_theme_is_set_on_the_existing_models(live, theme):
    live.show([("A", make_history())])
    models = {model.id for model in live.figure.references()}
    figure = live.figure
    live.set_theme(theme)
    assert live.figure is figure
    assert {model.id for model in live.figure.references()} == models
    assert figure.background_fill_color == style.TOKENS[theme]["surface"]
    assert all(
        axis.major_label_text_color in (style.TOKENS[theme]["ink3"], style.TOKENS[theme]["ink"])
        for axis in figure.axis
    )


def test_figure_is_bare(live):
    figure = live.figure
    assert figure.toolbar.autohide
    assert figure.toolbar.logo is None
    assert figure.outline_line_color is None
    assert all(axis.minor_tick_line_color is None for axis in figure.axis)
    assert all(grid.grid_line_color is None for grid in figure.xgrid)


def test_the_readers_zoom_is_left_alone_until_reset(live):
    history = make_history(epochs=2, end=False)
    live.show([("A", history)])
    x = live.figure.x_range
    x.update(start=x.start + 0.25 * (x.end - x.start), end=x.end)
    zoomed = (x.start, x.end)
    history.feed(make_events(epochs=40)[len(make_events(epochs=2, end=False)) :])
    live.update()
    assert (x.start, x.end) == zoomed
    x.update(start=x.reset_start, end=x.reset_end)  # what the reset tool does
    live.show(live.tracks)
    live.update()
    assert (x.start, x.end) == (x.reset_start, x.reset_end)


def test_summary_is_a_sentence(live):
    assert live.summary.endswith(".")
    live.show([("A", make_history(solver="sgd")), ("B", make_history(run="r2", solver="als"))])
    assert "A SGD" in live.summary
    assert "B ALS" in live.summary
    assert live.caption


def test_a_resize_between_updates_waits_for_the_next_one(live):
    history = History()
    live.show([("A", history)])
    history.feed(make_events(epochs=3))
    live._resized("inner_width", 600, 500)  # the tables are ahead of what was laid out
    live.update()
    whole = type(live)()
    whole.show([("A", make_history(epochs=3))])
    assert live.summary == whole.summary


def test_the_browser_finds_no_legend_to_dress_and_tells_nothing_of_the_toolbar(live):
    assert not live.figure.legend
    assert not live.figure.toolbar.syncable

"""The timeline figure: rows, clocks, words, marks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mfviz.plots import style
from mfviz.telemetry.history import History
from mfviz.views.live_timeline import LANE, LiveTimeline
from tests.fakes import make_events, make_history


@pytest.fixture
def live():
    figure = LiveTimeline()
    figure.show(
        [("A", make_history(epochs=6)), ("B", make_history(epochs=3, run="r2", epoch_ms=40.0))]
    )
    return figure


def x_of(live, letter, ms):
    corners = live._corners[letter].data
    return np.interp(ms, corners["x"], corners["y"])


def test_each_run_counts_back_from_its_own_last_span(live):
    for letter, history in live.tracks:
        last = max(s.end_ns for s in history.spans if s.reason != "evaluate") / 1e6
        assert x_of(live, letter, last) == pytest.approx(0)


def test_evaluation_takes_no_room_and_work_its_true_length(live):
    for span in live.tracks[1][1].spans:
        length = x_of(live, "B", span.end_ns / 1e6) - x_of(live, "B", span.start_ns / 1e6)
        true = (span.end_ns - span.start_ns) / 1e6
        stopped = span.reason == "evaluate" and span.epoch > 0
        assert length == pytest.approx(0 if stopped else true, abs=1e-6)


def test_lanes_of_two_runs_stand_below_each_other(live):
    assert live._lanes["A"].factors == live._lanes["B"].factors == ["W0", "W1"]
    tops = {k: live._tops[k].value for k in "AB"}
    assert tops["B"] - tops["A"] > 2
    assert live.figure.y_range.start > live.figure.y_range.end  # the first lane is on top
    assert live.canvas.height >= 4 * LANE


def test_lanes_and_idleness_are_named(live):
    lanes, idle = (axis.major_label_overrides for axis in live.figure.yaxis)
    assert list(lanes.values()) == ["W0", "W1", "W0", "W1"]
    assert list(idle.values()) == ["idle 20 %"] * 4
    assert live.figure.yaxis[0].ticker.ticks == list(lanes)


def test_names_of_the_runs_are_escaped():
    live = LiveTimeline()
    live.show([("A", make_history(solver="<b>x"))])
    assert "&lt;B&gt;X" in live._names.pane.object


def test_words_are_only_where_they_fit(live):
    texts = live.words.data["text"]
    assert "0,0" in texts
    assert "barrier" in texts
    live.figure.x_range.update(start=-100_000.0, end=0.0)
    live._write_words()
    assert not any(live.words.data["text"])


def test_epochs_are_marked_except_the_last(live):
    marks = live.marks.data
    assert len(marks["x"]) == 5 + 2
    assert max(marks["x"]) < 0


def test_waits_are_hatched(live):
    work, wait = (renderer.glyph for renderer in live._quads["A"])
    assert wait.hatch_pattern == "/"
    assert work.hatch_pattern is None
    assert work.fill_color.transform.factors == ["h2d", "d2h", "kernel", "host", "wait"]


def test_what_is_modelled_gets_stripes_of_its_kind_and_a_dashed_edge():
    history = make_history(epochs=2)
    history.spans = [dataclasses.replace(span, clock="model") for span in history.spans]
    live = LiveTimeline()
    live.show([("B", history)])
    assert live.source.data["measured"] == [False] * len(history.spans)
    _, _, model = (renderer.glyph for renderer in live._quads["B"])
    assert model.hatch_pattern.value == "\\"
    assert list(model.line_dash.value) == [4, 3]
    # a hatch of many colours is one image a row and change: it hung the page
    assert isinstance(model.hatch_color, str) or model.hatch_color.value.startswith("#")
    order = live.figure.renderers
    assert order.index(live._quads["B"][2]) < len(order) - 2  # below the words
    assert live._quads["B"][2] in live._hover.renderers


def test_the_map_of_time_is_there_before_the_spans(monkeypatch):
    live = LiveTimeline()
    history = History()
    live.show([("A", history)])
    order = []
    monkeypatch.setattr(type(live.source), "stream", lambda self, new: order.append("spans"))
    live._corners["A"].on_change("data", lambda attr, old, new: order.append("map"))
    history.feed(make_events(epochs=2, end=False))
    live.update()
    assert order == ["map", "spans"]


def test_idleness_is_told_at_most_once_a_second(live, monkeypatch):
    live.show([("A", make_history(epochs=9, end=False))])
    told: list[dict[float, str]] = []
    axis = live.figure.yaxis[1]
    axis.on_change("major_label_overrides", lambda attr, old, new: told.append(new))
    now = [live._told_at]
    monkeypatch.setattr("mfviz.views.live_timeline.time.monotonic", lambda: now[0])
    monkeypatch.setattr(History, "idle_share", lambda self, lane=None: now[0] % 1)
    for _ in range(30):
        now[0] += 0.11
        live._refresh()
    assert 2 <= len(told) <= 5


def test_the_window_is_told(live):
    assert live.caption.startswith("last ")
    assert "cut out" in live.caption
    assert (live.figure.x_range.start, live.figure.x_range.end) == (-live._window, 0)


def test_spans_that_are_not_drawn_are_counted(monkeypatch):
    monkeypatch.setattr(LiveTimeline, "rollover", 40)
    live = LiveTimeline()
    live.show([("A", make_history(epochs=30))])
    assert len(live.source.data["run"]) == 40
    total = len(live.tracks[0][1].spans)
    assert f"{total - 40:,} older spans not drawn" in live.caption


def test_an_empty_timeline_tells_no_window_and_misses_no_spans():
    live, history = LiveTimeline(), History()
    live.show([("A", make_history(epochs=2))])
    live.show([("A", history)])
    for event in make_events(epochs=2):
        history.feed([event])
    assert live.empty
    assert "last" not in live.caption
    assert "older" not in live.caption
    live.update()
    assert live.caption.startswith("last ")


def test_many_lanes_become_thin_and_lose_their_words():
    live = LiveTimeline()
    live.show([("A", make_history(epochs=2, workers=64))])
    assert live.canvas.height < 500
    assert not any(live.words.data["text"])
    assert len(live.figure.yaxis[0].ticker.ticks) < 32


def test_a_lane_that_comes_late_gets_its_row():
    events = make_events(epochs=3, workers=3, end=False)
    history = History()
    live = LiveTimeline()
    live.show([("A", history)])
    for event in events:
        history.feed([event])
        live.update()
    assert live._lanes["A"].factors == ["W0", "W1", "W2"]


def test_now_is_marked_while_a_run_goes_on():
    live = LiveTimeline()
    live.show([("A", make_history(epochs=2, end=False))])
    assert live._now.visible
    assert live._zero.data["now"] == ["now"]
    live.show([("A", make_history(epochs=2, end=True))])
    assert not live._now.visible
    assert live._zero.data["now"] == ["end"]


def test_names_follow_the_theme(live):
    live.set_theme("dark")
    assert style.RUNS["dark"]["A"] in live._names.pane.object
    assert style.RUNS["light"]["A"] not in live._names.pane.object

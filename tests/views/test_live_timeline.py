"""The timeline figure: rows, clocks, words, marks."""

from __future__ import annotations

import numpy as np
import pytest

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
    corners = live._clock[letter].data.data
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
    assert live.words.data["text"] == []


def test_epochs_are_marked_except_the_last(live):
    marks = live.marks.data
    assert len(marks["x"]) == 5 + 2
    assert max(marks["x"]) < 0


def test_waits_are_hatched_and_modelled_spans_have_a_dashed_edge(live):
    work, wait, model = (renderer.glyph for renderer in live._quads["A"])
    assert wait.hatch_pattern == "/"
    assert model.hatch_pattern == "\\"
    assert list(model.line_dash) == [4, 3]
    assert work.fill_color.transform.factors == ["h2d", "d2h", "kernel", "host", "wait"]


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


def test_many_lanes_become_thin_and_lose_their_words():
    live = LiveTimeline()
    live.show([("A", make_history(epochs=2, workers=64))])
    assert live.canvas.height < 500
    assert live.words.data["text"] == []
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
    assert '"now"' in live.figure.xaxis[0].formatter.code
    live.show([("A", make_history(epochs=2, end=True))])
    assert not live._now.visible
    assert '"end"' in live.figure.xaxis[0].formatter.code

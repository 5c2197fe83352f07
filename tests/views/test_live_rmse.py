"""The RMSE figure: labels, axes, notes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from mfviz.plots import style
from mfviz.views.live_rmse import LiveRMSE
from tests.fakes import make_history

FALLING = [1.4, 0.95, 0.90, 0.88]


@pytest.fixture
def live():
    figure = LiveRMSE()
    running = make_history(epochs=3, rmse=FALLING, solver="sgd", end=False)
    over = make_history(epochs=2, rmse=FALLING[:3], solver="als", run="r2")
    figure.show([("A", running), ("B", over)])
    return figure


def ends(live):
    data = live._ends.source.data
    rows = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
    return [row for row in rows if row["text"]]


def columns_of(live):
    return {
        (letter, r.glyph.x.expr.args["column"], r.glyph.y.expr.args["column"])
        for letter, lines in live._lines.items()
        for r in lines
    }


def test_each_run_has_a_thick_and_a_thin_line_in_its_colour(live):
    live.show([*live.tracks, ("E", make_history(run="r5"))])
    assert list(live._lines) == ["A", "B", "E"]
    for letter, drawn in live._lines.items():
        lines = [renderer.glyph for renderer in drawn]
        assert [line.line_width for line in lines] == [3.0, 1.25]
        assert {line.line_color for line in lines} == {style.RUNS["light"][letter]}
        assert all(line.x.expr.args["letter"] == letter for line in lines)


def test_labels_stand_at_the_line_ends(live):
    texts = {(row["x"], row["y"]): row["text"] for row in ends(live)}
    assert texts[3, 0.88] == "A SGD test 0.880"
    assert texts[2, 0.90] == "B ALS test 0.900 final, 2 epochs"
    assert {row["weight"] for row in ends(live)} == {"bold", "normal"}


def test_a_finished_run_is_extended(live):
    by_text = {row["text"]: row for row in ends(live)}
    over = by_text["B ALS test 0.900 final, 2 epochs"]
    running = by_text["A SGD test 0.880"]
    assert over["x1"] == live.figure.x_range.end
    assert running["x1"] == running["x"]


def test_labels_do_not_overlap(live):
    width, height = live.nominal
    x, y = live.figure.x_range, live.figure.y_range
    boxes = []
    for row in ends(live):
        left = width * (row["x"] - x.start) / (x.end - x.start) + row["dx"]
        top = height * (y.end - row["y"]) / (y.end - y.start) + row["dy"]
        size = 7 * len(row["text"])
        left -= size if row["align"] == "right" else 0
        boxes.append((left, left + size, top - 8, top + 8))
    for at, (l0, r0, t0, b0) in enumerate(boxes):
        for l1, r1, t1, b1 in boxes[at + 1 :]:
            assert r0 <= l1 or r1 <= l0 or b0 <= t1 or b1 <= t0


def test_a_diverged_run_ends_in_a_triangle():
    live = LiveRMSE()
    history = make_history(epochs=3, rmse=[1.4, 2.0, 50.0, math.nan], status="diverged")
    live.show([("A", history)])
    (row,) = ends(live)
    assert row["marker"] == "triangle"
    assert row["color"] == style.TOKENS["light"]["bad"]
    assert row["x"] == 2
    assert row["y"] < live.figure.y_range.end  # off the frame: marked at its edge


@pytest.mark.parametrize("axis", ["updates", "solve_s", "wall_s", "epoch"])
def test_x_axis_may_be_any_clock(live, axis):
    figure = live.figure
    live.x_axis = axis
    assert live.figure is figure
    assert columns_of(live) == {
        (letter, axis, column) for letter in "AB" for column in ("test_rmse", "train_rmse")
    }
    assert live._hits.glyph.x == axis
    last = max(getattr(h.evaluated[-1], axis) for _, h in live.tracks)
    assert live.figure.x_range.end > last
    assert max(row["x"] for row in ends(live)) == pytest.approx(last)


def test_an_unknown_axis_is_refused(live):
    with pytest.raises(ValueError, match=r"bytes.*epoch, updates, solve_s, wall_s"):
        live.x_axis = "bytes"


def test_log_axes_take_another_figure_with_the_same_source(live):
    before = live.figure
    live.log_y = True
    assert live.figure is not before
    assert live.canvas.object is live.figure
    assert type(live.figure.y_scale).__name__ == "LogScale"
    assert {r.data_source.id for lines in live._lines.values() for r in lines} == {live.source.id}
    live.log_x = True
    assert (live.log_x, live.log_y) == (True, True)
    assert live.figure.x_range.start > 0
    assert live.figure.xaxis[0].ticker.ticks[0] == 1
    live.log_x = live.log_y = False
    assert type(live.figure.x_scale).__name__ == "LinearScale"
    assert ends(live)


def test_notes_on_start_and_now(live):
    assert live._ends._start.text == "↑ both start at 1.400"
    assert live._ends._now.visible
    assert live._ends._now.location == 3
    live.show([("B", live.tracks[1][1])])
    assert not live._ends._now.visible


def test_long_curves_are_thinned_not_cut(monkeypatch):
    monkeypatch.setattr(LiveRMSE, "rollover", 50)
    live = LiveRMSE()
    live.show([("A", make_history(epochs=200, workers=1))])
    epochs = live.source.data["epoch"]
    assert len(epochs) <= 51
    assert (epochs[0], epochs[-1]) == (0, 200)
    assert max(b - a for a, b in pairwise(epochs)) <= 8


def test_labels_move_when_the_browser_tells_the_size(live, monkeypatch):
    before = ends(live)
    monkeypatch.setattr(live, "_frame_size", lambda: (200.0, 90.0))
    live._resized("inner_width", 640, 200)
    assert ends(live) != before


def test_the_note_on_the_start_stands_beside_a_steep_fall(monkeypatch):
    live = LiveRMSE()
    monkeypatch.setattr(live, "_frame_size", lambda: (1140.0, 260.0))
    live.show([("A", make_history(epochs=30, workers=1, rmse=[9.0, *([0.8] * 30)]))])
    assert live._ends._start.text == "↑ A starts at 9.000"
    first_epoch = 1140.0 / live.figure.x_range.end
    assert live._ends._start.x > 0.9 * first_epoch, "by there the curve has come down"

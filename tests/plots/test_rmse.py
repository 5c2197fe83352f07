"""RMSE: rows, line ends, the frame, the note on the start."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mfviz.plots.rmse import RMSECurves, ends, start_note, view
from tests.fakes import make_history

FALLING = [1.4, 0.95, 0.90, 0.88]


def test_rows_hold_what_was_evaluated():
    history = make_history(epochs=3, rmse=FALLING)
    frame = RMSECurves().frame([("A", history)])
    np.testing.assert_allclose(frame["test_rmse"], FALLING)
    np.testing.assert_allclose(frame["train_rmse"], np.array(FALLING) - 0.1)
    np.testing.assert_allclose(frame["updates"], [0, 200, 400, 600])
    np.testing.assert_allclose(frame["solve_s"], [0, 0.01, 0.02, 0.03])
    assert (np.diff(frame["wall_s"]) > 0).all()


def test_a_value_that_is_not_finite_ends_the_line():
    history = make_history(epochs=3, rmse=[1.4, 1.2, math.inf, math.nan])
    frame = RMSECurves().frame([("A", history)])
    assert np.isfinite(frame["test_rmse"]).tolist() == [True, True, False, False]


def test_element_has_two_curves_a_run():
    tracks = [(letter, make_history(run=letter)) for letter in "AB"]
    element = RMSECurves().element(RMSECurves().frame(tracks), x="updates")
    assert [curve.label for curve in element] == ["A test", "A train", "B test", "B train"]
    widths = [curve.opts.get("style").kwargs["line_width"] for curve in element]
    assert widths == [3.0, 1.25, 3.0, 1.25]


def test_ends_tell_name_value_and_state():
    running = make_history(epochs=3, rmse=FALLING, solver="sgd", end=False)
    over = make_history(epochs=3, rmse=FALLING, solver="als", run="r2")
    found = ends([("A", running), ("B", over)])
    assert [(e.letter, e.part) for e in found] == [
        ("A", "test"), ("B", "test"), ("A", "train"), ("B", "train"),
    ]  # fmt: skip
    assert found[0].text == "A SGD test 0.880"
    assert found[1].text == "B ALS test 0.880 final, 3 epochs"
    assert found[2].text == "A train 0.780"
    assert [e.final for e in found] == [False, True, False, True]
    assert (found[0].x, found[0].y) == (3, 0.88)


def test_a_diverged_run_ends_at_its_last_finite_point():
    history = make_history(epochs=3, rmse=[1.4, 2.0, 50.0, math.nan], status="diverged")
    (end,) = ends([("A", history)])
    assert (end.x, end.y, end.diverged, end.final) == (2, 50.0, True, False)
    assert end.text == "A FAKE diverged at epoch 3"


def test_without_test_ratings_the_training_curve_carries_the_name():
    history = make_history(epochs=2, end=False)
    history.evaluated = [
        type(row)(row.epoch, row.updates, row.solve_s, row.eval_s, row.wall_s, train_rmse=0.8)
        for row in history.evaluated
    ]
    (end,) = ends([("A", history)])
    assert end.text == "A FAKE train 0.800"


def test_the_initial_point_does_not_flatten_the_curves():
    frame = view([("A", make_history(epochs=3, rmse=[3.5, 0.95, 0.90, 0.88]))])
    assert frame.y0 <= 0.78
    assert 0.95 <= frame.y1 < 1.2


def test_a_diverging_run_does_not_flatten_the_other():
    good = make_history(epochs=3, rmse=FALLING)
    bad = make_history(epochs=3, rmse=[1.4, 40.0, 1e9, math.inf], run="r2", status="diverged")
    assert view([("A", good), ("B", bad)]).y1 < 2


def test_the_frame_takes_the_planned_epochs_at_once():
    history = make_history(epochs=3, rmse=FALLING, end=False)
    history.params["epochs"] = 20
    assert view([("A", history)]).x1 == 20
    history.params["epochs"] = 1000
    assert 3 < view([("A", history)]).x1 < 10


def test_the_frame_moves_in_steps():
    seen = {
        (v.y0, v.y1)
        for v in (
            view([("A", make_history(epochs=2, rmse=[1.4, 0.95, 0.9 - k / 1000]))])
            for k in range(40)
        )
    }
    assert len(seen) <= 4


def test_log_axes_start_above_zero():
    tracks = [("A", make_history(epochs=3, rmse=FALLING))]
    frame = view(tracks, "epoch", log_x=True, log_y=True)
    assert frame.x0 == 1
    assert frame.y0 > 0


def test_an_empty_frame_is_still_a_frame():
    frame = view([])
    assert frame.x1 > frame.x0
    assert frame.y1 > frame.y0


@pytest.mark.parametrize(
    ("starts", "note"),
    [
        ([1.4, 1.4], "↑ both start at 1.400"),
        ([1.4, 3.5], "↑ A starts at 1.400, B starts at 3.500"),
        ([1.4], "↑ A starts at 1.400"),
        ([0.97, 0.97], ""),
    ],
)
def test_start_note(starts, note):
    tracks = [
        (letter, make_history(epochs=1, rmse=[start, 0.9], run=letter))
        for letter, start in zip("AB", starts, strict=False)
    ]
    assert start_note(tracks, 1.0) == note

"""Memory over time: the stack is the ledger, to the byte, at every step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mfviz.plots.memory_steps import element, memory_steps
from mfviz.telemetry.events import MemorySampled
from mfviz.telemetry.history import History
from mfviz.telemetry.memory import PARTS
from tests.fakes import make_history

MIB = 2**20


def history_of(*changes, samples=()):
    """A history with the given (seconds, part, bytes) in its ledger."""
    history = History()
    history.ledger = [(round(1e9 * t), "host", f"a{at}", part, size)
                      for at, (t, part, size) in enumerate(changes)]  # fmt: skip
    history.memory = [
        MemorySampled(run="r", seq=0, t_ns=round(1e9 * t), place=place, used_bytes=size,
                      total_bytes=0)
        for t, place, size in samples
    ]  # fmt: skip
    return history


def test_the_stack_is_the_sum_of_the_ledger_at_every_moment():
    changes = [
        (1.0, "P", 4 * MIB), (1.0, "Q", 2 * MIB), (2.0, "buffers", 8 * MIB),
        (3.0, "buffers", -3 * MIB), (5.0, "P", -4 * MIB),
    ]  # fmt: skip
    steps = memory_steps(history_of(*changes))
    assert steps.t_s[0] == 0
    for t in (0.5, 1.5, 2.5, 4.5):  # since the first allocation, at 1 s
        at = np.searchsorted(steps.t_s, t, side="right") - 1
        held = sum(level[at] for level in steps.levels.values())
        assert held == sum(size for when, _, size in changes if when - 1.0 <= t)
    assert steps.peak_bytes == 14 * MIB
    assert list(steps.levels) == ["P", "Q", "buffers"]
    assert math.isnan(steps.freed_s)


def test_outlines_lie_on_each_other_and_jump():
    steps = memory_steps(history_of((0.0, "P", 4.0), (1.0, "Q", 2.0), (2.0, "P", -1.0)))
    (xp, yp), (xq, yq) = steps.polygons().values()
    half = len(xp) // 2
    assert yq[half:].tolist()[::-1] == yp[:half].tolist()  # Q stands on P
    at = np.flatnonzero(xp[:half] == 2.0)
    assert {yp[k] for k in at} == {4.0, 3.0}  # at 2 s it is both: a step
    assert max(yq) == 6.0
    assert set(xq) == {0.0, 1.0, 2.0}


def test_all_given_back_is_marked_and_the_prediction_is_beside_it():
    steps = memory_steps(make_history(epochs=3))
    assert steps.freed_s == pytest.approx(steps.end_s, abs=0.02)
    assert steps.model_bytes == steps.peak_bytes == 6000
    assert [epoch for _, epoch in steps.epochs] == [1, 3]
    assert steps.epochs[0][0] < steps.epochs[1][0] <= steps.end_s


def test_samples_are_what_the_process_grew_by_or_what_a_device_has_in_use():
    grown = [(t, "rss", 10**9 + t * MIB) for t in range(4)]
    steps = memory_steps(history_of((0.0, "P", MIB), samples=grown))
    assert steps.place == "rss"
    assert steps.samples[:, 1].tolist() == [0, MIB, 2 * MIB, 3 * MIB]
    device = [*grown, (1, "cuda:0", 404 * MIB), (3, "cuda:0", 410 * MIB)]
    steps = memory_steps(history_of((0.0, "P", MIB), samples=device))
    assert steps.place == "cuda:0"
    assert steps.samples[:, 1].tolist() == [404 * MIB, 410 * MIB]


def test_the_axis_holds_the_stack_and_not_a_process_that_grew_far_beyond_it():
    far = memory_steps(history_of((0.0, "P", MIB), samples=[(0, "rss", 0), (1, "rss", 900 * MIB)]))
    near = memory_steps(
        history_of((0.0, "P", MIB), samples=[(0, "rss", 0), (1, "rss", int(1.4 * MIB))])
    )
    assert far.top_bytes < 2 * MIB < 1.5 * near.top_bytes
    assert near.top_bytes > 1.4 * MIB


def test_many_samples_are_thinned_out_and_none_is_no_harm():
    many = memory_steps(
        history_of((0.0, "P", 1), samples=[(t, "rss", t) for t in range(1000)])
    ).samples
    assert 10 <= len(many) <= 20
    assert many[-1, 0] == 999
    nothing = memory_steps(History())
    assert (nothing.polygons(), nothing.peak_bytes, nothing.end_s) == ({}, 0.0, 0.0)


def test_a_layer_is_drawn_for_each_part():
    assert [area.label for area in element("dark")] == list(PARTS)

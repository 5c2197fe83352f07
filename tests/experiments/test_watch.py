from __future__ import annotations

import pytest

from mfviz.experiments.watch import Watch
from tests.fakes import FakeClock


def test_every_second_belongs_to_one_phase() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    clock.tick(100)  # before the start: nobody's
    watch.start("compile")
    for phase, seconds in (
        ("queue", 3), ("setup", 1), ("solve", 2), ("eval", 0.5), ("solve", 4), ("paced", 7),
        ("paused", 9),
    ):  # fmt: skip
        clock.tick(5 if phase == "queue" else 0)
        watch.enter(phase)
        clock.tick(seconds)
    watch.stop()
    clock.tick(1000)
    assert watch.seconds("compile") == 5
    assert watch.seconds("queue") == 3
    assert watch.totals() == {
        "setup_s": 1, "solve_s": 6, "eval_s": 0.5, "wall_s": pytest.approx(23.5)
    }  # fmt: skip


def test_a_phase_that_goes_on_counts_up_to_now() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    watch.start("solve")
    clock.tick(2)
    assert watch.seconds("solve") == 2
    assert watch.enter("eval") == "solve"
    clock.tick(1)
    assert (watch.seconds("solve"), watch.seconds("eval")) == (2, 1)


def test_before_the_start_nothing_was_spent() -> None:
    watch = Watch(FakeClock(10**12))
    watch.stop()
    assert set(watch.totals().values()) == {0}

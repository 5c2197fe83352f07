"""Calls get as long as fits between two checkpoints, and recover from a pause."""

from __future__ import annotations

import time

from mfviz.solvers.budget import ENOUGH, Budget


def test_it_learns_from_long_calls():
    budget = Budget(1e-6)
    budget.learn(1_000_000, time.monotonic_ns() - 10_000_000)
    assert 900_000 < budget.ratings(10_000_000) <= 1_000_000


def test_one_long_pause_only_halves_it():
    budget = Budget(0.1)
    budget.learn(ENOUGH + 1, time.monotonic_ns() - 3_600 * 10**9)
    assert budget.ratings(1e6) == 50_000


def test_short_calls_raise_it_but_do_not_lower_it():
    budget = Budget(1e-3)
    budget.learn(10, time.monotonic_ns() - 10**9)
    assert budget.ratings_per_ns == 1e-3
    budget.learn(5_000, time.monotonic_ns() - 10**5)
    assert budget.ratings_per_ns > 1e-3


def test_there_is_always_something_to_do():
    assert Budget(1e-12).ratings(1.0) == 1

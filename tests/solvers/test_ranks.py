"""Effective ranks, told after each epoch by the solvers that descend rating by rating."""

from __future__ import annotations

import pytest

from mfviz.solvers.base import registry
from mfviz.solvers.stochastic import BiasedSolver
from mfviz.telemetry.events import Measured
from mfviz.theory.effective_ranks import effective_ranks
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of

FAMILY = sorted(key for key, cls in registry().items() if issubclass(cls, BiasedSolver))


@pytest.mark.parametrize("key", FAMILY)
def test_ranks_are_told_if_asked_for_and_change_nothing(key: str) -> None:
    problem, settings = problem_of(), {"rank": 6, "epochs": 2}
    record = train(registry()[key].make(**settings, measure_ranks=True), problem)
    told = [fields for kind, fields in record.events if kind is Measured]
    assert [fields["epoch"] for fields in told] == [0] * 4 + [1] * 4 + [2] * 4
    found = {fields["name"]: fields["value"] for fields in told if fields["epoch"] == 2}
    for name, X in (("P", record.final.P), ("Q", record.final.Q)):
        for symbol, value in effective_ranks(X)._asdict().items():
            assert found[f"effective rank {symbol} of {name}"] == pytest.approx(value)
    r, R = (found[f"effective rank {symbol} of P"] for symbol in "rR")
    assert 1 <= r <= R <= 6
    quiet = train(registry()[key].make(**settings), problem)
    assert not [kind for kind, _ in quiet.events if kind is Measured]

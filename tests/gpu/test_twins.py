"""Every solver on a device against its slow twin and against its CPU form, on small ratings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mfviz.solvers.base import registry
from tests.cuda.in_simulator import CASES, IN_TURN, train, train_beside
from tests.cuda.test_simulator import TOLERANCE
from tests.gpu.twins import SINGLE, TWINS, apart

on_a_device = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("device"),
    pytest.mark.filterwarnings("default"),  # of whatever versions a machine with a GPU has
]


def test_every_cuda_solver_has_a_twin() -> None:
    keys = {twin.key for twin in TWINS.values()}
    assert keys == {key for key, cls in registry().items() if "cuda" in cls.backends}


class TestOnADevice:
    pytestmark = on_a_device

    @pytest.mark.parametrize("name", TWINS)
    def test_equals_the_naive_twin(self, name: str, tell: Callable[..., None]) -> None:
        distance = apart(name)
        tell(distance=distance)
        assert distance < TWINS[name].tolerance

    @pytest.mark.parametrize("name", CASES)
    def test_equals_the_cpu_on_ragged_rows(self, name: str, tell: Callable[..., None]) -> None:
        wanted, _, updates = train_beside(name)
        factors, spans, _ = train(name, "cuda")
        pairs = [(getattr(factors, a), getattr(wanted, a)) for a in ("P", "Q", "bu", "bi")]
        distance = max(
            float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs if b.any()
        )
        tell(distance=distance)
        assert sum(s["ratings"] for s in spans) == updates
        if name in IN_TURN:  # its streams race on a device: it only has to stay a model
            assert all(np.isfinite(a).all() for a, _ in pairs)
        else:
            assert distance < max(TOLERANCE.get(name, SINGLE), SINGLE)

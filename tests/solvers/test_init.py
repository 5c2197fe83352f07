"""Initial factors: what is drawn, and what a given start must fit."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.errors import ParameterError
from mfviz.solvers.base import registry
from mfviz.solvers.init import draw
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of


def drawn(kind: str, scale: float = 1.0, rank: int = 20, mean: float = 1.0) -> np.ndarray:
    A = np.full((4000, 32), np.nan, dtype=np.float32)
    draw(A, rank, np.random.default_rng(0), kind=kind, scale=scale, mean=mean)
    assert (A[:, rank:] == 0).all()
    return A[:, :rank]


def test_normal_has_the_scale_as_deviation():
    A = drawn("normal", 0.3)
    assert A.std() == pytest.approx(0.3, rel=0.02)
    assert abs(A.mean()) < 0.01


def test_uniform_is_that_of_libmf():
    A = drawn("uniform")
    assert 0 <= A.min()
    assert A.max() <= np.sqrt(1 / 20)
    assert A.mean() == pytest.approx(0.5 * np.sqrt(1 / 20), rel=0.02)


def test_positive_predicts_the_mean():
    P, Q = drawn("positive", mean=3.6)[:2000], drawn("positive", mean=3.6)[2000:]
    assert P.min() >= 0
    assert (P * Q).sum(axis=1).mean() == pytest.approx(3.6, rel=0.02)
    for mean in (-2.0, 0.0):  # all-zero factors are a start that ALS never leaves
        assert drawn("positive", mean=mean).max() > 0.1


def test_a_start_keeps_its_predictions_in_another_scale():
    """The product P Q^T of the start is the same in the user's units for a solver that scales."""
    problem = problem_of()
    start = train(registry()["sgd"].make(rank=5, epochs=1, biases=False), problem).final
    scaled = train(registry()["fpsgd"].make(rank=5, epochs=1, workers=1), problem, start=start)
    assert scaled.initial.scale != 1.0
    own = start.P.astype(float) @ start.Q.T
    other = scaled.initial.scale * (scaled.initial.P.astype(float) @ scaled.initial.Q.T)
    np.testing.assert_allclose(other, own, atol=1e-6)


def test_a_start_that_does_not_fit_is_refused():
    problem = problem_of()
    start = train(registry()["sgd"].make(rank=5, epochs=1), problem).final
    with pytest.raises(ParameterError, match="rank 5"):
        train(registry()["sgd"].make(rank=4, epochs=1), problem, start=start)
    with pytest.raises(ParameterError, match="users"):
        train(registry()["sgd"].make(rank=5, epochs=1), problem_of(m=9), start=start)

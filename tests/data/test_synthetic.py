"""Synthetic ratings have the exact size asked for, the skews, and a structure worth learning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.data import synthetic
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.data.synthetic import PRESETS, SPECTRA, Planted, generate
from mfviz.errors import ParameterError


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    users, items = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return users, items, draw(st.integers(max(users, items), users * items))


def check_size(found: Ratings, wanted: Planted) -> None:
    assert (found.n_users, found.n_items, found.nnz) == (
        wanted.users,
        wanted.items,
        wanted.ratings,
    )
    assert found.duplicates == 0
    assert np.bincount(found.u, minlength=wanted.users).min() >= 1
    assert np.bincount(found.i, minlength=wanted.items).min() >= 1
    low, high = wanted.scale
    assert low <= found.r.min() <= found.r.max() <= high


@given(sizes(), st.floats(0, 5), st.floats(0, 5), st.integers(0, 2**31 - 1), st.integers(1, 60))
@settings(max_examples=100)
def test_any_size_is_exact_without_duplicates(
    size: tuple[int, int, int], user_skew: float, item_skew: float, seed: int, chunk: int
) -> None:
    users, items, ratings = size
    wanted = Planted(
        users=users,
        items=items,
        ratings=ratings,
        user_skew=user_skew,
        item_skew=item_skew,
        seed=seed,
    )
    with pytest.MonkeyPatch.context() as patch:  # several chunks even here
        patch.setattr(synthetic, "CHUNK", chunk)
        patch.setattr(synthetic, "DENSE_CELLS", 3 * chunk)
        patch.setattr(synthetic, "ROUNDS", chunk % 4)
        check_size(generate(wanted), wanted)


@pytest.mark.parametrize("name", ["toy", "small-100k", "1m-like"])
def test_presets_have_their_size_and_steps(name: str) -> None:
    found = generate(PRESETS[name])
    check_size(found, PRESETS[name])
    np.testing.assert_array_equal(found.r, np.round(found.r * 2) / 2)


def test_large_presets_have_the_size_of_the_sets_that_they_stand_for() -> None:
    shapes = {name: (s.users, s.items, s.ratings) for name, s in PRESETS.items()}
    assert shapes["10m-like"] == (69_878, 10_677, 10_000_054)
    assert shapes["25m-like"] == (162_541, 59_047, 25_000_095)


def test_the_seed_decides_everything() -> None:
    one, two, other = (generate(PRESETS["toy"], seed=seed) for seed in (3, 3, 4))
    for part in ("u", "i", "r"):
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))
    assert not np.array_equal(one.r, other.r)
    assert not np.array_equal(one.i, other.i)


def test_raw_ratings_keep_their_fractions_within_the_scale() -> None:
    found = generate(replace(PRESETS["toy"], step=0.0, scale=(-10.0, 10.0), mean=0.0))
    assert len(np.unique(found.r)) > 800
    assert np.abs(found.r).max() <= 10


def test_skews_are_those_asked_for() -> None:
    base = replace(PRESETS["small-100k"], users=2000, ratings=100_000)

    def shares(side: str, **changes: Any) -> npt.NDArray[np.int64]:
        counts = np.bincount(getattr(generate(replace(base, **changes)), side))
        return np.sort(counts)[::-1]

    even = shares("u", user_skew=0.0)
    assert even[0] - even[-1] <= 1
    logs = np.log(shares("u", user_skew=0.8))
    assert logs.std() == pytest.approx(0.8, rel=0.1)
    flat, steep = shares("i", item_skew=0.0), shares("i", item_skew=1.5)
    assert flat[0] < 1.5 * flat.mean()
    assert steep[:168].sum() > 3 * flat[:168].sum()


def test_popular_items_are_drawn_as_often_with_rejection_as_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Both ways must sample the same law: the counts by popularity agree.
    wanted = Planted(users=3000, items=60, ratings=60_000, item_skew=1.2, user_skew=0.5)
    by_rejection = np.sort(np.bincount(generate(wanted).i))
    monkeypatch.setattr(synthetic, "ROUNDS", 0)
    exactly = np.sort(np.bincount(generate(wanted).i))
    np.testing.assert_allclose(by_rejection, exactly, rtol=0.1, atol=60)


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_planted_spectrum_falls_as_named(spectrum: str) -> None:
    values = replace(PRESETS["toy"], rank=10, spectrum=spectrum).singular_values
    slope = np.polyfit(np.log(np.arange(1, 11)), np.log(values), 1)[0]
    assert slope == pytest.approx(-SPECTRA.index(spectrum), abs=1e-9)
    assert (values**2).sum() == pytest.approx(1)
    raw = Planted(
        users=400,
        items=300,
        ratings=120_000,
        rank=4,
        spectrum=spectrum,
        signal=1.0,
        noise=0.0,
        user_bias=0.0,
        item_bias=0.0,
        mean=0.0,
        step=0.0,
        scale=(-50.0, 50.0),
    )
    matrix = generate(raw).r.reshape(400, 300)
    found = np.linalg.svd(matrix, compute_uv=False)[:5]
    assert matrix.std() == pytest.approx(1.0, rel=0.2)
    np.testing.assert_allclose(
        found[:4] / found[0], raw.singular_values / raw.singular_values[0], rtol=0.3
    )
    assert found[4] < 1e-3 * found[0]


def biases(problem: Problem, held: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Fit the mean and shrunken biases; return the residuals of training and test."""
    train, test = problem.train, problem.test
    bu, bi = np.zeros(problem.n_users), np.zeros(problem.n_items)
    for _ in range(10):
        error = train.r - train.mean - bu[train.u]
        bi = np.bincount(train.i, error) / (np.bincount(train.i) + held)
        error = train.r - train.mean - bi[train.i]
        bu = np.bincount(train.u, error) / (np.bincount(train.u) + held)
    return tuple(p.r - train.mean - bu[p.u] - bi[p.i] for p in (train, test))  # type: ignore[return-value]


def als(problem: Problem, rank: int, lam: float, sweeps: int) -> tuple[float, float]:
    """Test RMSE of biases alone, and of a plain factorization of what they leave."""
    rest, test_rest = biases(problem, 5.0)
    train, test = problem.train, problem.test
    Q = np.random.default_rng(0).normal(0, 0.1, (problem.n_items, rank))
    P = np.zeros((problem.n_users, rank))
    for _ in range(sweeps):
        for own, row, other, col in ((P, train.u, Q, train.i), (Q, train.i, P, train.u)):
            for k in range(len(own)):
                at = row == k
                x = other[col[at]]
                normal = x.T @ x + lam * at.sum() * np.eye(rank)
                own[k] = np.linalg.solve(normal, x.T @ rest[at])
    left = test_rest - np.einsum("ik,ik->i", P[test.u], Q[test.i])
    return float(np.sqrt((test_rest**2).mean())), float(np.sqrt((left**2).mean()))


def test_a_factorization_of_the_toy_is_far_better_than_biases() -> None:
    found = [als(split(generate(PRESETS["toy"], seed=seed)), 3, 0.05, 8) for seed in range(5)]
    assert all(learnt < 0.9 * flat for flat, learnt in found)
    assert np.mean([learnt / flat for flat, learnt in found]) < 0.75


def test_a_factorization_of_the_100k_set_is_clearly_better_than_biases() -> None:
    flat, learnt = als(split(generate(PRESETS["small-100k"])), 4, 0.08, 4)
    assert learnt < 0.96 * flat
    assert 0.75 < learnt < 0.9


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ratings": 2401}, "ratings"),
        ({"ratings": 59}, "ratings"),
        ({"users": 0}, "ratings"),
        ({"spectrum": "2/k"}, "spectrum"),
        ({"rank": 0}, "rank"),
        ({"scale": (5.0, 1.0)}, "scale"),
        ({"noise": -0.1}, "noise"),
        ({"signal": float("nan")}, "signal"),
        ({"item_skew": 9.0}, "item_skew"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_bounds_are_refused(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        replace(PRESETS["toy"], **changes)
    assert caught.value.name == name

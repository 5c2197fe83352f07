"""cuMF_ALS: ALS bit for bit where it is exact, its naive twin where it is not, and its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.kernels.cuda.als import gram_shape
from mfviz.solvers.als import ALS
from mfviz.solvers.base import Factors
from mfviz.solvers.cumf_als import CuMFALS
from mfviz.solvers.device_systems import DeviceSystems
from tests.naive_gpu import als_by_cg
from tests.solvers.recorded import Record, train
from tests.solvers.test_als import distance, random_problem
from tests.solvers.test_msgd import memory_held, memory_of, on_device

SETTINGS: dict[str, Any] = {"rank": 5, "epochs": 3, "workers": 2, "lam": 0.05}
BY_CG: dict[str, Any] = {**SETTINGS, "solve": "cg", "cg_steps": 2}
TOLERANCE = {"single": 1e-5, "half": 2e-3}  # a number of A may round to its neighbour


def bits(factors: Factors) -> bytes:
    return b"".join(a.tobytes() for a in (factors.P, factors.Q, factors.bu, factors.bi))


@pytest.mark.parametrize("biases", [True, False])
def test_is_als_bit_for_bit_on_the_cpu(biases: bool) -> None:
    problem = random_problem()
    found, wanted = (train(c(**SETTINGS, biases=biases), problem) for c in (CuMFALS, ALS))
    assert bits(found.final) == bits(wanted.final)
    assert found.high_water == wanted.high_water


def by_cg(precision: str, **changed: Any) -> Record:
    return train(CuMFALS(**{**BY_CG, **changed}, precision=precision), random_problem())


def twin(initial: Factors, precision: str, **changed: Any) -> tuple[np.ndarray, np.ndarray]:
    t = random_problem().train
    settings = {"lam": 0.05, "steps": 2, "half": precision == "half", "epochs": 3, **changed}
    return als_by_cg(t.u, t.i, t.r, initial.P[:, :5], initial.Q[:, :5], **settings)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_equals_the_naive_twin_by_cg(precision: str) -> None:
    record = by_cg(precision)
    assert distance(record.final, twin(record.initial, precision)) < TOLERANCE[precision]
    assert bits(by_cg(precision, workers=3).final) == bits(record.final)


@pytest.mark.parametrize(
    "wrong",
    [{"mutant": "cold"}, {"mutant": "steepest"}, {"steps": 1}, {"steps": 3}, {"lam": 0.06}],
    ids=str,
)
@pytest.mark.parametrize("precision", TOLERANCE)
def test_mutants_are_seen(precision: str, wrong: dict[str, Any]) -> None:
    record = by_cg(precision)
    assert distance(record.final, twin(record.initial, precision, **wrong)) > 0.03


def test_halves_are_what_is_stored() -> None:
    """Other numbers than those of single precision, and close to them."""
    single, half = by_cg("single").final, by_cg("half").final
    apart = np.linalg.norm(half.Q - single.Q) / np.linalg.norm(single.Q)
    assert 3 * TOLERANCE["single"] < apart < 0.02


FORMS: list[tuple[type[DeviceSystems], dict[str, Any]]] = [
    (CuMFALS, {}),
    (CuMFALS, {"biases": True, "batch": 7}),
    (ALS, {"biases": True, "weighted": False}),
]


@pytest.mark.parametrize(("kind", "settings"), FORMS)
@pytest.mark.parametrize("chunk", [None, 20])
def test_a_device_is_asked_for_the_same(
    kind: type[DeviceSystems], settings: dict[str, Any], chunk: int | None
) -> None:
    problem, solver = random_problem(), kind(**{**SETTINGS, **settings})
    wanted = train(solver, problem).final
    driver, factors, spans, held, checkpoints = on_device(solver, problem, chunk)
    for name in ("P", "Q", "bu", "bi"):
        np.testing.assert_allclose(getattr(factors, name), getattr(wanted, name), atol=1e-4)
    assert driver.races() == 0
    assert sum(s["ratings"] for s in spans) == checkpoints[-1].updates == 6 * problem.train.nnz
    kinds = {s["name"] for s in spans if s["op"] == "kernel"}
    assert kinds == {"users", "items", "solve users", "solve items"}
    assert memory_of(solver, problem) == memory_held(held)


def test_a_device_has_sides_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfviz.backends.cuda.why_not", lambda: None)
    monkeypatch.setattr("mfviz.backends.cuda.free_bytes", lambda: None)
    problem = random_problem()
    assert "simultaneous=false" in (ALS(simultaneous=True).supports(problem, "cuda") or "")
    assert "up to 256" in (ALS(rank=257).supports(problem, "cuda") or "")
    assert ALS().supports(problem, "cuda") is None


def test_rows_come_in_batches_where_their_systems_do_not_fit() -> None:
    assert CuMFALS(rank=100).rows_of(480_189, 17_770) == (1 << 28) // (4 * 104 * 105)
    half = CuMFALS(rank=100, solve="cg", precision="half")
    assert half.rows_of(480_189, 17_770) == (1 << 28) // (2 * 104 * 106)
    assert CuMFALS(rank=100, batch=5000).rows_of(480_189, 17_770) == 5000
    assert CuMFALS().rows_of(30, 20) == 30


def test_every_tile_of_the_triangle_has_a_thread() -> None:
    for width in range(8, 257, 8):
        tiles = (width // 8) * (width // 8 + 1) // 2
        for shuffle in (True, False):
            blocks, threads = gram_shape(width, shuffle=shuffle)
            assert blocks * threads >= tiles
            assert width <= threads <= 256
            assert not shuffle or threads % 32 == 0

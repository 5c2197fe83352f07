"""cuMF_CCD: CCD++ bit for bit on the CPU, its naive twin, and its streams, bins and tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.kernels.cuda.ccd import THREADS, row_grid
from mfviz.kernels.rows import cut_rows
from mfviz.solvers.binned_passes import BinnedPasses, bins_of
from mfviz.solvers.ccdpp import CCDPP
from mfviz.solvers.cumf_ccd import CuMFCCD
from mfviz.telemetry.events import Measured
from mfviz.telemetry.memory import MemoryPart
from tests.naive_ccd import ccdpp
from tests.naive_descent import model_of
from tests.solvers.recorded import train
from tests.solvers.test_als import distance, random_problem
from tests.solvers.test_asgd import distance as model_distance
from tests.solvers.test_msgd import memory_held, memory_of, on_device
from tests.solvers.test_sgd import bits

BRISK: dict[str, Any] = {"rank": 4, "epochs": 3, "workers": 2, "lam": 0.05}
FORMS: list[dict[str, Any]] = [
    {},
    {"biases": True, "each": 1},
    {"tile": 7, "each": 2},
    {"rank": 1, "inner": 2, "biases": True, "tile": 11},
    {"weighted": False, "zero_items": False, "each": 1},
]


@pytest.mark.parametrize("biases", [True, False])
def test_is_ccdpp_bit_for_bit_on_the_cpu(biases: bool) -> None:
    problem = random_problem()
    found = train(CuMFCCD(**BRISK, biases=biases), problem)
    wanted = train(CCDPP(**BRISK, biases=biases, refresh=0), problem)
    assert bits(found.final) == bits(wanted.final)
    assert found.high_water == wanted.high_water


@pytest.mark.parametrize("mutant", ["", "no add back", "stale", "users first"])
def test_equals_the_naive_twin_and_no_mutant(mutant: str) -> None:
    problem = random_problem()
    record = train(CuMFCCD(**BRISK, zero_items=False), problem)
    t, first = problem.train, record.initial
    twin = ccdpp(t.u, t.i, t.r, first.P[:, :4], first.Q[:, :4], 0.05, epochs=3, mutant=mutant)
    apart = distance(record.final, twin)
    assert apart > 1e-2 if mutant else apart < 1e-5


@pytest.mark.parametrize("chunk", [None, 50])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_device_is_asked_for_the_same(form: dict[str, Any], chunk: int | None) -> None:
    problem, solver = random_problem(), CuMFCCD(**{**BRISK, **form})
    wanted = train(solver, problem).final
    driver, factors, spans, held, checkpoints = on_device(solver, problem, chunk)
    assert driver.ready == driver.launched, "what is compiled during the set-up, and what is run"
    assert model_distance(factors, model_of(wanted)) < 1e-5
    assert sum(s["ratings"] for s in spans) == checkpoints[-1].updates == 6 * problem.train.nnz
    assert memory_of(solver, problem) == memory_held(held)
    busy = {s["lane"] for s in spans if s["op"] == "kernel"}
    assert len(busy) >= (2 if form.get("rank") == 1 else 3)
    assert busy <= set(solver.lanes("cuda"))


@pytest.mark.parametrize("form", FORMS[:3], ids=str)
def test_no_phase_begins_before_the_one_before_is_over(form: dict[str, Any]) -> None:
    """Kernels of a feature and side lie side by side; all others come before or after."""
    _, _, spans, _, _ = on_device(CuMFCCD(**{**BRISK, **form}), random_problem())
    kernels = [s for s in spans if s["op"] == "kernel"]
    kernels.sort(key=lambda s: s["start_ns"])
    phases: list[list[dict[str, Any]]] = []
    for span in kernels:
        if not phases or (span["name"], span["block"]) != (
            phases[-1][0]["name"], phases[-1][0]["block"]
        ):  # fmt: skip
            phases.append([])
        phases[-1].append(span)
    assert len(phases) == 3 * (8 + (3 if form.get("biases") else 0))
    ends = [max(s["end_ns"] for s in phase) for phase in phases]
    begins = [min(s["start_ns"] for s in phase) for phase in phases]
    assert all(begin >= end for begin, end in zip(begins[1:], ends, strict=False))
    assert any(
        a["lane"] != b["lane"] and a["start_ns"] < b["end_ns"] and b["start_ns"] < a["end_ns"]
        for phase in phases
        for a in phase
        for b in phase
    )


def drifts(**settings: Any) -> list[tuple[int, str, float]]:
    """What a device tells of its residual: epoch, name and value."""
    told: list[dict[str, Any]] = []
    solver = CuMFCCD(**{**BRISK, "epochs": 4, "check_residual": 2, **settings})
    _, _, _, held, _ = on_device(
        solver, random_problem(), told=lambda kind, **fields: told.append({"kind": kind, **fields})
    )
    assert memory_of(solver, random_problem()) == memory_held(held)
    found = [fields for fields in told if fields["kind"] is Measured]
    return [(fields["epoch"], fields["name"], fields["value"]) for fields in found]


@pytest.mark.parametrize("form", [*FORMS, {"inner": 3}], ids=str)
def test_a_device_tells_how_far_its_residual_drifts(form: dict[str, Any]) -> None:
    found = drifts(**form)
    assert [(epoch, name) for epoch, name, _ in found] == [
        (2, "residual drift"),
        (4, "residual drift"),
    ]
    assert all(0 < value < 1e-4 for _, _, value in found)


def test_a_residual_that_is_off_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature that is forgotten is much more than rounding."""
    check = BinnedPasses.check

    def forgetful(self: BinnedPasses, epoch: int) -> None:
        self.pending = -1
        check(self, epoch)

    monkeypatch.setattr(BinnedPasses, "check", forgetful)
    assert min(value for _, _, value in drifts()) > 1e-2


def test_of_many_ratings_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfviz.solvers.residual_sample.MOST", 64)
    monkeypatch.setattr("mfviz.solvers.residual_sample.RUN", 16)
    found = drifts(biases=True)
    assert {name for _, name, _ in found} == {"residual drift of a sample"}
    assert all(0 < value < 1e-4 for _, _, value in found)


def test_the_cpu_tells_it_without_a_change() -> None:
    problem = random_problem()
    told, still = (
        train(CuMFCCD(**{**BRISK, "epochs": 4, "check_residual": k}), problem) for k in (2, 0)
    )
    assert bits(told.final) == bits(still.final)
    found = [fields for kind, fields in told.events if kind is Measured]
    assert [fields["epoch"] for fields in found] == [2, 4]
    assert all(0 < fields["value"] < 1e-4 for fields in found)
    assert not still.events


def test_rows_have_threads_by_their_length() -> None:
    lengths = np.array([0, 1, 8, 9, 16, 64, 65, 256, 257, 100_000])
    threads = [0 if b < 0 else THREADS[b] for b in bins_of(lengths, 8)]
    assert threads == [0, 1, 1, 2, 2, 8, 16, 32, 128, 128]
    for count in THREADS:
        for shuffle in (True, False):
            blocks, block = row_grid(1000, count, shuffle=shuffle)
            assert (blocks - 1) * block < 1000 * count <= blocks * block


def test_rows_are_cut_where_tiles_begin() -> None:
    indptr, index = np.array([0, 4, 4, 6]), np.array([0, 3, 4, 9, 1, 8], np.int32)
    places = np.zeros((4, 3), np.int64)
    cut_rows(indptr, index, 4, places)
    assert places.tolist() == [[0, 4, 4], [2, 4, 5], [3, 4, 5], [4, 4, 6]]


def test_tiles_are_in_the_memory_model() -> None:
    def size(parts: tuple[MemoryPart, ...]) -> int:
        return sum(part.bytes for part in parts if part.place == "device")

    m, n, nnz = 1000, 600, 10_000
    one, three = (CuMFCCD(tile=t).memory(m, n, nnz, "cuda").parts for t in (1000, 400))
    assert size(three) - size(one) == 8 * m + 2 * 8 * n + 8 * (m + n)

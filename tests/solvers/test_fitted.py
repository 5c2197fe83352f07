"""What settings leave to a solver is set so that a device has room for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mfviz.backends import cuda
from mfviz.solvers.cumf_als import CuMFALS
from mfviz.solvers.cumf_sgd import CuMFSGD
from tests.solvers.replay import problem_of
from tests.solvers.test_partitions import made

Room = Callable[[int | None], None]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    """Have a device of so many free bytes."""
    monkeypatch.setattr(cuda, "why_not", lambda: None)

    def set_to(free: int | None) -> None:
        monkeypatch.setattr(cuda, "free_bytes", lambda index=None: free)

    return set_to


def test_a_small_device_gets_as_few_parts_as_fit_it(room: Room) -> None:
    problem = problem_of(3_000, 2_000, 90_000)
    open_one, shape = made(rank=64, user_parts=0, item_parts=0), (3_000, 2_000, 90_000)
    assert open_one.cuts == (1, 1)
    assert not open_one.streamed
    whole = open_one.needs(*shape)
    for free in (whole, None):
        room(free)
        assert open_one.fitted(problem, "cuda") == (open_one, "")
    room(whole - 1)
    assert open_one.fitted(problem, "cpu") == (open_one, "")
    fitted, told = open_one.fitted(problem, "cuda")
    assert isinstance(fitted, CuMFSGD)
    u, v = fitted.cuts
    assert u == v > 1
    assert fitted.supports(problem, "cuda") is None
    fewer = made(rank=64, user_parts=u - 1, item_parts=v - 1)
    assert fewer.needs(*shape) > whole - 1
    assert told.startswith(f"user_parts={u}, item_parts={v}: all at once would need ")
    assert {**fitted.settings(), "user_parts": 0, "item_parts": 0} == open_one.settings()


def test_what_is_set_or_cannot_be_cut_stays(room: Room) -> None:
    problem = problem_of(300, 200, 9_000)
    room(1000)
    for settings in ({}, {"user_parts": 1, "item_parts": 0}, {"scheduler": "wavefront"}):
        solver = made(**{"user_parts": 0, "item_parts": 0, **settings})
        assert solver.fitted(problem, "cuda") == (solver, "")
        assert "are free" in (solver.supports(problem, "cuda") or "")


def test_batches_of_rows_shrink_until_they_fit(room: Room) -> None:
    problem, shape = problem_of(3_000, 2_000, 9_000), (3_000, 2_000, 9_000)
    open_one = CuMFALS(rank=64)
    whole, least = open_one.needs(*shape), CuMFALS(rank=64, batch=1).needs(*shape)
    room(least + (whole - least) // 4)
    fitted, told = open_one.fitted(problem, "cuda")
    assert isinstance(fitted, CuMFALS)
    assert 500 < fitted.batch < 1000, "a quarter of the systems of 3,000 rows, or little less"
    assert fitted.supports(problem, "cuda") is None
    assert told.startswith(f"batch={fitted.batch}: ")
    asked = CuMFALS(rank=64, batch=2_000)
    assert asked.fitted(problem, "cuda") == (asked, "")
    room(least - 1)
    assert open_one.fitted(problem, "cuda") == (open_one, "")

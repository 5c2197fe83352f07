"""A rank that is no multiple of the vectors' width costs what the next multiple does, not more.

By structure, not by time: the same columns, which all kernels take for the rank, the same kernels
and no more memory.
"""

from __future__ import annotations

import pytest

from mfviz.solvers.base import Factors, Solver, registry
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of


def of(key: str, rank: int) -> Solver:
    return registry()[key].make(rank=rank, epochs=1, workers=max(1, low(key)))


def low(key: str) -> int:
    return int(registry()[key].param["workers"].bounds[0])


@pytest.mark.parametrize("rank", [1, 15, 17, 31, 33, 100])
def test_columns_are_those_of_the_next_multiple(rank: int) -> None:
    width = Factors.width(rank)
    assert width % 16 == 0
    assert 0 <= width - rank < 16


@pytest.mark.parametrize("rank", [17, 31])
@pytest.mark.parametrize("key", sorted(registry()))
def test_an_odd_rank_runs_as_the_next_multiple(key: str, rank: int) -> None:
    problem, odd, even = problem_of(), of(key, rank), of(key, 32)
    found, wanted = train(odd, problem), train(even, problem)
    for name in ("P", "Q"):
        assert getattr(found.final, name).shape == getattr(wanted.final, name).shape
    step = 8 if "cuda" in odd.backends else 16  # rows on a device are padded to 32 bytes
    assert odd.kernel_rank == of(key, -(-rank // step) * step).kernel_rank
    assert found.ledger.high_water_bytes <= wanted.ledger.high_water_bytes
    assert found.checkpoints[-1].updates == pytest.approx(wanted.checkpoints[-1].updates, rel=0.1)

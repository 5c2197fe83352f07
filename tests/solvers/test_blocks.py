"""Blocks laid out by the crew are those of the plain grid, whatever the crew and the source."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.backends.host import Crew
from mfviz.data.layout import grid
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.context import make_context
from mfviz.solvers.blocks import lay_out_blocks
from mfviz.solvers.dsgd import DSGD
from tests.solvers.replay import problem_of


def sorted_by_user(problem: Problem) -> Problem:
    part = problem.train
    at = np.argsort(part.u, kind="stable")
    return split(Ratings.from_triples(part.u[at], part.i[at], part.r[at]), holdout=0.0)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("by", ["", "row", "col"])
@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("ordered", [False, True])
def test_blocks_are_those_of_the_plain_grid(workers: int, by: str, d: int, ordered: bool):
    problem = problem_of(nnz=777)
    problem = sorted_by_user(problem) if ordered else problem
    wanted = grid(problem.train, d, d, np.random.default_rng(7), sort_within=by or "none")
    with Crew(workers) as crew:
        context = make_context(DSGD.make(workers=workers), crew)
        rng = np.random.default_rng(7)
        records, offsets = lay_out_blocks(problem, context, d, rng, by=by, scale=2.0)
    np.testing.assert_array_equal(offsets, wanted.offsets)
    first, second = ("i", "u") if by == "col" else ("u", "i")
    np.testing.assert_array_equal(records[first], wanted.u)
    np.testing.assert_array_equal(records[second], wanted.i)
    np.testing.assert_array_equal(records["r"], wanted.r / np.float32(2.0))


def test_more_workers_than_ratings_lay_out_the_same():
    problem = problem_of(m=3, n=2, nnz=4)
    with Crew(7) as crew:
        context = make_context(DSGD.make(workers=7), crew)
        records, offsets = lay_out_blocks(problem, context, 2, np.random.default_rng(0))
    wanted = grid(problem.train, 2, 2, np.random.default_rng(0))
    assert offsets.tolist() == wanted.offsets.tolist()
    assert records["u"].tolist() == wanted.u.tolist()

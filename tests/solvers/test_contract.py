"""What every registered solver must do: a new one is found here by itself."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import param
import pytest

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError, ParameterError
from mfviz.experiments.context import make_context
from mfviz.solvers.base import Card, Factors, Solver, registry
from mfviz.telemetry.memory import PARTS
from tests.solvers.recorded import train

SOLVERS = sorted(registry())


def small(key: str, **settings: Any) -> Solver:
    cls = registry()[key]
    settings = {"rank": 4, "epochs": 3, "workers": 2, **settings}
    low, high = cls.param["workers"].bounds
    settings["workers"] = min(max(settings["workers"], low), high)
    return cls.make(**settings)


@cache
def planted(m: int = 80, n: int = 60, share: float = 0.4) -> Problem:
    """Ratings of a rank-2 structure on the scale of one to five, with little noise."""
    rng = np.random.default_rng(1)
    P, Q = rng.normal(size=(m, 2)), rng.normal(size=(n, 2))
    u, i = np.divmod(rng.permutation(m * n)[: int(share * m * n)], n)
    r = 3.0 + 0.7 * (P[u] * Q[i]).sum(axis=1) + 0.1 * rng.normal(size=len(u))
    return split(Ratings.from_triples(u, i, np.clip(r, 1, 5), name="planted"), holdout=0.15)


def same(a: Factors, b: Factors) -> bool:
    pairs = zip((a.P, a.Q, a.bu, a.bi), (b.P, b.Q, b.bu, b.bi), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def rmse(factors: Factors, ratings: Ratings) -> float:
    error = ratings.r - factors.predict(ratings.u, ratings.i)
    return float(np.sqrt((error**2).mean()))


# --- what is declared ---------------------------------------------------------------------------


def test_every_file_of_solvers_is_found() -> None:
    assert {"als", "dsgd", "fpsgd", "hogwild", "sgd", "strip_sgd"} <= set(SOLVERS)


@pytest.mark.parametrize("key", SOLVERS)
class TestDeclared:
    def test_has_no_blank_in_its_description(self, key: str) -> None:
        cls = registry()[key]
        assert cls.key == key
        assert all((cls.title, cls.paper, cls.equations, cls.backends, cls.__doc__))
        for name in Card.__dataclass_fields__:
            assert len(getattr(cls.card, name)) > 10, f"card.{name} is blank"
        assert len(cls.card.brief) <= 36, "it stands on a line of the drawer"

    def test_is_made_of_bounded_documented_settings(self, key: str) -> None:
        cls = registry()[key]
        assert cls().settings()
        for name, declared in cls.hyper_parameters().items():
            assert declared.doc, f"{name} has no doc"
            if isinstance(declared, param.Number) and not isinstance(declared, param.Boolean):
                low, high = declared.bounds
                assert low is not None, f"{name} has no lower bound"
                assert high is not None, f"{name} has no upper bound"
        assert ("lr" in cls.hyper_parameters()) == cls.has_lr

    def test_refuses_what_it_does_not_know(self, key: str) -> None:
        cls = registry()[key]
        for settings in ({"nonsense": 1}, {"rank": 0}, {"rank": "many"}, {"lam": -1.0}):
            with pytest.raises(ParameterError):
                cls.make(**settings)
        with pytest.raises(ParameterError):
            cls.make(workers=0)
        assert cls().supports(planted(), "abacus")

    def test_takes_what_was_published_for_it(self, key: str) -> None:
        cls = registry()[key]
        for name, settings in cls.published.items():
            assert name.startswith(f"{cls.title}, "), "a name tells the solver and the data"
            made = cls.make(**settings)
            assert made.settings() != cls().settings()

    def test_declares_its_determinism(self, key: str) -> None:
        declared = small(key).determinism("cpu")
        assert declared in ("exact", "exact at 2 workers", "statistical")


# --- what every training does -------------------------------------------------------------------


@pytest.mark.parametrize("key", SOLVERS)
class TestTraining:
    def test_begins_without_an_update(self, key: str) -> None:
        problem = planted()
        solver = small(key)
        with Crew(solver.threads) as crew:
            context = make_context(solver, crew)
            first = next(solver.iterate(problem, context))
            assert (first.kind, first.epoch, first.updates) == ("epoch", 0, 0)
            assert context.factors is not None
            assert context.factors.finite()
            assert context.spans.fill.sum() == 0

    def test_ends_each_epoch_with_its_checkpoint(self, key: str) -> None:
        record = train(small(key), planted())
        ends = [c for c in record.checkpoints if c.kind == "epoch"]
        assert [c.epoch for c in ends] == [0, 1, 2, 3]
        assert record.checkpoints[-1] == ends[-1]
        updates = [c.updates for c in record.checkpoints]
        assert updates == sorted(updates)
        visits = planted().train.nnz * (2 if registry()[key].two_sided else 1)
        if key == "cumf_sgd":  # as many chunks of 128 for each worker as N needs
            visits = -(-visits // 256) * 256
        if key != "fpsgd":  # its epoch is a number of blocks, which differ in size
            assert [c.updates for c in ends] == [0, visits, 2 * visits, 3 * visits]

    def test_spans_add_up_and_do_not_overlap(self, key: str) -> None:
        solver = small(key)
        record = train(solver, planted())
        assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates
        lanes = Counter(s["lane"] for s in record.spans)
        assert set(lanes) <= set(solver.lanes())
        for lane in lanes:
            mine = sorted((s["start_ns"], s["end_ns"]) for s in record.spans if s["lane"] == lane)
            assert all(start <= end for start, end in mine)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))

    @pytest.mark.parametrize("shape", [{}, {"rank": 17, "workers": 3}], ids=str)
    def test_memory_is_what_the_model_says(self, key: str, shape: dict) -> None:
        solver, problem = small(key, **shape), planted()
        record = train(solver, problem)
        model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz)
        assert model.by_part() == record.high_water
        assert model.total_bytes == record.ledger.high_water_bytes
        assert record.ledger.held_bytes == 0
        for part in model.parts:
            assert part.part in PARTS
            assert part.name
            assert part.formula

    def test_leaves_the_problem_alone(self, key: str) -> None:
        problem = planted()
        before = [a.copy() for a in (problem.train.u, problem.train.i, problem.train.r)]
        train(small(key), problem)
        after = (problem.train.u, problem.train.i, problem.train.r)
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    def test_padding_stays_zero(self, key: str) -> None:
        final = train(small(key, rank=5), planted()).final
        assert final.P.shape[1] == final.Q.shape[1] == Factors.width(5)
        assert np.abs(final.P[:, 5:]).max() == np.abs(final.Q[:, 5:]).max() == 0

    def test_the_same_seed_gives_the_same_factors(self, key: str) -> None:
        solver = small(key)
        if solver.determinism() == "statistical":
            solver = small(key, workers=1)
            if solver.determinism() == "statistical":
                pytest.skip("declares itself statistical even with one worker")
        first, second = train(solver, planted()), train(solver, planted())
        assert same(first.initial, second.initial)
        assert same(first.final, second.final)
        other = registry()[key].make(**{**solver.settings(), "seed": 1})
        assert not same(train(other, planted()).final, first.final)

    @pytest.mark.parametrize("chunk", [1, 97])
    def test_chunks_change_no_bit(self, key: str, chunk: int) -> None:
        solver = small(key, workers=1, epochs=2)
        if not solver.determinism().startswith("exact"):
            pytest.skip("declares itself statistical")
        whole, cut = train(solver, planted()), train(solver, planted(), chunk=chunk)
        assert same(whole.final, cut.final)
        assert len(cut.checkpoints) > len(whole.checkpoints)

    def test_workers_change_no_bit_where_it_says_so(self, key: str) -> None:
        solver = small(key, workers=1)
        more = small(key, workers=3)
        if more.determinism() != "exact":
            pytest.skip(f"declares {more.determinism()!r}")
        assert same(train(solver, planted()).final, train(more, planted()).final)

    def test_starts_from_given_factors(self, key: str) -> None:
        start = train(small(key, epochs=1, seed=5), planted()).final
        record = train(small(key, seed=6), planted(), start=start)
        assert same(record.initial, start)
        assert record.final.P is not start.P

    def test_beats_the_mean(self, key: str) -> None:
        """Two planted directions, from a start that knows neither, at a brisk learning rate."""
        problem = planted()
        brisk = {"lr": 0.08, "decay": 0.99, "init_scale": 0.3, "epochs": 60, "lam": 0.02}
        known = registry()[key].hyper_parameters()
        chosen = {name: value for name, value in brisk.items() if name in known}
        final = train(small(key, **chosen), problem).final
        spread = float(np.sqrt(((problem.test.r - problem.train.mean) ** 2).mean()))
        assert rmse(final, problem.test) < 0.8 * spread


# --- odd problems -------------------------------------------------------------------------------

ODD: dict[str, tuple[Any, Any, Any]] = {
    "one rating": ([0], [0], [3.0]),
    "one user": ([0] * 30, range(30), [1, 2, 3, 4, 5] * 6),
    "one item": (range(30), [0] * 30, [1, 2, 3, 4, 5] * 6),
    "constant": (*np.divmod(np.arange(60), 6), [3.0] * 60),
    "zeros": (*np.divmod(np.arange(60), 6), [0.0] * 60),
    "negative": (*np.divmod(np.arange(60), 6), np.tile([-9.5, -2.0, 4.0], 20)),
    "repeated": ([0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 0], [1.0, 2.0, 3.0, 4.0, 5.0, 1.0]),
}


@pytest.mark.parametrize("rank", [1, 40])
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("key", SOLVERS)
def test_odd_problems_are_trained(key: str, name: str, rank: int) -> None:
    """One user, one item, constant ratings, rank above the number of users, and the like."""
    problem = split(Ratings.from_triples(*ODD[name]), holdout=0.0)
    solver = small(key, rank=rank, workers=3)
    reason = solver.supports(problem)
    if reason is not None:
        pytest.skip(reason)
    record = train(solver, problem)
    assert record.final.finite()
    assert sum(s["ratings"] for s in record.spans) == record.checkpoints[-1].updates
    error = rmse(record.final, problem.train)
    assert math.isfinite(error)
    assert error <= rmse(record.initial, problem.train) + 0.5


def test_a_wrong_index_never_reaches_a_kernel() -> None:
    ids = np.arange(3)
    for u, i in (([0, 3], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 7]), ([0, 1], [-2, 0])):
        wrong = Ratings(np.array(u, np.int32), np.array(i, np.int32), np.ones(2, "f4"), ids, ids)
        with pytest.raises(DataError, match="number"):
            Problem(wrong, wrong)

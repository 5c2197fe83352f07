from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

import mfviz
from mfviz.api import as_ratings
from mfviz.errors import DataError, MfvizError, ParameterError, UnsupportedError

Triple = tuple[Any, Any, Any]
QUICK: dict[str, Any] = {"solver": "als", "rank": 3, "epochs": 4, "workers": 2, "progress": False}


@pytest.fixture
def triple(rng: np.random.Generator) -> Triple:
    """Ratings of 30 users for 20 items, with gaps in the ids."""
    u, i = np.divmod(rng.choice(600, 300, replace=False), 20)
    taste, kind = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
    r = 3 + (taste[u] * kind[i]).sum(1)
    return 10 * u + 7, 100 * i + 3, r


def test_every_kind_of_input_gives_the_same_ratings(triple: Triple) -> None:
    u, i, r = triple
    frame = pd.DataFrame({"when": 0, "movieId": i, "user_id": u, "Rating": r})
    bare = pd.DataFrame({"a": u, "b": i, "c": r})
    wanted = as_ratings(triple)
    for given in (wanted, list(triple), frame, bare):
        found = as_ratings(given)
        assert np.array_equal(found.user_ids[found.u], u)
        assert np.array_equal(found.item_ids[found.i], i)
        assert np.allclose(found.r, r)


class Handed:
    """A frame of which nothing is known but that it hands its columns to Arrow, as polars does."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_frames_of_other_libraries_come_through_arrow(triple: Triple) -> None:
    u, i, r = triple
    wanted = as_ratings(triple)
    table = pa.table({"when": i, "movieId": i, "user_id": u, "Rating": r, "timestamp": u})
    frames = [table, Handed(table)]
    if importlib.util.find_spec("polars"):
        frames.append(importlib.import_module("polars").from_arrow(table))
    for given in frames:
        found = as_ratings(given)
        assert np.array_equal(found.u, wanted.u)
        assert np.array_equal(found.r, wanted.r)
        assert np.array_equal(found.item_ids, wanted.item_ids)
        assert found.times is not None
        assert np.array_equal(found.times, u)
    words = table.set_column(2, "user_id", pa.array(u).cast(pa.string()))
    assert set(as_ratings(words).user_ids) == set(u)
    with pytest.raises(DataError, match="row 2: found no value in the column 'user_id'"):
        as_ratings(pa.table({"user_id": [1, None], "item": [1, 2], "rating": [1, 2]}))


def test_categories_are_ids_and_what_arrow_cannot_take_is_told(triple: Triple) -> None:
    u, i, r = triple
    codes = pa.array(u).cast(pa.string()).dictionary_encode()
    views = pa.DictionaryArray.from_arrays(codes.indices, codes.dictionary.cast(pa.string_view()))
    for users in (views, codes, pa.array(u).dictionary_encode()):
        found = as_ratings(Handed(pa.table({"user": users, "item": i, "rating": r})))
        assert found.user_ids[found.u].astype(np.int64).tolist() == u.tolist()
    with pytest.raises(DataError, match="Arrow makes no table"):
        as_ratings(Handed(pa.chunked_array([pa.array(u)])))


def test_columns_that_were_not_clear_are_told(triple: Triple) -> None:
    u, i, r = triple
    twice = pd.DataFrame({"user": u, "userId": u, "item": i, "rating": r})
    for frame in (pd.DataFrame({"a": u, "b": i, "rating": r}), twice):
        for given in (frame, pa.Table.from_pandas(frame)):
            (told,) = as_ratings(given).notices
            assert told.startswith("Columns read as user, item and rating: ")
    assert as_ratings(twice[["user", "item", "rating"]]).notices == ()


def test_columns_of_a_frame_can_be_chosen(triple: Triple) -> None:
    u, i, r = triple
    frame = pd.DataFrame({"a": 0, "b": i, "c": u, "d": r, "e": pd.to_datetime(u, unit="s")})
    for given in (frame, pa.Table.from_pandas(frame)):
        found = as_ratings(given, columns=("c", "b", "d", "e"))
        assert np.array_equal(found.user_ids[found.u], u)
        assert found.times is not None
        assert np.array_equal(found.times, u)
        with pytest.raises(DataError, match="found the columns a, b, c, d, e"):
            as_ratings(given)


@pytest.mark.parametrize("kind", [sparse.coo_matrix, sparse.csr_matrix, sparse.csc_array])
def test_sparse_matrices_keep_row_and_column_numbers(triple: Triple, kind: Any) -> None:
    u, i, r = triple
    matrix = kind((r, (u, i)), shape=(400, 3000))
    found = as_ratings(matrix)
    assert found.nnz == 300
    order = np.lexsort((found.item_ids[found.i], found.user_ids[found.u]))
    wanted = np.lexsort((i, u))
    assert np.array_equal(found.user_ids[found.u][order], u[wanted])
    assert np.allclose(found.r[order], r[wanted])


def test_a_stored_zero_is_a_rating() -> None:
    matrix = sparse.coo_matrix(([0.0, 5.0], ([0, 1], [0, 1])), shape=(2, 2))
    assert as_ratings(matrix).nnz == 2


def test_result_speaks_the_users_ids(triple: Triple) -> None:
    u, i, r = triple
    users = np.array([f"user-{x}" for x in u])
    result = mfviz.factorize((users, i, r), **QUICK)
    assert result.status == "done"
    assert result.P.shape == (len(np.unique(u)), 3)
    assert result.Q.shape == (len(np.unique(i)), 3)
    error = np.sqrt(np.mean((result.predict(users, i) - r) ** 2))
    assert error == pytest.approx(result.history["train_rmse"].iloc[-1], rel=1e-4)
    mean = result.predict(["nobody"], [i[0]])
    assert mean == pytest.approx(np.mean(r), rel=1e-5)


def test_history_has_a_row_an_epoch(triple: Triple) -> None:
    result = mfviz.factorize(triple, **QUICK)
    assert list(result.history.columns) == [
        "epoch", "updates", "solve_s", "eval_s", "wall_s", "train_rmse", "test_rmse", "objective",
    ]  # fmt: skip
    assert list(result.history["epoch"]) == [0, 1, 2, 3, 4]
    assert result.history["test_rmse"].isna().all()
    assert result.history["train_rmse"].is_monotonic_decreasing


def test_a_test_set_is_reported_and_what_cannot_be_predicted_is_set_aside(triple: Triple) -> None:
    u, i, r = triple
    test = (np.append(u[:5], 9999), np.append(i[:5], i[0]), np.append(r[:5], 3.0))
    result = mfviz.factorize(triple, test=test, **QUICK)
    assert result.problem.set_aside == 1
    assert np.isfinite(result.history["test_rmse"]).all()
    wanted = np.sqrt(np.mean((result.predict(u[:5], i[:5]) - r[:5]) ** 2))
    assert result.history["test_rmse"].iloc[-1] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("way", "held_out"), [(0.25, 0.25), ("random", 0.1), ("random-0.2", 0.2), ("leave-1", None)]
)
def test_what_is_held_out_is_chosen_in_a_word(
    triple: Triple, way: str | float, held_out: float | None
) -> None:
    result = mfviz.factorize(triple, split=way, **QUICK)
    problem, users = result.problem, len(np.unique(triple[0]))
    count = users if held_out is None else round(held_out * len(triple[0]))
    assert problem.test.nnz + problem.set_aside == count
    assert np.isfinite(result.history["test_rmse"]).all()


def test_a_problem_is_taken_as_it_was_split(triple: Triple) -> None:
    problem = mfviz.split(as_ratings(triple), holdout=0.2, seed=5)
    result = mfviz.factorize(problem, **QUICK)
    assert result.problem is problem
    assert np.isfinite(result.history["test_rmse"].iloc[-1])
    with pytest.raises(ParameterError, match="split already; leave test out"):
        mfviz.factorize(problem, test=triple, **QUICK)
    with pytest.raises(ParameterError, match="split already; leave split out"):
        mfviz.factorize(problem, split=0.1, **QUICK)


def test_ways_to_hold_out_that_do_not_suit(triple: Triple) -> None:
    for way, says in (("moon", "it must be random"), ("official", "as test"), (1.5, "below 1")):
        with pytest.raises(ParameterError, match=says):
            mfviz.factorize(triple, split=way, **QUICK)
    with pytest.raises(DataError, match="no times"):
        mfviz.factorize(triple, split="time", **QUICK)
    with pytest.raises(ParameterError, match="exclude each other"):
        mfviz.factorize(triple, test=triple, split=0.1, **QUICK)


def test_the_same_seed_gives_the_same_factors(triple: Triple) -> None:
    first, again = (mfviz.factorize(triple, seed=4, **QUICK) for _ in range(2))
    assert np.array_equal(first.P, again.P)
    other = mfviz.factorize(triple, seed=5, **QUICK)
    assert not np.array_equal(first.P, other.P)


def test_nothing_given_is_changed(triple: Triple) -> None:
    copies = [array.copy() for array in triple]
    mfviz.factorize(triple, **QUICK)
    for array, copy in zip(triple, copies, strict=True):
        assert np.array_equal(array, copy)
        assert array.flags.writeable


def test_settings_of_the_solver_are_taken_and_checked(triple: Triple) -> None:
    result = mfviz.factorize(triple, lam=0.3, **QUICK)
    assert result.tables.params["lam"] == 0.3
    with pytest.raises(ParameterError, match="no setting 'regularisation'"):
        mfviz.factorize(triple, regularisation=0.3, **QUICK)
    with pytest.raises(ParameterError, match="rank is 0"):
        mfviz.factorize(triple, **{**QUICK, "rank": 0})
    with pytest.raises(ParameterError, match="no solver is called 'svd'"):
        mfviz.factorize(triple, **{**QUICK, "solver": "svd"})
    with pytest.raises(UnsupportedError, match="cuda"):
        mfviz.factorize(triple, backend="cuda", **QUICK)


def test_a_solver_that_raises_is_an_error_with_its_reason(
    triple: Triple, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfviz.solvers.base import solver_class

    def broken(*args: object) -> float:
        raise ZeroDivisionError("nothing left")

    monkeypatch.setattr(solver_class("als"), "objective", broken)
    with pytest.raises(MfvizError, match=r"als failed.*nothing left"):
        mfviz.factorize(triple, **QUICK)


def test_a_result_is_saved_and_read_again(triple: Triple, tmp_path: Any) -> None:
    from mfviz.experiments.store import open_run

    result = mfviz.factorize(triple, **QUICK)
    again = open_run(result.save(tmp_path / "run.mfviz"))
    assert np.array_equal(again.array("P"), result.factors.P[:, :3])
    assert again.history().frame().equals(result.history)


def test_progress_goes_to_standard_error_only(
    triple: Triple, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfviz.progress.DELAY_S", 0)
    mfviz.factorize(triple, **{**QUICK, "progress": True})
    out, err = capfd.readouterr()
    assert out == ""
    assert "als" in err
    mfviz.factorize(triple, **QUICK)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "needle"),
    [
        ("ratings.csv", "mfviz.load"),
        (np.zeros((4, 3)), r"an array of shape \(4, 3\)"),
        (([1, 2], [1, 2]), "tuple"),
        (([1, 2], [1, 2], [3.0]), "one entry for each rating"),
        (([1, 2], [1, 2], [3.0, np.nan]), "finite"),
        (([], [], []), "no rating"),
        (pd.DataFrame({"who": [1], "what": [2], "stars": [3], "when": [4]}), "user or item"),
        (None, "NoneType"),
    ],
    ids=["a path", "a dense array", "two arrays", "lengths", "nan", "empty", "columns", "none"],
)
def test_what_is_no_rating_set_is_refused_in_words(given: Any, needle: str) -> None:
    with pytest.raises(DataError, match=needle):
        mfviz.factorize(given, **QUICK)


def test_load_takes_files_and_names(tmp_path: Any) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("ann\ttotoro\t4.5\nbob\tkiki\t3\n", encoding="utf-8")
    ratings = mfviz.load(path)
    assert sorted(ratings.user_ids) == ["ann", "bob"]
    assert mfviz.load(str(path)).nnz == 2
    assert mfviz.load("toy").nnz > 100
    with pytest.raises(DataError, match="nothing-here"):
        mfviz.load("nothing-here")

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError
from mfviz.experiments.result import Result
from mfviz.experiments.run import Run
from mfviz.experiments.store import open_run
from mfviz.solvers.base import Context, Factors
from mfviz.telemetry.log import EventLog
from tests.fakes import ScriptedSolver, tiny_problem


def fill(context: Context) -> None:
    assert context.factors is not None
    rng = np.random.default_rng(1)
    for array in (context.factors.P, context.factors.Q):
        array[:, :2] = rng.normal(size=(len(array), 2))
    context.factors.bu[:] = rng.normal(size=len(context.factors.bu))
    context.factors.scale = 2.0


def named() -> Problem:
    rng = np.random.default_rng(0)
    u, i = np.divmod(rng.choice(12 * 8, 60, replace=False), 8)
    users = np.array([f"user {k}" for k in range(12)])[u]
    return split(Ratings.from_triples(users, i * 10, rng.integers(1, 6, 60)), holdout=0.2)


@pytest.fixture(scope="module")
def result() -> Result:
    run = Run(named(), ScriptedSolver({1: fill}, epochs=2))
    run.execute()
    return run.result()


def test_factors_are_in_the_units_of_the_ratings(result: Result) -> None:
    train = result.problem.train
    assert result.P.shape == (train.n_users, 2)
    assert result.Q.shape == (train.n_items, 2)
    expected = result.factors.predict(train.u, train.i)
    dots = np.einsum("ij,ij->i", result.P[train.u], result.Q[train.i])
    found = result.mu + result.bu[train.u] + result.bi[train.i] + dots
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_predictions_take_the_users_own_ids(result: Result) -> None:
    train = result.problem.train
    users, items = train.user_ids[train.u], train.item_ids[train.i]
    assert result.predict(users, items) == pytest.approx(result.factors.predict(train.u, train.i))
    assert result.predict(users[0], items[:3]).shape == (3,)
    assert result.predict(str(users[0]), int(items[0])).shape == ()


@pytest.mark.parametrize("user", ["nobody", "", "user 99"])
def test_the_unseen_get_the_training_mean(result: Result, user: str) -> None:
    item = result.problem.train.item_ids[0]
    mean = result.problem.train.mean
    assert result.predict([user], [item]) == pytest.approx(mean)
    assert result.predict([result.problem.train.user_ids[0]], [12345]) == pytest.approx(mean)
    assert result.predict([12345], [item]) == pytest.approx(mean)  # a number among names


def test_ids_of_any_form_are_found(result: Result) -> None:
    """Files may hold ids as text that a caller has as numbers, and callers may have gaps."""
    train = result.problem.train
    user, items = train.user_ids[2], train.item_ids
    wanted = result.predict([user] * 3, items[:3])
    assert result.predict(user, items[:3].astype(str)) == pytest.approx(wanted)
    assert result.predict(user, items[:3].astype(np.uint64)) == pytest.approx(wanted)
    mixed = np.array([items[0], None, items[2], 0.5, float("nan")], dtype=object)
    mean = train.mean
    assert result.predict(user, mixed) == pytest.approx([wanted[0], mean, wanted[2], mean, mean])
    with pytest.raises(DataError, match=r"shape \(2,\) and items of shape \(3,\)"):
        result.predict([user, user], items[:3])


def test_tables_are_data_frames(result: Result) -> None:
    assert list(result.history["epoch"]) == [0, 1, 2]
    assert set(result.spans["lane"]) == {"W0", "W1"}
    assert result.memory["held_bytes"].iloc[-1] == 0
    assert set(result.seconds) == {"setup_s", "compile_s", "solve_s", "eval_s", "wall_s"}
    assert result.best_test_rmse == result.history["test_rmse"].min()
    assert (result.status, result.reason, result.fix) == ("done", "", "")


@pytest.mark.parametrize("arrays", [True, False])
def test_saved_without_a_folder_and_read_back(
    result: Result, tmp_path: Path, arrays: bool
) -> None:
    path = result.save(str(tmp_path / "run.mfviz"), arrays=arrays)
    again = open_run(path)
    assert again.history().epochs == result.tables.epochs
    assert again.history().fingerprint == result.problem.fingerprint
    if arrays:
        assert np.array_equal(again.array("P"), result.factors.P[:, :2])
    assert list(tmp_path.iterdir()) == [path]


def test_a_notebook_gets_text_a_png_and_svg(result: Result) -> None:
    bundle = result._repr_mimebundle_()
    assert "test RMSE" in bundle["text/plain"]
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert image.format == "PNG"
    assert len(image.convert("RGB").getcolors() or []) > 2
    svg, _, words = bundle["text/html"].partition("<p>")
    root = ElementTree.fromstring(svg)
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 3]
    assert root.attrib["role"] == "img"
    assert words.startswith(bundle["text/plain"][:10])


def test_a_run_shows_itself_while_it_waits_and_when_it_is_over() -> None:
    run = Run(tiny_problem(), ScriptedSolver())
    assert set(run._repr_mimebundle_()) == {"text/plain"}
    run.execute()
    assert set(run._repr_mimebundle_()) == {"text/plain", "image/png", "text/html"}
    assert run.id in repr(run)


def test_a_diverged_run_is_drawn_up_to_its_last_number() -> None:
    def spoil(context: Context) -> None:
        assert context.factors is not None
        context.factors.P[:] = math.nan

    run = Run(tiny_problem(), ScriptedSolver({2: spoil}))
    run.execute()
    bundle = run.result()._repr_mimebundle_()
    assert "nan" not in bundle["text/html"].partition("<rect")[2].partition("<p>")[0]
    assert "diverged" in bundle["text/plain"]


def test_names_are_escaped_in_html() -> None:
    solver: Any = type("S", (ScriptedSolver,), {"title": "<b>&"})
    run = Run(tiny_problem(), solver())
    run.execute()
    html = run.result()._repr_mimebundle_()["text/html"]
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;" in html


def test_a_problem_without_ids_of_one_kind_still_predicts() -> None:
    problem = tiny_problem()
    zeros = [np.zeros((k, 16), np.float32) for k in (problem.n_users, problem.n_items)]
    ones = [np.ones(k, np.float32) for k in (problem.n_users, problem.n_items)]
    result = Result(problem, Factors(zeros[0], zeros[1], ones[0], ones[1], 2), EventLog("r"))
    assert result.predict(problem.train.user_ids[3], [problem.train.item_ids[0], -7]) == (
        pytest.approx([2.0, problem.train.mean])
    )

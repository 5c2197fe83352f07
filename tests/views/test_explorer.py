"""The explorer from code: run, table, the code and the address that repeat it, a saved run."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import pytest

from mfviz.errors import MfvizError, ParameterError
from mfviz.experiments.store import open_run
from mfviz.views.explorer import Explorer

# bokeh 3.9 calls DataFrame.reset_index(inplace=True), which pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


@pytest.fixture(scope="module")
def ran():
    explorer = Explorer(data="toy", solver="sgd", compare="als", rank=4, epochs=4, b_epochs=3)
    explorer.view.session.set_pace(100.0)
    for run in explorer.run():
        assert run.wait(120)
    return explorer


def test_it_shows_itself():
    assert isinstance(pn.panel(Explorer()), pn.viewable.Viewable)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"foo": 1}, "'foo' is no setting of sgd."),
        ({"b_lam": 0.1}, "'b.lam' is no setting of sgd."),
        ({"compare": "als", "b_lr": 0.1}, "'b.lr' is no setting of sgd or als."),
        ({"rank": -3}, "rank is -3; it must be a whole number from 1 to 4096."),
        ({"rank": 100_000}, "rank is 100000; it must be a whole number from 1 to 4096."),
        ({"lam": "much"}, "lam is much; it must be"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"solver": "magic"}, "No solver is called 'magic'; there are als, "),
        ({"compare": "magic"}, "No solver is called 'magic'"),
        ({"backend": "tpu"}, "backend is tpu"),
    ],
)
def test_a_setting_that_the_page_would_mend_is_refused_in_code(given: dict[str, Any], words: str):
    with pytest.raises(ParameterError) as refused:
        Explorer(**given)
    assert str(refused.value).startswith(words)


def test_settings_of_the_page_are_taken_in_code():
    explorer = Explorer(compare="als", b_lam=0.2, pace=5, tab="timeline", split="time")
    explorer.view.desk.complete()
    assert explorer.view.desk.notices == []
    assert "mfviz.make_solver('als', problem, rank=16, lam=0.2" in explorer.code()


def test_runs_are_a_table(ran):
    table = ran.runs
    assert list(table["run"]) == ["A", "B"]
    assert list(table["solver"]) == ["sgd", "als"]
    assert list(table["status"]) == ["done", "done"]
    assert list(table["epochs"]) == [4, 3]


def test_the_code_repeats_the_run(ran):
    outcome = subprocess.run(
        [sys.executable, "-c", ran.code()], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    repeated = [float(line) for line in outcome.stdout.split()]
    assert repeated == list(ran.runs["best_test_rmse"])


def test_the_address_carries_the_settings(ran):
    url = ran.url("http://localhost/explorer")
    assert url.startswith("http://localhost/explorer?")
    for part in ("data=toy", "solver=sgd", "compare=als", "rank=4", "b.epochs=3"):
        assert part in url
    assert "run=" not in url


def test_a_saved_run_opens(ran, tmp_path):
    written = ran.save(tmp_path / "mine.mfviz")
    assert [path.name for path in written] == ["mine.mfviz", "mine-b.mfviz"]
    assert [open_run(path).history().solver for path in written] == ["sgd", "als"]


def test_ratings_in_memory_are_trained_and_the_code_takes_them():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"user": rng.integers(0, 30, 400), "item": rng.integers(0, 20, 400),
         "rating": rng.integers(1, 6, 400)}
    )  # fmt: skip
    explorer = Explorer(data=frame, solver="als", rank=2, epochs=2)
    (run,) = explorer.run()
    assert run.wait(120)
    assert run.problem.train.nnz + run.problem.test.nnz + run.problem.set_aside == 400
    names: dict[str, Any] = {"ratings": frame}
    exec(compile(explorer.code(), "code", "exec"), names)
    assert names["a"].result().best_test_rmse == explorer.runs["best_test_rmse"].iloc[0]
    with pytest.raises(MfvizError, match="only in memory"):
        explorer.url()
    with pytest.raises(MfvizError, match="give Ratings"):
        Explorer(data=7)


def test_wrong_settings_say_so():
    with pytest.raises(MfvizError, match="nowhere"):
        Explorer(data="nowhere").run()
    with pytest.raises(MfvizError, match="No run has ended"):
        Explorer().save("x.mfviz")


def test_the_theme_can_be_changed():
    explorer = Explorer()
    explorer.theme = "dark"
    assert explorer.view.board.rmse.theme == "dark"


def test_it_is_dark_from_the_start():
    view = Explorer(theme="dark").view
    assert {figure.theme for figure in view.board.figures} == {"dark"}
    assert view.query()["theme"] == "dark"


def test_an_output_keeps_the_looks_of_its_figures():
    """Material gives its own to all figures below a wrapper of its own."""
    shown = Explorer(theme="dark").__panel__()
    assert shown._design._wrapper(shown) is shown

"""Viewers: one figure of anything that is a run."""

from __future__ import annotations

import panel as pn
import pytest

from mfviz.errors import ParameterError, RunFileError
from mfviz.experiments.run import Run
from mfviz.views.headless import HeadlessHost
from mfviz.views.viewers import MemoryPlot, RMSEPlot, TimelinePlot
from tests.fakes import ScriptedSolver, make_history, tiny_problem

VIEWERS = [RMSEPlot, TimelinePlot, MemoryPlot]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    finished = Run(
        tiny_problem(), ScriptedSolver(epochs=3), folder=tmp_path_factory.mktemp("run") / "r"
    )
    finished.execute()
    return finished


@pytest.mark.parametrize("viewer", VIEWERS)
def test_shows_itself(viewer, run):
    made = viewer(run)
    assert isinstance(pn.panel(made), pn.viewable.Viewable)
    assert len(made.figure.source.data["run"]) > 0
    assert not made.following


def test_takes_a_run_a_result_a_history_a_record_and_a_path(run):
    from mfviz.experiments.store import open_run

    record = open_run(run.folder)
    sources = [run, run.result(), record.history(), record, run.folder, str(run.folder)]
    rows = {len(RMSEPlot(source).figure.source.data["epoch"]) for source in sources}
    assert rows == {4}


def test_two_runs_are_compared(run):
    made = RMSEPlot(run, make_history(run="other"), x_axis="updates", theme="dark")
    assert set(made.figure.source.data["run"]) == {"A", "B"}
    assert made.figure.x_axis == "updates"
    assert made.figure.theme == "dark"


def test_follows_a_run_until_it_ends():
    run = Run(tiny_problem(), ScriptedSolver(epochs=3))
    host = HeadlessHost()
    made = RMSEPlot(run, host=host)
    looked = made.following
    assert len(made.figure.source.data["epoch"]) == 0
    run.execute()
    host.advance(0.3)
    assert list(made.figure.source.data["epoch"]) == [0, 1, 2, 3]
    assert (looked, made.following) == (True, False)
    assert host.idle


def test_closing_the_place_stops_the_looking():
    run = Run(tiny_problem(), ScriptedSolver(epochs=1))
    host = HeadlessHost()
    made = TimelinePlot(run, host=host)
    host.close()
    assert not made.following
    assert run.status == "queued"


@pytest.mark.parametrize("wrong", [3, None, [1, 2]])
def test_what_is_no_run_is_refused(wrong):
    with pytest.raises(ParameterError, match="is no run"):
        RMSEPlot(wrong)


@pytest.mark.parametrize("count", [0, 6])
def test_one_to_five_runs(count):
    with pytest.raises(ParameterError, match="one to 5"):
        RMSEPlot(*[make_history() for _ in range(count)])


def test_a_path_that_is_no_run_says_so(tmp_path):
    with pytest.raises(RunFileError):
        MemoryPlot(tmp_path / "nothing.mfviz")


@pytest.mark.parametrize("viewer", VIEWERS)
def test_it_is_as_wide_as_its_cell_and_has_a_height_of_its_own(viewer, run, caplog):
    made = viewer(run)
    root = pn.panel(made).get_root()
    assert root.sizing_mode == made.figure.figure.sizing_mode == "stretch_width"
    assert made.figure.figure.height >= 40
    assert not caplog.records


def test_the_height_of_curves_can_be_chosen(run):
    assert RMSEPlot(run).figure.figure.height == 300
    assert RMSEPlot(run, height=500).figure.figure.height == 500

"""CPU or CUDA: offered where a solver has both, disabled with its reason, passed on to the run."""

from __future__ import annotations

import pytest

from mfviz.views import launch as launching
from mfviz.views.controls import Drawer
from tests.views.stage import Stage, make_desk


@pytest.fixture
def with_cuda(monkeypatch):
    """A device with room for everything."""
    monkeypatch.setattr("mfviz.backends.cuda.why_not", lambda: None)
    monkeypatch.setattr("mfviz.backends.cuda.free_bytes", lambda index=0: 10**9)


@pytest.fixture
def without(monkeypatch):
    monkeypatch.setattr("mfviz.backends.cuda.why_not", lambda: "There is no driver: install one.")


def drawer_of(**defaults):
    stage = Stage(**defaults)
    return Drawer(stage.session), stage


@pytest.mark.usefixtures("without")
def test_what_cannot_be_used_is_disabled_and_says_why():
    drawer, _ = drawer_of(solver="msgd", compare="ccd")
    where = drawer.backends["A"]
    assert drawer.room["A"].visible
    assert where.options == ["CPU", "CUDA"]
    assert where.disabled_options == ["CUDA"]
    assert where.helper_text == "There is no driver: install one."
    assert where.value == "CPU"
    assert not drawer.room["B"].visible, "ccd runs on the CPU only"
    assert "B" not in drawer.backends, "nothing is made that nobody needs"


@pytest.mark.usefixtures("without")
def test_a_reason_that_both_have_is_told_once():
    drawer, _ = drawer_of(solver="msgd", compare="ds_sgd_d")
    assert drawer.backends["A"].helper_text == "There is no driver: install one."
    assert drawer.backends["B"].helper_text == "CUDA: as above."


@pytest.mark.usefixtures("with_cuda")
def test_a_choice_reaches_desk_address_and_check():
    drawer, stage = drawer_of(solver="msgd", compare="")
    drawer.backends["A"].value = "CUDA"
    stage.host.advance(0.5)
    desk = stage.desk
    assert desk.settings.backend("A") == "cuda"
    assert desk.query()["backend"] == "cuda"
    assert [backend for _, (_, backend) in desk.solvers()] == ["cuda"]
    assert "on the device" in desk.preflight().sentence
    desk.choose_solver("A", "ccd")
    drawer.refresh()
    assert not drawer.room["A"].visible
    assert "on the device" not in desk.preflight().sentence


@pytest.mark.usefixtures("with_cuda")
def test_what_does_not_fit_on_the_device_is_refused_before_the_run(monkeypatch):
    monkeypatch.setattr("mfviz.backends.cuda.free_bytes", lambda index=0: 1000)
    desk = make_desk("solver=msgd&compare=none&backend=cuda")
    check = desk.preflight()
    assert not check.ready
    assert "needs" in check.sentence
    assert "on the device" in check.sentence


def test_runs_of_one_backend_are_one_job(monkeypatch):
    jobs: list[list[str]] = []

    class FakeRun:
        def __init__(self, problem, solver, *, backend, **more):
            self.backend, self.solver = backend, solver

    class FakePool:
        def submit(self, runs):
            jobs.append([run.solver for run in runs])

    monkeypatch.setattr("mfviz.experiments.run.Run", FakeRun)
    monkeypatch.setattr("mfviz.experiments.pool.pool", FakePool)
    monkeypatch.setattr("mfviz.experiments.store.new_folder", lambda name: None)
    runs = launching.launch(None, [("a", "cpu"), ("b", "cpu")], 5.0)
    assert [run.solver for run in runs] == ["a", "b"]
    launching.launch(None, [("a", "cuda"), ("b", "cpu")], 5.0)
    assert jobs == [["a", "b"], ["a"], ["b"]]

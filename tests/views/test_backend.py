"""CPU or CUDA: offered where a solver has both, disabled with its reason, passed on to the run."""

from __future__ import annotations

import pytest

from mfviz.backends import cuda
from mfviz.backends.device import chosen
from mfviz.errors import ParameterError
from mfviz.views import launch as launching
from mfviz.views import places
from mfviz.views.controls import Drawer
from tests.views.stage import Stage, make_desk


@pytest.fixture
def with_cuda(monkeypatch):
    """A device with room for everything."""
    monkeypatch.setattr("mfviz.backends.cuda.why_not", lambda: None)
    monkeypatch.setattr("mfviz.backends.cuda.free_bytes", lambda index=0: 10**9)
    devices(monkeypatch, "GPU")
    yield
    places._devices.cache_clear()


@pytest.fixture
def with_two(with_cuda, monkeypatch):
    """Two devices, of which the first has no room."""
    devices(monkeypatch, "small GPU", "large GPU")
    sizes = {0: 1000, 1: 10**9}
    monkeypatch.setattr("mfviz.backends.cuda.free_bytes", lambda: sizes[chosen()])


def devices(monkeypatch, *names):
    found = [cuda.Found(at, name, (9, 0), 10**9) for at, name in enumerate(names)]
    monkeypatch.setattr("mfviz.backends.cuda.devices", lambda: found)
    places._devices.cache_clear()


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
    assert [place for _, (_, *place) in desk.solvers()] == [["cuda", 0]]
    assert "A" not in drawer.devices, "there is no choice"
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


@pytest.mark.usefixtures("with_two")
def test_a_device_is_chosen_where_there_are_several():
    drawer, stage = drawer_of(solver="msgd", compare="ds_sgd_c")
    assert "A" not in drawer.devices, "the CPU has none"
    drawer.backends["A"].value = "CUDA"
    stage.host.advance(0.5)
    drawer.refresh()
    which = drawer.devices["A"]
    assert which.visible
    assert which.options == ["0 · small GPU", "1 · large GPU"]
    assert which.value == "0 · small GPU"
    assert not stage.desk.preflight().ready
    which.value = "1 · large GPU"
    stage.host.advance(0.5)
    assert stage.desk.preflight().ready, "there it fits"
    assert [place for _, (_, *place) in stage.desk.solvers()] == [["cuda", 1], ["cpu", 0]]
    address = stage.desk.query()
    assert (address["backend"], address["device"]) == ("cuda", "1")
    assert "b.device" not in address
    drawer.backends["A"].value = "CPU"
    stage.host.advance(0.5)
    drawer.refresh()
    assert not which.visible
    assert "device" not in stage.desk.query()


@pytest.mark.usefixtures("with_two")
def test_a_device_of_the_address_is_taken_or_refused_with_what_there_is():
    desk = make_desk("solver=msgd&backend=cuda&compare=ds_sgd_d&b.backend=cuda&b.device=1")
    settings = desk.settings
    assert (settings.where.device("A"), settings.where.device("B")) == (0, 1)
    assert settings.query()["b.device"] == "1"
    (notice,) = settings.read({"solver": "msgd", "backend": "cuda", "device": "7"})
    assert notice == "device is 7; there is 0 (small GPU), 1 (large GPU). 0 is used."
    (notice,) = settings.read({"solver": "msgd", "backend": "cpu", "device": "1"})
    assert notice == "device is 1; cpu has no choice of them. 0 is used."
    with pytest.raises(ParameterError, match="device is -1"):
        settings.where.choose_device("A", -1)


def test_runs_of_one_device_are_one_job(monkeypatch):
    jobs: list[list[str]] = []

    class FakeRun:
        def __init__(self, problem, solver, *, backend, device, **more):
            self.backend, self.device, self.solver = backend, device, solver

    class FakePool:
        def submit(self, runs):
            jobs.append([run.solver for run in runs])

    monkeypatch.setattr("mfviz.experiments.run.Run", FakeRun)
    monkeypatch.setattr("mfviz.experiments.pool.pool", FakePool)
    monkeypatch.setattr("mfviz.experiments.store.new_folder", lambda name: None)
    runs = launching.launch(None, [("a", "cpu", 0), ("b", "cpu", 0)], 5.0)
    assert [run.solver for run in runs] == ["a", "b"]
    launching.launch(None, [("a", "cuda", 0), ("b", "cpu", 0)], 5.0)
    launching.launch(None, [("a", "cuda", 0), ("b", "cuda", 1)], 5.0)
    assert jobs == [["a", "b"], ["a"], ["b"], ["a"], ["b"]]
    assert [run.device for run in runs] == [0, 0]

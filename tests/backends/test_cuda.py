"""Which CUDA devices there are, and the words for why there are none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from mfviz.backends import cuda
from mfviz.errors import UnsupportedError
from mfviz.kernels.cuda import target
from mfviz.solvers.base import registry


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    registry()  # kernels are made with what is installed: they are to be imported before
    monkeypatch.setattr(target, "installed", True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def test_without_numba_cuda_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "installed", False)
    assert "pip install 'mfviz[cuda13]'" in (cuda.why_not() or "")
    assert cuda.devices() == []
    assert cuda.free_bytes() is None


def test_a_numpy_that_it_cannot_compile_with_is_told(installed: pytest.MonkeyPatch) -> None:
    installed.delattr(np, "row_stack")
    assert f"NumPy {np.__version__}" in (cuda.why_not() or "")
    assert "pip install 'numpy<2.5'" in (cuda.why_not() or "")


def test_without_a_driver_it_says_so(installed: pytest.MonkeyPatch) -> None:
    error = "\nCUDA driver library cannot be found.\n:"
    installed.setattr(cuda, "_driver_error", lambda: error)
    assert cuda.why_not() == (
        "No NVIDIA driver can be used (CUDA driver library cannot be found): install one, or use "
        "the CPU."
    )
    with pytest.raises(UnsupportedError, match="install one"):
        cuda.open_driver()


def test_a_driver_without_a_device_is_another_thing(installed: pytest.MonkeyPatch) -> None:
    error = "Call to cuInit results in CUDA_ERROR_NO_DEVICE"
    installed.setattr(cuda, "_driver_error", lambda: error)
    assert "finds no device: use the CPU" in (cuda.why_not() or "")
    installed.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES is ''" in (cuda.why_not() or "")


def test_what_fits_is_known_before_a_run(installed: pytest.MonkeyPatch) -> None:
    from tests.solvers.replay import problem_of

    installed.setattr(cuda, "_driver_error", lambda: None)
    for free, fits in ((1 << 30, True), (1000, False)):
        installed.setattr(cuda, "free_bytes", lambda index=0, free=free: free)
        reason = registry()["msgd"]().supports(problem_of(), "cuda")
        assert (reason is None) == fits
    assert reason is not None
    assert "lower rank" in reason
    assert registry()["msgd"](rank=300).supports(problem_of(), "cuda")


def test_solvers_tell_why_they_cannot_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "installed", False)
    for cls in registry().values():
        assert cls.available("cpu") is None
        assert cls.available("cuda")


@pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
def test_asking_a_machine_without_a_driver_does_no_harm() -> None:
    code = "from mfviz.backends import cuda; import sys; sys.exit(cuda.why_not() is None)"
    outcome = subprocess.run([sys.executable, "-c", code], check=False)
    if outcome.returncode:
        pytest.skip("there is a device here")


def test_devices_are_listed_without_a_context_of_any(installed: pytest.MonkeyPatch) -> None:
    class Listed:
        name, compute_capability, uuid = b"GPU", (9, 0), "GPU-1234"

        def __init__(self, at: int) -> None:
            self.id = at

        def __enter__(self) -> None:
            raise AssertionError("a context was opened")

    driver = SimpleNamespace(driver=SimpleNamespace(cuDeviceTotalMem=lambda at: (at + 1) << 30))
    fake = SimpleNamespace(
        gpus=[Listed(0), Listed(1)], cudadrv=SimpleNamespace(driver=driver),
    )  # fmt: skip
    installed.setattr(cuda, "_driver_error", lambda: None)
    installed.setattr(cuda, "cuda", fake)
    assert cuda.devices() == [
        cuda.Found(0, "GPU", (9, 0), 1 << 30, "GPU-1234"),
        cuda.Found(1, "GPU", (9, 0), 2 << 30, "GPU-1234"),
    ]


class Pending:
    """What numba-cuda keeps of what was dropped."""

    def __init__(self, size: int) -> None:
        self.size = size

    def clear(self) -> None:
        self.size = 0


def test_what_was_dropped_is_free_unless_a_run_goes_on(installed: pytest.MonkeyPatch) -> None:
    arrays, rest = Pending(600), Pending(20)
    context = SimpleNamespace(
        deallocations=rest,
        memory_manager=SimpleNamespace(deallocations=arrays),
        get_memory_info=lambda: (1000 - arrays.size - rest.size, 1000),
    )
    fake = SimpleNamespace(
        gpus=[nullcontext()],
        current_context=lambda: context,
        select_device=lambda index: None,
        synchronize=lambda: None,
        cudadrv=SimpleNamespace(driver=SimpleNamespace(CudaAPIError=OSError)),
    )
    installed.setattr(cuda, "_driver_error", lambda: None)
    installed.setattr(cuda, "cuda", fake)
    driver = cuda.CudaDriver(cuda.Found(0, "GPU", (9, 0), 1000))
    assert cuda.free_bytes() == 380, "nothing is freed beside a run"
    driver.close()
    assert (arrays.size, rest.size) == (0, 0)
    arrays.size = 600  # a failed run's, dropped after it was closed
    assert cuda.free_bytes() == 1000

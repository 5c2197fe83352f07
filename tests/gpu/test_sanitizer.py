"""Small trainings on a device under compute-sanitizer, where it is on the PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.twins import TWINS

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.usefixtures("device")]
HERE = Path(__file__).resolve().parent
FOUND = 86  # exit code that stands for what the tool has found


@pytest.mark.timeout(420)
@pytest.mark.parametrize("tool", ["memcheck", "synccheck", "racecheck"])
def test_kernels_touch_only_what_is_theirs(tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not on the PATH; it comes with the CUDA toolkit")
    command = [sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), sys.executable]
    outcome = subprocess.run(
        [*command, str(HERE / "twins.py"), *TWINS], check=False, timeout=400,
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
    )  # fmt: skip
    told = (outcome.stdout + outcome.stderr)[-4000:]
    if "Device not supported" in told:
        pytest.skip("compute-sanitizer does not know this device or its driver's sandbox")
    assert outcome.returncode == 0, told

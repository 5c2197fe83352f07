"""What tests on a device share: the device, a limit of time, and a report that grows with them.

``MFVIZ_GPU_MINUTES`` is how long tests may go on beginning, and ``MFVIZ_GPU_REPORT`` a file that
gets a JSON object a line as each test ends: a lent machine may be gone before the last one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfviz.backends import cuda
from tests.gpu.twins import calm_the_simulator

BEGAN = time.monotonic()
FIRST = ("test_twins.py", "test_real.py", "test_faults.py", "test_sanitizer.py")  # by weight


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the tests of this folder in the order in which a short lease should see them."""
    own = [at for at, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    found = sorted((items[at] for at in own), key=lambda item: FIRST.index(item.path.name))
    for at, item in zip(own, found, strict=True):
        items[at] = item


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = float(os.environ.get("MFVIZ_GPU_MINUTES") or "inf")
    if item.get_closest_marker("gpu") and time.monotonic() - BEGAN > 60 * minutes:
        pytest.skip(f"{minutes:g} minutes are over (MFVIZ_GPU_MINUTES)")


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    path = os.environ.get("MFVIZ_GPU_REPORT")
    if (
        not path
        or "tests/gpu" not in report.nodeid
        or not (report.when == "call" or report.skipped)
    ):
        return
    told: dict[str, Any] = {"test": report.nodeid, "outcome": report.outcome}
    told |= {"seconds": round(report.duration, 2), **dict(report.user_properties)}
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


@pytest.fixture(scope="session")
def device() -> cuda.Found:
    """The first device."""
    reason = cuda.why_not()
    if reason is not None:
        pytest.skip(reason)
    calm_the_simulator()
    return cuda.devices()[0]


@pytest.fixture
def tell(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """Put what was measured into the report."""

    def told(**measured: Any) -> None:
        for name, value in measured.items():
            record_property(name, value)

    return told

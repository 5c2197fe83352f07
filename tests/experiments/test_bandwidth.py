"""Bandwidth of a device's memory, by its own events."""

from __future__ import annotations

import pytest

from mfviz.backends import cuda
from mfviz.experiments.bandwidth import device_gigabytes_per_s, memory_limit
from tests.fakes_device import FakeDriver


def test_a_known_time_gives_a_known_bandwidth() -> None:
    driver = FakeDriver(kernel_ns=0.5)
    runs = 1000
    assert device_gigabytes_per_s(driver, runs=runs, repeat=3) == pytest.approx(3 * 16 / 0.5)
    launched = [call for call in driver.calls if call[0] == "kernel"]
    assert launched == [("kernel", 0, "triad")] * 4  # the first one counts nowhere
    assert {array.shape for array in driver._held} == {(runs, 4)}


def test_a_device_is_given_back_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver(kernel_ns=0.5)
    monkeypatch.setattr(cuda, "open_driver", lambda: driver)
    monkeypatch.setattr(
        "mfviz.experiments.bandwidth.device_gigabytes_per_s", lambda driver: 4000.0
    )
    memory_limit.cache_clear()
    try:
        assert memory_limit("cuda") == 4e12
    finally:
        memory_limit.cache_clear()
    assert driver.closed

"""Bandwidth of a device's memory, by its own events."""

from __future__ import annotations

import math

import pytest

from mfviz.backends import cuda
from mfviz.backends.device import using
from mfviz.experiments import bandwidth
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
    bandwidth._memory_limit.cache_clear()
    try:
        assert memory_limit("cuda") == 4e12
        with using(1):
            monkeypatch.setattr(bandwidth, "device_gigabytes_per_s", lambda driver: 500.0)
            assert memory_limit("cuda") == 5e11, "each device has its own"
        assert memory_limit("cuda") == 4e12
    finally:
        bandwidth._memory_limit.cache_clear()
    assert driver.closed


def test_a_device_without_room_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "memory_limit", lambda backend: 4e12)
    for free, wanted in ((None, math.nan), (3 << 28, math.nan), ((3 << 28) + 100, 4e12)):
        monkeypatch.setattr(cuda, "free_bytes", lambda free=free: free)
        assert bandwidth.limit_with_room(100) == pytest.approx(wanted, nan_ok=True)

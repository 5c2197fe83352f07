from __future__ import annotations

import os
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from mfviz.telemetry.events import MemorySampled
from mfviz.telemetry.log import EventLog
from mfviz.telemetry.sampler import DeviceSampler, RssSampler, by_nvml


def samples(log: EventLog) -> list[MemorySampled]:
    return [event for event in log.read()[0] if isinstance(event, MemorySampled)]


def test_there_is_a_sample_at_the_start_and_at_the_end() -> None:
    log = EventLog("r")
    with RssSampler(log, period_s=1000):
        assert len(samples(log)) == 1
    assert len(samples(log)) == 2
    assert {sample.place for sample in samples(log)} == {"rss"}
    assert all(0 < sample.used_bytes < sample.total_bytes for sample in samples(log))


def test_samples_come_by_themselves_and_stop_with_the_block() -> None:
    log = EventLog("r")
    enough = threading.Event()
    with RssSampler(log, period_s=0.001):
        while len(samples(log)) < 5:
            enough.wait(0.005)
    count = len(log)
    enough.wait(0.02)
    assert len(log) == count


def test_the_thread_never_keeps_the_process_alive() -> None:
    with RssSampler(EventLog("r"), period_s=1000):
        found = [thread for thread in threading.enumerate() if thread.name == "mfviz-rss"]
        assert found
        assert all(thread.daemon for thread in found)


def test_memory_that_is_taken_and_touched_shows() -> None:
    log = EventLog("r")
    with RssSampler(log, period_s=1000):
        taken = np.ones(64 << 20, dtype=np.uint8)
    first, last = samples(log)
    assert last.used_bytes - first.used_bytes > 0.8 * taken.nbytes


# --- devices ------------------------------------------------------------------------------------

UUID = "GPU-1"


def nvml(*processes: tuple[int, int | None]) -> SimpleNamespace:
    """What nvidia-ml-py offers, for one device with these processes and their bytes."""

    def by_uuid(uuid: str) -> str:
        assert uuid == UUID
        return "handle"

    listed = [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes]
    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=1000),
        nvmlDeviceGetComputeRunningProcesses=lambda handle: listed,
    )


def test_nvml_tells_what_this_process_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml((os.getpid() + 1, 500), (os.getpid(), 42)))
    log = EventLog("r")
    with DeviceSampler(log, UUID, lambda: pytest.fail("NVML knows it"), period_s=1000):
        pass
    found = [(s.place, s.used_bytes, s.total_bytes) for s in samples(log)]
    assert found == [("device", 42, 1000)] * 2


@pytest.mark.parametrize(
    "processes",
    [[], [(os.getpid() + 1, 500)], [(os.getpid(), None)]],
    ids=["none", "another", "of unknown size"],
)
def test_the_device_is_asked_where_nvml_is_silent(
    processes: list[tuple[int, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(*processes))
    assert by_nvml(UUID) is None
    log = EventLog("r")
    with DeviceSampler(log, UUID, lambda: (70, 100), period_s=1000):
        pass
    assert [(s.used_bytes, s.total_bytes) for s in samples(log)] == [(30, 100)] * 2


def test_without_nvml_there_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert by_nvml(UUID) is None


def test_a_device_that_is_lost_is_sampled_no_more() -> None:
    readings = iter([(70, 100), (60, 100)])
    log = EventLog("r")
    with DeviceSampler(log, "", lambda: next(readings), period_s=0.001) as sampler:
        sampler._thread.join()
    assert [s.used_bytes for s in samples(log)] == [30, 40]

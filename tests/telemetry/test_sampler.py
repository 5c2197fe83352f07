from __future__ import annotations

import threading

import numpy as np

from mfviz.telemetry.events import MemorySampled
from mfviz.telemetry.log import EventLog
from mfviz.telemetry.sampler import RssSampler


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

"""Times of events beside CUPTI's records, on a driver and a CUPTI that are none."""

from __future__ import annotations

import importlib.util
import math
import sys
from typing import Any

import pytest

from mfviz.backends import cuda, cupti
from mfviz.backends.cupti import Recorder
from mfviz.backends.device import Device
from mfviz.backends.streams import Job, Op, Program
from mfviz.errors import DeviceError, UnsupportedError
from mfviz.experiments.run import Run
from mfviz.kernels.cuda import target
from mfviz.solvers.base import registry
from mfviz.telemetry.agreement import LARGEST, MEDIAN, OPERATIONS, agreement, sentence
from mfviz.telemetry.clock import SpanBuffer
from mfviz.telemetry.events import Measured
from mfviz.telemetry.memory import Ledger
from tests.fakes_cupti import FakeCupti
from tests.fakes_device import FakeDriver, FakeStream
from tests.solvers.test_asgd import random_problem

MS = 1_000_000


def recorded(offs: list[tuple[int, int]], *, shift: int = 0) -> list[cupti.Agreement]:
    """What is told of operations of 4 ms on two streams in turn, CUPTI's edges off by so much."""
    module = FakeCupti()
    recorder = Recorder(module)
    jobs, times = [], []
    for at, (start_off, end_off) in enumerate(offs):
        start = 10 * MS * (at + 1)
        jobs.append(Job(Op("kernel", at % 2), -1, []))
        times.append((start, start + 4 * MS))
        seen = (at % 2, start + shift + start_off, start + shift + 4 * MS + end_off)
        module.seen.append(seen)
    recorder.compare(jobs, times, [7, 8], 0)
    return recorder.told()


def test_a_known_difference_is_found_on_its_stream_alone() -> None:
    first, second = recorded([(0, 0), (0, 0), (0, 0), (9_000, -4_000), (0, 0)])
    assert (first.stream, first.operations, second.operations) == (0, 3, 2)
    assert first.largest_ns < 1_000  # two clocks are never read at quite the same time
    assert second.largest_ns == pytest.approx(9_000, abs=1_000)
    assert second.median_ns < 5_000


def test_the_distance_of_the_clocks_is_no_difference() -> None:
    told = recorded([(0, 0)] * 6, shift=300_000)
    assert max(found.largest_ns for found in told) < 1_000


def test_an_operation_of_several_records_reaches_from_the_first_to_the_last() -> None:
    module = FakeCupti()
    recorder, ops = Recorder(module), [Op("h2d", 0), Op("kernel", 0)]
    jobs = [Job(op, -1, []) for op in ops]
    for part in range(3):  # of a copy of three arrays
        module.seen.append((0, (10 + part) * MS, (10 + part) * MS + MS // 2))
    module.seen.append((0, 20 * MS, 25 * MS))
    module.seen.append((0, 2 * MS, 3 * MS))  # of the set-up
    recorder.compare(jobs, [(10 * MS, 12 * MS + MS // 2), (20 * MS, 25 * MS)], [7], 9 * MS)
    (found,) = recorder.told()
    assert found.operations == 2
    assert found.largest_ns < 1_000
    assert recorder.told() == []  # it has been told


def test_a_stream_without_records_says_so() -> None:
    recorder = Recorder(FakeCupti())
    recorder.compare([Job(Op("kernel", 0), -1, [])], [(0, 5)], [7], 0)
    (found,) = recorder.told()
    assert found.operations == 0
    assert math.isnan(found.largest_ns)
    assert sentence("S_M", {"operations": 0.0}) == "S_M: CUPTI has no record of it"


def test_a_device_compares_what_it_runs_and_stops_recording_when_it_is_closed() -> None:
    module, driver = FakeCupti(), FakeDriver()
    device = Device(driver, Ledger(), 2, recorder=Recorder(module))
    assert len(module.enabled) == 2
    clock = device._clock

    def lasting(ns: int) -> Any:
        def run(stream: FakeStream) -> None:
            began = clock._origin_ns + stream.at - clock._anchor.ns
            module.seen.append((stream.number, began + 2_000, began + ns))
            stream.at += ns

        return run

    program = Program()
    for stream in (0, 1, 0):
        program.kernel(stream, lasting(3 * MS))
    spans = SpanBuffer.make(["a", "b"], clock=device.clock)
    for _ in device.run(program.ops, spans, 0):
        pass
    assert device.recorder is not None
    found = device.recorder.told()
    assert [each.operations for each in found] == [2, 1]
    # starts are 2 us off and ends are not: half of it is the distance of the clocks
    assert all(each.largest_ns == pytest.approx(1_000, abs=10) for each in found)
    device.close()
    assert module.enabled == set()


def test_a_profiler_that_refuses_is_told() -> None:
    refusal = RuntimeError("CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED")
    with pytest.raises(DeviceError, match=r"records nothing here \(RuntimeError.*End other"):
        Recorder(FakeCupti(refusal))


def test_runs_refuse_a_profile_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = registry()["msgd"].make(rank=5, epochs=1)
    with pytest.raises(UnsupportedError, match="the cpu backend has no device"):
        Run(random_problem(), solver, profile=True)
    monkeypatch.setattr(cuda, "why_not", lambda: None)
    monkeypatch.setattr(cuda, "free_bytes", lambda index=None: None)
    monkeypatch.setattr(target, "SIMULATED", False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"pip install 'mfviz\[profile\]'"):
        Run(random_problem(), solver, backend="cuda", profile=True)


def test_measurements_of_epochs_are_folded_by_lane() -> None:
    def measured(epoch: int, name: str, value: float) -> Measured:
        return Measured(run="r", seq=0, t_ns=0, epoch=epoch, name=name, value=value)

    rows = ((1, 40, 0.5, 3.0), (2, 40, 0.7, 2.0), (3, 0, math.nan, math.nan))
    found = agreement(
        measured(epoch, f"S_M: {name}", value)
        for epoch, *values in rows
        for name, value in zip((OPERATIONS, MEDIAN, LARGEST), values, strict=True)
    )
    assert found == {"S_M": {"operations": 80, "median_us": 0.6, "largest_us": 3.0}}
    assert sentence("S_M", found["S_M"]) == (
        "S_M: event times agree with CUPTI within 3.0 us (median 0.6 us, 80 operations)"
    )
    assert agreement([measured(1, "device time", 1.0)]) == {}


@pytest.mark.skipif("cupti" in sys.modules or cupti.why_not() is None, reason="CUPTI is here")
def test_without_the_package_the_reason_is_told() -> None:
    assert "mfviz[profile]" in str(cupti.why_not())

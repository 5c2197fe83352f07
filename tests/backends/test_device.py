"""The device on a driver that writes down what it is asked: order, clock, memory, faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfviz.backends.device import Device, EventClock
from mfviz.backends.streams import Program
from mfviz.errors import DeviceError
from mfviz.telemetry.clock import SpanBuffer
from mfviz.telemetry.events import Span
from mfviz.telemetry.memory import Ledger
from mfviz.telemetry.overlap import overlap
from tests.fakes_device import FakeDriver, FakeStream


def lasting(driver: FakeDriver, ns: int) -> Any:
    """An operation of so many ns."""

    def run(stream: FakeStream) -> None:
        driver.calls.append(("kernel", stream.number, ns))
        stream.at += ns

    return run


def spans_of(driver: FakeDriver, program: Program, streams: int = 2) -> list[Span]:
    device = Device(driver, Ledger(), streams)
    spans = SpanBuffer.make([f"stream {s}" for s in range(streams)], clock=device.clock)
    for _ in device.run(program.ops, spans, 0):
        pass
    found = list(spans.drain(0, 1, ("work",)))
    return [Span(run="r", seq=at, t_ns=0, **row) for at, row in enumerate(found)]


def test_calls_come_in_the_order_of_the_program() -> None:
    driver, program = FakeDriver(), Program()
    program.wait(0, "never recorded")
    program.copy(1, lasting(driver, 7))
    program.record(1, "copied")
    program.wait(0, "copied")
    program.kernel(0, lasting(driver, 5))
    spans_of(driver, program)
    waited = [what for call, _, what in driver.calls if call == "wait"]
    named = [c for c in driver.calls if c[0] != "record" or c[2] in waited]
    assert [(call, stream) for call, stream, _ in named] == [
        ("kernel", 1), ("record", 1), ("wait", 0), ("kernel", 0),
    ]  # fmt: skip
    assert named[1][2] == named[2][2]


def test_times_of_events_give_exactly_the_known_overlap() -> None:
    driver, program = FakeDriver(), Program()
    program.copy(1, lasting(driver, 3_000_000), bytes=12)
    program.record(1, "first")
    program.copy(1, lasting(driver, 3_000_000), bytes=12)
    program.wait(0, "first")
    program.kernel(0, lasting(driver, 10_000_000), ratings=9)
    spans = spans_of(driver, program)
    measured = overlap(spans)
    assert (measured.copy_ns, measured.compute_ns) == (6_000_000, 10_000_000)
    assert measured.both_ns == 3_000_000
    assert measured.share == 0.5
    assert {s.clock for s in spans} == {"cuda-events"}
    waits = [(s.lane, s.reason, s.end_ns - s.start_ns) for s in spans if s.op == "wait"]
    assert waits == [("stream 0", "transfer", 3_000_000), ("stream 1", "barrier", 7_000_000)]


def test_the_clock_is_the_hosts_and_uses_events_again() -> None:
    import time

    driver = FakeDriver()
    clock, stream = EventClock(driver), driver.stream()
    before = time.monotonic_ns()
    origin = clock.set_anchor(stream)
    assert before <= origin <= time.monotonic_ns()
    stream.at += 1500
    first = clock.mark(stream)
    assert clock.read(first) == origin + 1500
    clock.set_anchor(stream)
    assert clock.mark(stream) is first


def test_every_array_is_in_the_ledger_and_a_full_device_says_what_to_change() -> None:
    ledger = Ledger()
    device = Device(FakeDriver(room=3 << 20), ledger, 1)
    device.empty("P", (1024, 256), np.float32, part="P")
    device.pinned("batch", (10,), np.int32, part="buffers")
    assert ledger.by_part() == {"P": 1 << 20, "buffers": 40}
    with pytest.raises(DeviceError, match=r"Q needs 4 MiB.*2 of 3 MiB left.*ds_sgd_d"):
        device.empty("Q", (1024, 1024), np.float32, part="Q")
    assert ledger.held_bytes == (1 << 20) + 40
    device.close()


def test_a_device_that_fails_says_so() -> None:
    program = Program()

    def lost(stream: FakeStream) -> None:
        raise RuntimeError("CUDA_ERROR_UNKNOWN")

    program.kernel(0, lost)
    with pytest.raises(DeviceError, match=r"fake GPU failed.*CUDA_ERROR_UNKNOWN.*run again"):
        spans_of(FakeDriver(), program)


def test_a_program_that_is_left_is_over_before_its_arrays_go() -> None:
    driver, program = FakeDriver(), Program()
    program.kernel(0, lasting(driver, 5))
    device = Device(driver, Ledger(), 2)
    spans = SpanBuffer.make(["a", "b"], clock=device.clock)
    driver.happened = lambda event: event is device._clock._anchor  # type: ignore[method-assign]
    waited: list[int] = []
    steps = device.run(program.ops, spans, 0)
    next(steps)
    driver.synchronise = lambda: waited.append(1)  # type: ignore[method-assign]
    steps.close()  # type: ignore[attr-defined]
    assert waited == [1]
    assert not device.lost

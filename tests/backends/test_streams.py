"""Programs: what waits for what, what is drawn of it, and threads that keep to it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mfviz.backends.host import Crew, Gate
from mfviz.backends.streams import HostStreams, Job, Op, Program, draw, plan
from mfviz.telemetry.clock import SpanBuffer


def nothing(where: Any) -> bool:
    return False


def double_buffered() -> Program:
    """Two batches through one buffer: copy, kernel, copy, kernel."""
    program = Program()
    for _ in range(2):
        program.wait(1, "visited")
        program.copy(1, nothing, bytes=12)
        program.record(1, "copied")
        program.wait(0, "copied")
        program.kernel(0, nothing, ratings=1)
        program.record(0, "visited")
    return program


def test_records_and_waits_become_what_must_be_over_before() -> None:
    jobs = plan(double_buffered().ops, 2)
    assert [job.op.kind for job in jobs] == ["h2d", "kernel", "h2d", "kernel"]
    assert [job.before for job in jobs] == [-1, -1, 0, 1]
    assert [job.awaited for job in jobs] == [[], [0], [1], [2]]


def test_an_event_is_its_latest_record_and_none_is_no_wait() -> None:
    program = Program()
    program.wait(1, "never")
    program.kernel(1, nothing)
    program.record(0, "empty")
    program.kernel(0, nothing)
    program.record(0, "twice")
    program.kernel(0, nothing)
    program.record(0, "twice")
    program.wait(1, "twice")
    program.wait(1, "empty")
    program.kernel(1, nothing)
    assert [job.awaited for job in plan(program.ops, 2)] == [[], [], [], [2]]


def test_a_record_holds_what_its_stream_still_waits_for() -> None:
    program = Program()
    program.kernel(0, nothing)
    program.record(0, "a")
    program.wait(1, "a")
    program.record(1, "b")  # nothing was issued to stream 1
    program.wait(2, "b")
    program.kernel(2, nothing)
    assert plan(program.ops, 3)[1].awaited == [0]


def test_gaps_are_drawn_with_their_reasons() -> None:
    ops = [Op("h2d", 1, bytes=8), Op("kernel", 0, ratings=5), Op("kernel", 2, ratings=3)]
    jobs = [Job(ops[0], -1, []), Job(ops[1], -1, [0]), Job(ops[2], -1, [1])]
    spans = SpanBuffer.make(("M", "C", "N"))
    draw(spans, jobs, [(100, 150), (160, 200), (200, 260)], 100, waiting=1)
    found = [
        (s["lane"], s["op"], s["start_ns"], s["end_ns"], s["reason"], s["ratings"], s["bytes"])
        for s in spans.drain(0, 1, ("work", "wait"))
    ]
    assert found == [
        ("M", "wait", 100, 150, "transfer", 0, 0),
        ("M", "wait", 150, 160, "launch", 0, 0),
        ("M", "kernel", 160, 200, "", 5, 0),
        ("M", "wait", 200, 260, "barrier", 0, 0),
        ("C", "h2d", 100, 150, "", 0, 8),
        ("C", "wait", 150, 260, "barrier", 0, 0),
        ("N", "wait", 100, 200, "barrier", 0, 0),
        ("N", "kernel", 200, 260, "", 3, 0),
    ]


class Workshop:
    """Threads 0 and 1 compute, thread 2 copies; what is done is written down."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.lock = threading.Lock()
        self.gate = Gate()
        self.spans = SpanBuffer.make(("M", "N"))

    def op(self, name: str, calls: int = 1) -> Callable[[int], bool]:
        left = [calls] * 3

        def run(thread: int) -> bool:
            start = time.monotonic_ns()
            with self.lock:
                self.done.append(name)
            self.streams.scratch.add(thread, start, time.monotonic_ns())
            left[thread] -= 1
            return left[thread] > 0

        return run

    def run(self, program: Program, crew: Crew) -> None:
        self.streams = HostStreams(
            crew, self.gate, lambda op: range(2) if op.kind == "kernel" else range(2, 3)
        )
        for _ in self.streams.run(program.ops, self.spans, 0):
            pass


def test_threads_keep_the_order_of_the_program() -> None:
    shop, program = Workshop(), Program()
    for j in range(20):
        program.wait(1, "visited")
        program.copy(1, shop.op(f"copy {j}"))
        program.record(1, "copied")
        program.wait(0, "copied")
        program.kernel(0, shop.op(f"kernel {j}", calls=3), ratings=6)
        program.record(0, "visited")
    with Crew(3) as crew:
        shop.run(program, crew)
    wanted = [name for j in range(20) for name in [f"copy {j}", *[f"kernel {j}"] * 6]]
    assert shop.done == wanted
    spans = list(shop.spans.drain(0, 1, ("",)))
    assert sum(s["ratings"] for s in spans) == 120
    for lane in "MN":
        mine = sorted((s["start_ns"], s["end_ns"]) for s in spans if s["lane"] == lane)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))


def test_a_shut_gate_holds_all_streams() -> None:
    shop, program = Workshop(), Program()
    shop.gate.shut()
    for j in range(3):
        program.copy(1, shop.op(f"copy {j}"))
        program.kernel(0, shop.op(f"kernel {j}"))
    with Crew(3) as crew:
        runner = threading.Thread(target=shop.run, args=(program, crew))
        runner.start()
        while shop.gate.waiting < 3:
            time.sleep(0.001)
        assert shop.done == []
        shop.gate.open()
        runner.join(10)
    assert len(shop.done) == 3 + 6


def test_a_failure_in_one_stream_ends_the_others() -> None:
    shop, program = Workshop(), Program()

    def broken(thread: int) -> bool:
        raise RuntimeError("no such batch")

    program.copy(1, broken)
    program.record(1, "copied")
    program.wait(0, "copied")
    program.kernel(0, shop.op("kernel"))
    with Crew(3) as crew, pytest.raises(RuntimeError, match="no such batch"):
        shop.run(program, crew)
    assert shop.done == []


def test_a_dismissed_program_draws_nothing() -> None:
    shop, program = Workshop(), Program()
    program.kernel(0, shop.op("kernel"))
    shop.gate.dismiss()
    with Crew(3) as crew:
        shop.run(program, crew)
    assert shop.done == []
    assert shop.spans.fill.sum() == 0

"""Streams: queues of copies and kernels that run side by side, and the events between them.

A solver writes down an epoch as a :class:`Program`: operations in the order of issue, each on a
stream, with records of events and waits for them, as CUDA has them. The same program is run by a
device (:mod:`mfviz.backends.device`) or by worker threads (:class:`HostStreams`), so that both
follow one schedule. What each stream did, and what it waited for, becomes spans on its lane.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfviz.backends.host import Crew, Gate
from mfviz.telemetry.clock import SpanBuffer

__all__ = [
    "COPIES", "HostStreams", "Job", "Op", "Program", "Times", "draw", "plan", "segments",
]  # fmt: skip

COPIES = ("h2d", "d2h")
SEGMENT = 1024  # operations after which spans are read and stops are looked for
LOOK_S = 0.02  # how often the coordinator looks at streams that run
POLL_S = 0.0005  # how often a thread that waits for another stream passes the gate

Times = list[tuple[int, int]]  # start and end of each job, in ns


@dataclass(frozen=True, slots=True)
class Op:
    """One call on a stream.

    Attributes
    ----------
    kind : str
        "h2d", "d2h", "kernel", "record" or "wait".
    stream : int
    run : callable, optional
        What a copy or a kernel does: ``run(thread)`` on the host, ``run(stream)`` on a device. A
        kernel on the host returns whether there is more to do, and is then called again.
    event : hashable, optional
        Of records and waits.
    ratings, bytes : int
        Visited by a kernel; moved by a copy.
    block : (int, int)
        What it works on (-1: nothing that has a name).
    tag : int
        Position of its name in the names of the spans.
    """

    kind: str
    stream: int
    run: Callable[[Any], Any] | None = None
    event: Hashable = None
    ratings: int = 0
    bytes: int = 0
    block: tuple[int, int] = (-1, -1)
    tag: int = 0


@dataclass
class Program:
    """Operations in the order in which they are issued."""

    ops: list[Op] = field(default_factory=list)

    def kernel(self, stream: int, run: Callable[[Any], Any], **more: Any) -> None:
        """Issue a kernel; ``more`` are fields of :class:`Op`."""
        self.ops.append(Op("kernel", stream, run, **more))

    def copy(self, stream: int, run: Callable[[Any], Any], kind: str = "h2d", **more: Any) -> None:
        """Issue a copy; ``more`` are fields of :class:`Op`."""
        self.ops.append(Op(kind, stream, run, **more))

    def record(self, stream: int, event: Hashable) -> None:
        """Have the event happen when all that was issued to the stream before is over."""
        self.ops.append(Op("record", stream, event=event))

    def wait(self, stream: int, event: Hashable) -> None:
        """Hold what is issued to the stream from here on until the event has happened.

        As in CUDA this is the event's latest record, and none is no wait.
        """
        self.ops.append(Op("wait", stream, event=event))


def segments(ops: list[Op], chunk: int) -> Iterator[list[Op]]:
    """Cut a program where it may be held: after each kernel if a chunk is asked for.

    Parameters
    ----------
    ops : list of Op
    chunk : int
        Most ratings between two checkpoints; 2^62 and more: any number.
    """
    first = 0
    for at, op in enumerate(ops, 1):
        cut = op.kind == "kernel" and chunk < 1 << 62
        if cut or at - first >= SEGMENT or at == len(ops):
            yield ops[first:at]
            first = at


@dataclass
class Job:
    """A copy or a kernel with what must be over before it begins.

    Attributes
    ----------
    op : Op
    before : int
        Position of the job before it on its stream; -1: none.
    awaited : list of int
        Positions of jobs on other streams.
    """

    op: Op
    before: int
    awaited: list[int]


def plan(ops: Sequence[Op], streams: int) -> list[Job]:
    """Turn records and waits into dependencies between copies and kernels.

    Parameters
    ----------
    ops : sequence of Op
    streams : int
        Number of streams.

    Returns
    -------
    list of Job
        In the order of issue, which no dependency goes against.
    """
    jobs: list[Job] = []
    last, held = [-1] * streams, [set[int]() for _ in range(streams)]
    events: dict[Hashable, set[int]] = {}
    for op in ops:
        if op.kind == "record":
            # what the stream still waits for has to be over before the event, too
            own = {last[op.stream]} if last[op.stream] >= 0 else set()
            events[op.event] = own | held[op.stream]
        elif op.kind == "wait":
            held[op.stream] |= events.get(op.event, set())
        else:
            others = sorted(j for j in held[op.stream] if jobs[j].op.stream != op.stream)
            jobs.append(Job(op, last[op.stream], others))
            last[op.stream], held[op.stream] = len(jobs) - 1, set()
    return jobs


def draw(spans: SpanBuffer, jobs: Sequence[Job], times: Times, begin: int, waiting: int) -> None:
    """Draw what streams did and what each gap between was for.

    Parameters
    ----------
    spans : SpanBuffer
        A lane a stream.
    jobs : sequence of Job
    times : list of (int, int)
        Start and end of each job.
    begin : int
        When the program was issued.
    waiting : int
        Tag of waits.

    Notes
    -----
    A gap lasts until the last job that was awaited is over, for the reason "transfer" if that is a
    copy and "barrier" if it is a kernel; what is left of it is "launch". A stream that has nothing
    more to do waits for the others: "barrier".
    """
    free = {lane: begin for lane in range(len(spans.lanes))}
    end = max((stop for _, stop in times), default=begin)
    for job, (start, stop) in zip(jobs, times, strict=True):
        op, since = job.op, free[job.op.stream]
        held = max(job.awaited, key=lambda j: times[j][1], default=-1)
        if held >= 0:
            until = min(times[held][1], start)
            reason = "transfer" if jobs[held].op.kind in COPIES else "barrier"
            _wait(spans, op.stream, since, until, reason, waiting)
            since = max(since, until)
        _wait(spans, op.stream, since, start, "launch", waiting)
        spans.add(
            op.stream, start, stop, op=op.kind, ratings=op.ratings, block=op.block, tag=op.tag,
            size=op.bytes,
        )  # fmt: skip
        free[op.stream] = stop
    for lane, since in free.items():
        _wait(spans, lane, since, end, "barrier", waiting)


def _wait(spans: SpanBuffer, lane: int, start: int, end: int, reason: str, tag: int) -> None:
    if end > start:
        spans.add(lane, start, end, op="wait", reason=reason, tag=tag)


class HostStreams:
    """Streams on the CPU: threads of a crew that work through a program side by side.

    Parameters
    ----------
    crew : Crew
    gate : Gate
        Passed between any two calls, so that a pause holds all streams.
    teams : callable
        ``teams(op)`` gives the threads that do an operation together; a thread does its
        operations in the order of issue.

    Attributes
    ----------
    scratch : SpanBuffer
        A lane a thread; kernels write their spans there, and the first start and the last end
        become those of the operation.
    """

    def __init__(self, crew: Crew, gate: Gate, teams: Callable[[Op], Sequence[int]]) -> None:
        self.crew, self.gate, self.teams = crew, gate, teams
        self.scratch = SpanBuffer.make(crew.workers, capacity=1024)
        self._changed = threading.Condition()

    def run(self, ops: Sequence[Op], spans: SpanBuffer, waiting: int) -> Iterator[None]:
        """Run operations; yields now and then while they run.

        Parameters
        ----------
        ops : sequence of Op
        spans : SpanBuffer
            Takes what was done, once all is over; a lane a stream.
        waiting : int
            Tag of waits.
        """
        self._jobs = plan(ops, len(spans.lanes))
        self._teams = [self.teams(job.op) for job in self._jobs]
        self._left = [len(team) for team in self._teams]
        self._times = [(0, 0)] * len(self._jobs)
        self._failed = False
        begin = time.monotonic_ns()
        self.crew.start(self._work)
        try:
            while not self.crew.wait(LOOK_S):
                yield
        except GeneratorExit:
            self.gate.dismiss()
            self.crew.wait()
            raise
        if not any(self._left):  # else dismissed: nothing whole is left to draw
            draw(spans, self._jobs, self._times, begin, waiting)

    def _work(self, thread: int) -> None:
        try:
            for at, job in enumerate(self._jobs):
                if thread in self._teams[at]:
                    if not self._await(job):
                        return
                    began, ended = self._do(job.op, thread)
                    if ended < 0:
                        return
                    self._finish(at, began, ended)
        except BaseException:
            self._failed = True
            raise

    def _await(self, job: Job) -> bool:
        """Wait for what the job needs; False if the run is over."""
        needed = [j for j in (job.before, *job.awaited) if j >= 0]
        while not self._failed and self.gate():
            if all(self._left[j] == 0 for j in needed):
                return True
            with self._changed:
                if any(self._left[j] for j in needed):
                    self._changed.wait(POLL_S)
        return False

    def _do(self, op: Op, thread: int) -> tuple[int, int]:
        """Do a thread's part; return when it began and ended (0, 0: had none; -1: dismissed)."""
        assert op.run is not None
        if op.kind in COPIES:
            began = time.monotonic_ns()
            op.run(thread)
            return began, time.monotonic_ns()
        rows, fill = self.scratch.rows[thread], self.scratch.fill[thread]
        began = ended = 0
        more = True
        while more:
            if not self.gate():
                return 0, -1
            more = op.run(thread)
            count = min(int(fill[0]), len(rows))
            if count:
                began, ended = began or int(rows[0, 0]), int(rows[count - 1, 1])
            fill[:2] = 0
        return began, ended

    def _finish(self, at: int, began: int, ended: int) -> None:
        with self._changed:
            start, stop = self._times[at]
            if ended:
                self._times[at] = (min(start or began, began), max(stop, ended))
            self._left[at] -= 1
            if self._left[at] == 0:
                if not self._times[at][1]:  # nobody found anything to do
                    now = time.monotonic_ns()
                    self._times[at] = (now, now)
                self._changed.notify_all()

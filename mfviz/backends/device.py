"""A device with memory of its own: arrays by name, streams, events and a clock made of events.

:class:`Device` is what solvers see. It asks a :class:`Driver` for everything that is particular to
a maker of devices; :mod:`mfviz.backends.cuda` has the one for CUDA, and tests have one that writes
down what it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mfviz.backends.cupti import Recorder
from mfviz.backends.streams import LOOK_S, Job, Op, Times, draw, plan
from mfviz.errors import DeviceError
from mfviz.telemetry.clock import SpanBuffer
from mfviz.telemetry.memory import Ledger

__all__ = ["Device", "Driver", "EventClock", "chosen", "using"]

POLL_S = 0.00005  # how often the end of a program is asked for: an epoch may last 2 ms
_chosen: ContextVar[int] = ContextVar("device", default=0)


def chosen() -> int:
    """Position of the device that this thread uses; 0 if nobody chose another."""
    return _chosen.get()


@contextmanager
def using(index: int) -> Iterator[None]:
    """Use another device in this thread; it is looked at when one is opened.

    Parameters
    ----------
    index : int
        Position in :func:`mfviz.backends.cuda.devices`.
    """
    token = _chosen.set(index)
    try:
        yield
    finally:
        _chosen.reset(token)


class Driver(Protocol):
    """What a device must be able to do; streams, events and arrays are its own objects."""

    name: str
    place: str
    uuid: str
    clock: str
    shuffles: bool

    def stream(self) -> Any:
        """Make a stream."""

    def event(self) -> Any:
        """Make an event that keeps its time."""

    def record(self, event: Any, stream: Any) -> None:
        """Have the event happen when the stream gets there."""

    def wait(self, event: Any, stream: Any) -> None:
        """Hold the stream until the event has happened."""

    def happened(self, event: Any) -> bool:
        """Whether the event has happened."""

    def elapsed_ms(self, first: Any, second: Any) -> float:
        """Time between two events that have happened, in ms."""

    def synchronise(self) -> None:
        """Wait for all that was issued."""

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """Allocate on the device."""

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Allocate host memory that the device copies from by itself."""

    def upload(self, target: Any, source: npt.NDArray[Any], stream: Any) -> None:
        """Copy host memory to the device; returns at once where ``source`` is pinned."""

    def download(self, target: npt.NDArray[Any], source: Any, stream: Any = 0) -> None:
        """Copy to the host, and wait for it; in a stream at once where ``target`` is pinned."""

    def prepare(self, kernel: str, width: int) -> None:
        """Have the code of a registered kernel ready, so that no launch waits for it."""

    def launch(self, kernel: str, width: int, blocks: int, threads: int, stream: Any,
               args: Sequence[Any]) -> None:  # fmt: skip
        """Launch a registered kernel."""

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device, as it reports them; for any thread."""

    def number(self, module: Any, stream: Any) -> int:
        """Number that CUPTI, whose module is given, has for a stream."""

    def close(self) -> None:
        """Give everything back."""


class EventClock:
    """Times of events on the host's clock, by an anchor a program.

    Parameters
    ----------
    driver : Driver

    Notes
    -----
    The anchor is an event that is recorded while the device is idle, and waited for; the host's
    clock is read when it has happened. Nothing is synchronised after that until all is over; then
    each event's distance from the anchor is asked for. Events are used again.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._pool: list[Any] = []
        self._used = 0
        self._origin_ns = 0
        self._anchor = driver.event()

    def set_anchor(self, stream: Any) -> int:
        """Set the anchor and take all events back; return the host's time of it, in ns."""
        self._driver.synchronise()
        self._driver.record(self._anchor, stream)
        while not self._driver.happened(self._anchor):
            pass  # some microseconds: a sleep would be the larger error
        self._origin_ns = time.monotonic_ns()
        self._used = 0
        return self._origin_ns

    def mark(self, stream: Any) -> Any:
        """Record an event in a stream and return it."""
        if self._used == len(self._pool):
            self._pool.append(self._driver.event())
        event = self._pool[self._used]
        self._used += 1
        self._driver.record(event, stream)
        return event

    def read(self, event: Any) -> int:
        """Time of an event that has happened, in ns of ``time.monotonic_ns``."""
        return self._origin_ns + round(1e6 * self._driver.elapsed_ms(self._anchor, event))


class Device:
    """An opened device.

    Parameters
    ----------
    driver : Driver
    ledger : Ledger
        Counts each array on the device, and each pinned one, under a name.
    streams : int
        Number of streams, which are also the lanes.
    timed : bool
        Whether copies and kernels are timed by events; without, there are no spans.
    recorder : Recorder, optional
        Compares these times with what CUPTI records; closed with the device.

    Attributes
    ----------
    name, place : str
        As "NVIDIA H200" and "cuda:0".
    clock : str
        Of the spans.
    lost : bool
        Whether it has failed: nothing can be had from it any more.
    elapsed_ns : int
        Device time of the programs that were run, each from its first operation to its last; known
        without timing, too. Set it to 0 to begin anew.
    """

    def __init__(
        self,
        driver: Driver,
        ledger: Ledger,
        streams: int,
        *,
        timed: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        self.recorder = recorder
        self.lost, self.timed, self.elapsed_ns = False, timed, 0
        self.driver, self.ledger = driver, ledger
        self.name, self.place, self.clock = driver.name, driver.place, driver.clock
        self._streams = [driver.stream() for _ in range(streams)]
        self._events: dict[Any, Any] = {}
        self._clock = EventClock(driver)

    def empty(
        self, name: str, shape: int | tuple[int, ...], dtype: npt.DTypeLike, *, part: str
    ) -> Any:
        """Allocate an array on the device under a name.

        Parameters
        ----------
        name : str
        shape : int or tuple of int
        dtype : dtype
        part : str
            One of :data:`mfviz.telemetry.memory.PARTS`.

        Raises
        ------
        DeviceError
            If the device has no room, with what to change.
        """
        dims = (shape,) if isinstance(shape, int) else tuple(shape)
        size = int(np.prod(dims, dtype=np.int64)) * np.dtype(dtype).itemsize
        try:
            array = self.driver.empty(dims, dtype)
        except MemoryError:
            free, total = self.driver.memory()
            raise DeviceError(
                f"{name} needs {size / 2**20:,.0f} MiB, but {self.name} has {free / 2**20:,.0f} "
                f"of {total / 2**20:,.0f} MiB left. Take a lower rank, smaller batches, or "
                "ds_sgd_d, which keeps only batches of the ratings on the device."
            ) from None
        self.ledger.register(name, size, part=part, place=self.place)
        return array

    def pinned(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, *, part: str
    ) -> npt.NDArray[Any]:
        """Allocate pinned memory on the host under a name; DeviceError if there is no room."""
        try:
            array = self.driver.pinned(shape, dtype)
        except MemoryError:
            raise DeviceError(
                f"{name} cannot be pinned: the system gives no more such memory. Set pinned=false."
            ) from None
        self.ledger.register(name, array.nbytes, part=part)
        return array

    def send(self, name: str, source: npt.NDArray[Any], *, part: str) -> Any:
        """Allocate a copy of a host array on the device, and wait for it."""
        target = self.empty(name, source.shape, source.dtype, part=part)
        self.driver.upload(target, source, self._streams[0])
        self.driver.synchronise()
        return target

    def run(self, ops: Sequence[Op], spans: SpanBuffer, waiting: int) -> Iterator[None]:
        """Issue operations and yield now and then until all are over.

        Parameters
        ----------
        ops : sequence of Op
            Their ``run`` is called with the driver's stream.
        spans : SpanBuffer
            Takes what was done, once all is over; a lane a stream.
        waiting : int
            Tag of waits.

        Raises
        ------
        DeviceError
            If the device fails.
        """
        jobs = plan(ops, len(self._streams))
        try:
            begin = self._clock.set_anchor(self._streams[0])
            marks = [self._issue(op) for op in ops]
            ends = [self._clock.mark(stream) for stream in self._streams]
            looked = time.monotonic()
            while not all(self.driver.happened(end) for end in ends):
                time.sleep(POLL_S)
                if time.monotonic() - looked > LOOK_S:
                    yield
                    looked = time.monotonic()
            times = self._read([pair for pair in marks if pair])
            self.elapsed_ns += max(map(self._clock.read, ends)) - begin
            if self.recorder is not None and self.timed:
                module = self.recorder.module
                numbers = [self.driver.number(module, stream) for stream in self._streams]
                self.recorder.compare(jobs, times, numbers, begin)
        except DeviceError:
            raise
        except GeneratorExit:
            self.driver.synchronise()  # what was issued works on arrays that are about to go
            raise
        except Exception as error:
            self.lost = True
            raise DeviceError(
                f"{self.name} failed in the middle of a run ({type(error).__name__}: {error}). "
                "What was learnt up to the last evaluation is kept; run again, and if it fails "
                "again, restart the program to get a fresh context."
            ) from error
        if self.timed:
            self._draw(spans, jobs, times, begin, waiting)

    def _issue(self, op: Op) -> tuple[Any, Any] | None:
        stream = self._streams[op.stream]
        if op.kind in ("record", "wait"):
            if op.event not in self._events:
                if op.kind == "wait":
                    return None  # nothing was recorded: no wait, as for CUDA itself
                self._events[op.event] = self.driver.event()
            (self.driver.record if op.kind == "record" else self.driver.wait)(
                self._events[op.event], stream
            )
            return None
        assert op.run is not None
        if not self.timed:
            op.run(stream)
            return None
        start = self._clock.mark(stream)
        op.run(stream)
        return start, self._clock.mark(stream)

    def _read(self, marks: Sequence[tuple[Any, Any]]) -> Times:
        return [(self._clock.read(start), self._clock.read(end)) for start, end in marks]

    @staticmethod
    def _draw(
        spans: SpanBuffer, jobs: Sequence[Job], times: Times, begin: int, waiting: int
    ) -> None:
        """Draw, with ends of events kept in order: they are rounded to half a microsecond."""
        free: dict[int, int] = {}
        ordered: Times = []
        for job, (start, end) in zip(jobs, times, strict=True):
            start = max(start, free.get(job.op.stream, begin))
            ordered.append((start, max(start, end)))
            free[job.op.stream] = ordered[-1][1]
        draw(spans, jobs, ordered, begin, waiting)

    def close(self) -> None:
        """Free all arrays; the device may be used by others then."""
        if self.recorder is not None:
            self.recorder.close()
        self._events.clear()
        self.driver.close()

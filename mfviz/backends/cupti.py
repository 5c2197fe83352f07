"""What CUPTI records of a device, beside the times that events gave: a check of the event clock.

CUPTI, NVIDIA's profiling library, writes down when each copy and kernel began and ended on the
device itself. An event is a step of the stream of its own, so that a pair of them also spans what
lies between; how much that is, is measured here and not assumed. It costs time, so that it is off
unless a run is asked for it (``Run(profile=True)``).
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mfviz.backends.streams import Job, Times
from mfviz.errors import DeviceError

__all__ = ["Agreement", "Recorder", "why_not"]

BUFFER = 8 << 20  # bytes that CUPTI writes records into before it hands them over
FORCED = 1  # flag of a flush: also what is not full

Record = tuple[int, int, int]  # stream as CUPTI numbers it, start and end in ns of its clock


def why_not() -> str | None:
    """Return None if CUPTI can be loaded, or the reason why not and what to do."""
    from mfviz.kernels.cuda.target import SIMULATED  # brings Numba along

    if SIMULATED:
        return "the CUDA simulator has nothing that CUPTI could record."
    if importlib.util.find_spec("cupti") is None:
        return "CUPTI's Python package is not installed: pip install 'mfviz[profile]'."
    return None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far events are from CUPTI on a stream.

    Attributes
    ----------
    stream : int
    operations : int
        Copies and kernels that CUPTI has records of.
    median_ns, largest_ns : float
        Of the differences of starts and of ends; NaN without any.
    """

    stream: int
    operations: int
    median_ns: float
    largest_ns: float


class Recorder:
    """Records copies and kernels of a process, and compares them with times of events.

    Parameters
    ----------
    module : module, optional
        ``cupti.cupti``, or what has the same functions.

    Raises
    ------
    DeviceError
        If CUPTI refuses, which it does while another profiler uses it.
    """

    def __init__(self, module: Any = None) -> None:
        module = self.module = importlib.import_module("cupti.cupti") if module is None else module
        self._kinds = (module.ActivityKind.CONCURRENT_KERNEL, module.ActivityKind.MEMCPY)
        self._lock = threading.Lock()
        self._records: list[Record] = []
        self._found: dict[int, list[float]] = {}
        try:
            module.activity_register_callbacks(lambda: (BUFFER, 0), self._take)
            for kind in self._kinds:
                module.activity_enable(kind)
        except Exception as error:  # cuptiError, or RuntimeError without a driver
            raise DeviceError(
                f"CUPTI records nothing here ({type(error).__name__}: {error}). End other "
                "profilers, which it does not stand beside, or run without profile."
            ) from error

    def _take(self, activities: Sequence[Any]) -> None:
        """Keep what CUPTI hands over, in whatever thread; the objects end with the call."""
        seen = [(int(a.stream_id), int(a.start), int(a.end)) for a in activities if a.end]
        with self._lock:
            self._records += seen

    def compare(
        self, jobs: Sequence[Job], times: Times, numbers: Sequence[int], begin: int
    ) -> None:
        """Compare what has just been run; everything of it must be over.

        Parameters
        ----------
        jobs : sequence of Job
        times : list of (int, int)
            Start and end of each job by its events, in ns of ``time.monotonic_ns``.
        numbers : sequence of int
            Of each stream, as CUPTI numbers it.
        begin : int
            When the first job was issued; records of what came before are left out.

        Notes
        -----
        The two clocks are first set by reading both at once, so that each record finds the job
        within whose events it lies. What then is left of the clocks' distance, the median over
        all streams, is taken off: only differences between operations can be told.
        """
        self.module.activity_flush_all(FORCED)
        before = time.monotonic_ns()
        shift = self.module.get_timestamp() - (before + time.monotonic_ns()) // 2
        with self._lock:
            records, self._records = self._records, []
        off: dict[int, list[int]] = {}
        for stream, number in enumerate(numbers):
            own = [at for at, job in enumerate(jobs) if job.op.stream == stream]
            mine = [(s - shift, e - shift) for n, s, e in records if n == number]
            seen = sorted(pair for pair in mine if sum(pair) // 2 >= begin)
            off[stream] = _differences([times[at] for at in own], seen)
        everything = [value for found in off.values() for value in found]
        middle = statistics.median(everything) if everything else 0.0
        for stream, found in off.items():
            self._found.setdefault(stream, []).extend(abs(value - middle) for value in found)

    def told(self) -> list[Agreement]:
        """Return what was found on each stream since the last call."""
        found, self._found = self._found, {}
        nan = float("nan")
        return [
            Agreement(
                stream,
                len(values) // 2,
                statistics.median(values) if values else nan,
                max(values, default=nan),
            )
            for stream, values in sorted(found.items())
        ]

    def close(self) -> None:
        """Record no more."""
        for kind in self._kinds:
            self.module.activity_disable(kind)


def _differences(times: Times, seen: Times) -> list[int]:
    """Differences of starts and of ends of the jobs of a stream that have records.

    A job may have several records, as one that copies three arrays; they reach from the first
    start to the last end. A record belongs to the job in which its middle lies, or to the nearer
    one of those that it lies between.
    """
    starts = [start for start, _ in times]
    extent: dict[int, tuple[int, int]] = {}
    for start, end in seen:
        middle = (start + end) // 2
        at = max(0, bisect_right(starts, middle) - 1)
        if at + 1 < len(times) and middle - times[at][1] > times[at + 1][0] - middle:
            at += 1
        if times:
            low, high = extent.get(at, (start, end))
            extent[at] = min(low, start), max(high, end)
    found = []
    for at, (start, end) in extent.items():
        found += [start - times[at][0], end - times[at][1]]
    return found

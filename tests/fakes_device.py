"""A device that is none, with a clock for each stream.

It writes down what it is asked and notices when two operations touch one array at the same time.
Everything is done at once, in the order of issue; *when* it would have been done on a device is
worked out from the streams and the events. So the numbers can be right while an event is missing,
but then :meth:`FakeDriver.races` is not empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.lib.array_utils import byte_bounds

from mfviz.backends.device import Driver
from mfviz.kernels.cuda.target import KERNELS
from tests.fakes_kernels import DONE


@dataclass
class FakeStream:
    """A queue; ``at`` is when what was issued so far is over, in ns."""

    number: int
    at: int = 0


@dataclass
class FakeEvent:
    """A moment in ns."""

    number: int
    ns: int = 0


@dataclass
class FakeDriver(Driver):
    """See the module.

    Attributes
    ----------
    room : int
        Bytes of the device.
    copy_ns, kernel_ns : float
        Nanoseconds a byte and a rating.
    fail_at : int
        Launch that fails, counted from 1; 0: none.
    calls : list
        ("copy" | "back" | "kernel" | "record" | "wait", stream, what).
    """

    room: int = 1 << 30
    copy_ns: float = 1.0
    kernel_ns: float = 24.0
    fail_at: int = 0
    name: str = "fake GPU"
    place: str = "cuda:0"
    uuid: str = ""
    clock: str = "cuda-events"
    shuffles: bool = True
    calls: list[tuple[str, int, Any]] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._streams: list[FakeStream] = []
        self._held: list[np.ndarray] = []
        self._touched: list[tuple[tuple[int, int], int, int, bool]] = []  # memory, times, written
        self._launches = 0
        self._polls = 0
        self.ready: set[tuple[str, int]] = set()
        self.launched: set[tuple[str, int]] = set()

    def stream(self) -> FakeStream:
        self._streams.append(FakeStream(len(self._streams)))
        return self._streams[-1]

    def event(self) -> FakeEvent:
        return FakeEvent(next(self._numbers))

    def record(self, event: FakeEvent, stream: FakeStream) -> None:
        event.ns, self._polls = stream.at, 0
        self.calls.append(("record", stream.number, event.number))

    def wait(self, event: FakeEvent, stream: FakeStream) -> None:
        stream.at = max(stream.at, event.ns)
        self.calls.append(("wait", stream.number, event.number))

    def happened(self, event: FakeEvent) -> bool:
        self._polls += 1
        return self._polls > 3  # not at the first look

    def elapsed_ms(self, first: FakeEvent, second: FakeEvent) -> float:
        return (second.ns - first.ns) / 1e6

    def synchronise(self) -> None:
        latest = max((stream.at for stream in self._streams), default=0)
        for stream in self._streams:
            stream.at = latest

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        array = np.zeros(shape, dtype)
        if sum(a.nbytes for a in self._held) + array.nbytes > self.room:
            raise MemoryError("no room")
        self._held.append(array)
        return array

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    def upload(self, target: np.ndarray, source: np.ndarray, stream: FakeStream) -> None:
        check_alike(target, source)
        np.copyto(target, source)
        self.calls.append(("copy", stream.number, target.nbytes))
        touched = [(target, True), (source, False)]
        self._pass(stream, self.copy_ns * target.nbytes, touched)

    def download(
        self, target: np.ndarray, source: np.ndarray, stream: FakeStream | None = None
    ) -> None:
        check_alike(source, target)
        np.copyto(target, source)
        if stream is not None:
            self.calls.append(("back", stream.number, target.nbytes))
            touched = [(target, True), (source, False)]
            self._pass(stream, self.copy_ns * target.nbytes, touched)

    def prepare(self, kernel: str, width: int) -> None:
        assert kernel in KERNELS
        self.ready.add((kernel, width))

    def launch(
        self, kernel: str, width: int, blocks: int, threads: int, stream: FakeStream,
        args: Sequence[Any],
    ) -> None:  # fmt: skip
        self._launches += 1
        if self._launches == self.fail_at:
            raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED")
        self.launched.add((kernel, width))
        self.calls.append(("kernel", stream.number, kernel))
        check_types(kernel, args)
        run, written, read = DONE[kernel]
        visits = run(blocks, *args)
        touched = [(args[at], at in written) for at in (*written, *read)]
        self._pass(stream, self.kernel_ns * visits, touched)

    def memory(self) -> tuple[int, int]:
        return self.room - sum(a.nbytes for a in self._held), self.room

    def number(self, module: Any, stream: FakeStream) -> int:
        return int(module.get_stream_id_ex(0, stream.number, 0))

    def close(self) -> None:
        self._held.clear()
        self.closed = True

    def _pass(self, stream: FakeStream, ns: float, touched: list[tuple[np.ndarray, bool]]) -> None:
        start, stream.at = stream.at, stream.at + round(ns)
        for array, written in touched:
            self._touched.append((byte_bounds(array), start, stream.at, written))

    def races(self, *ignored: np.ndarray) -> int:
        """Pairs of operations on one memory at one time of which one writes."""
        spared = [byte_bounds(array) for array in ignored]
        own = [t for t in self._touched if not any(meet(t[0], other) for other in spared)]
        found = 0
        for a, b in itertools.combinations(own, 2):
            found += meet(a[0], b[0]) and (a[3] or b[3]) and meet(a[1:3], b[1:3])
        return found


def check_alike(there: np.ndarray, here: np.ndarray) -> None:
    """Refuse a copy that a device would refuse: nothing is converted on the way."""
    assert there.flags.c_contiguous
    assert here.flags.c_contiguous
    assert (there.shape, there.dtype) == (here.shape, here.dtype)


def check_types(kernel: str, args: Sequence[Any]) -> None:
    """Refuse arguments of other types than those for which the tests compile a kernel.

    A device would compile it once more, to code that nobody has looked at.
    """
    declared = KERNELS[kernel].signature().args
    assert len(declared) == len(args), kernel
    for at, (wanted, given) in enumerate(zip(declared, args, strict=True)):
        found = numba.typeof(given)
        if isinstance(given, np.ndarray):
            assert (found.dtype, found.ndim, found.layout) == (
                wanted.dtype, wanted.ndim, wanted.layout,
            ), f"{kernel}, argument {at}: {found} for {wanted}"  # fmt: skip
        else:
            assert found == wanted, f"{kernel}, argument {at}: {found} for {wanted}"


def meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two ranges have something in common."""
    return a[0] < b[1] and b[0] < a[1]

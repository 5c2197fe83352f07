"""NVIDIA devices through numba-cuda: which there are, why there are none, and their driver.

Importing this module needs neither a driver nor numba-cuda; asking it does no harm without them.
In Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``) there is one slow device, for tests: its streams
do everything at once, its events read the host's clock, and launches take turns.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.device import chosen
from mfviz.errors import DeviceError, UnsupportedError
from mfviz.kernels.cuda import target
from mfviz.kernels.cuda.target import SIMULATED, cuda

__all__ = [
    "CudaDriver", "Found", "SimulatedDriver", "devices", "find", "free_bytes", "open_driver",
    "why_not",
]  # fmt: skip

INSTALL = "pip install 'mfviz[cuda13]', or 'mfviz[cuda12]' for GPUs older than Turing"


@dataclass(frozen=True, slots=True)
class Found:
    """A device of this machine.

    Attributes
    ----------
    index : int
    name : str
    capability : (int, int)
        Compute capability.
    total_bytes : int
    uuid : str
        As nvidia-smi and NVML have it; empty where there is none.
    """

    index: int
    name: str
    capability: tuple[int, int]
    total_bytes: int
    uuid: str = ""


def why_not() -> str | None:
    """Return None if there is a device to run on, or the reason why not and what to do."""
    if SIMULATED:
        return None
    if not target.installed:
        return f"CUDA needs numba-cuda, which is not installed: {INSTALL}."
    if not hasattr(np, "row_stack"):
        return (
            f"numba-cuda compiles nothing with NumPy {np.__version__}, which has no row_stack: "
            "pip install 'numpy<2.5'."
        )
    error = _driver_error()
    if error is not None:
        if "NO_DEVICE" in error:
            hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
            why = f" (CUDA_VISIBLE_DEVICES is {hidden!r})" if hidden is not None else ""
            return f"The NVIDIA driver finds no device{why}: use the CPU, or a machine with a GPU."
        first = " ".join(error.split()).rstrip(": .")
        return f"No NVIDIA driver can be used ({first}): install one, or use the CPU."
    return None


def _driver_error() -> str | None:
    """What the driver says on being called for the first time."""
    if cuda.is_available():
        return None
    return str(cuda.cuda_error() or "NVVM, a part of the CUDA toolkit, is missing")


def devices() -> list[Found]:
    """List the devices that can be used; empty where :func:`why_not` has a reason."""
    if why_not() is not None:
        return []
    if SIMULATED:
        return [Found(0, "CUDA simulator", (0, 0), 0)]
    found = []
    for index, device in enumerate(cuda.gpus):
        name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
        # not by a context of it: each takes some hundred MiB of a device that nobody may want
        total = int(cuda.cudadrv.driver.driver.cuDeviceTotalMem(device.id))
        uuid = str(getattr(device, "uuid", ""))
        found.append(Found(index, name, tuple(device.compute_capability), total, uuid))
    return found


def free_bytes(index: int | None = None) -> int | None:
    """Bytes that are free on a device; None where that is not known (no device, the simulator).

    Parameters
    ----------
    index : int, optional
        Position in :func:`devices`; by default the device that this thread uses.
    """
    if SIMULATED or why_not() is not None:
        return None
    index = chosen() if index is None else index
    if not any(driver.index == index for driver in list(_open)):
        with cuda.gpus[index]:
            _free_pending()  # of a run that failed: its frames held arrays until it was over
    return _memory(index)[0]


def _free_pending() -> None:
    """Free what numba-cuda keeps of this thread's context until it is convenient."""
    context = cuda.current_context()
    for pending in (context.memory_manager.deallocations, context.deallocations):
        pending.clear()  # arrays; streams and events


def _memory(index: int) -> tuple[int, int]:
    """Free and total bytes of a device; for any thread."""
    with cuda.gpus[index]:
        free, total = cuda.current_context().get_memory_info()
    return int(free), int(total)


class CudaDriver:
    """A device as numba-cuda drives it; see :class:`mfviz.backends.device.Driver`.

    Parameters
    ----------
    found : Found

    Attributes
    ----------
    shuffles : bool
        Whether kernels may use warp shuffles.
    """

    shuffles = True
    clock = "cuda-events"
    index: int

    def __init__(self, found: Found) -> None:
        from numba import config

        config.CUDA_LOW_OCCUPANCY_WARNINGS = False  # a batch's last rows are few, and known to be
        self.name, self.place, self.uuid = found.name, f"cuda:{found.index}", found.uuid
        self._capability, self.index = found.capability, found.index
        cuda.select_device(found.index)
        _open.add(self)

    def stream(self) -> Any:
        """Make a stream."""
        return cuda.stream()

    def event(self) -> Any:
        """Make an event that keeps its time."""
        return cuda.event(timing=True)

    def record(self, event: Any, stream: Any) -> None:
        """Have the event happen when the stream gets there."""
        event.record(stream)

    def wait(self, event: Any, stream: Any) -> None:
        """Hold the stream until the event has happened."""
        event.wait(stream)

    def happened(self, event: Any) -> bool:
        """Whether the event has happened."""
        return bool(event.query())

    def elapsed_ms(self, first: Any, second: Any) -> float:
        """Time between two events that have happened, in ms."""
        return float(cuda.event_elapsed_time(first, second))

    def synchronise(self) -> None:
        """Wait for all that was issued."""
        cuda.synchronize()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """Allocate on the device; MemoryError if there is no room."""
        return _allocate(lambda: cuda.device_array(shape, np.dtype(dtype)))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Allocate host memory that the device copies from; MemoryError if there is no room."""
        array: npt.NDArray[Any] = _allocate(lambda: cuda.pinned_array(shape, np.dtype(dtype)))
        return array

    def upload(self, target: Any, source: npt.NDArray[Any], stream: Any) -> None:
        """Copy host memory to the device; returns at once where ``source`` is pinned."""
        target.copy_to_device(source, stream=stream)

    def download(self, target: npt.NDArray[Any], source: Any, stream: Any = 0) -> None:
        """Copy to the host, and wait for it; in a stream at once where ``target`` is pinned."""
        source.copy_to_host(target, stream=stream)

    def launch(
        self, kernel: str, width: int, blocks: int, threads: int, stream: Any, args: Sequence[Any]
    ) -> None:
        """Launch a registered kernel.

        Parameters
        ----------
        kernel : str
        width : int
            Columns of a row that it is compiled for.
        blocks, threads : int
        stream
        args : sequence

        Raises
        ------
        DeviceError
            If the kernel cannot be compiled for this device.
        """
        found = target.dispatcher(kernel, width, self.shuffles)
        with self._compiling(kernel):
            found[blocks, threads, stream](*args)

    def prepare(self, kernel: str, width: int) -> None:
        """Compile a registered kernel for the types that it declares, and load it.

        Raises
        ------
        DeviceError
            If it cannot be compiled for this device.
        """
        with self._compiling(kernel):
            found = target.dispatcher(kernel, width, self.shuffles)
            found.compile(tuple(target.KERNELS[kernel].signature().args))

    @contextmanager
    def _compiling(self, kernel: str) -> Iterator[None]:
        """Turn errors of the compiler into a sentence with what to do."""
        try:
            yield
        except _compile_errors() as error:
            raise DeviceError(
                f"The kernel {kernel} cannot be compiled for {self.name} (compute capability "
                f"{'.'.join(map(str, self._capability))}): {error}. Use the CPU backend, and "
                "check that the CUDA wheels fit the GPU: cuda12 for 5.0 to 9.0, cuda13 from 7.5."
            ) from error

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device, as it reports them; for any thread."""
        return _memory(self.index)

    def number(self, module: Any, stream: Any) -> int:
        """Number that CUPTI has for a stream."""
        return int(module.get_stream_id_ex(0, int(stream.handle), 0))

    def close(self) -> None:
        """Free all that was dropped; numba-cuda would keep it until it is convenient."""
        _open.discard(self)
        try:
            cuda.synchronize()
            _free_pending()
        except cuda.cudadrv.driver.CudaAPIError:
            cuda.close()  # the context is beyond use: this thread lets go of it


def _allocate(take: Callable[[], Any]) -> Any:
    """Allocate, with the error of Python where there is no room."""
    try:
        return take()
    except cuda.cudadrv.driver.CudaAPIError as error:
        if "OUT_OF_MEMORY" in str(error):
            raise MemoryError(str(error)) from None
        raise


def _compile_errors() -> tuple[type[Exception], ...]:
    """The errors of Numba's compiler and of the tools behind it."""
    from numba.core.errors import NumbaError
    from numba.cuda.cudadrv import error

    names = ("NvvmError", "NvrtcError", "CCSupportError", "NvrtcCompilationError")
    tools = [getattr(error, name) for name in names if hasattr(error, name)]
    return (NumbaError, NotImplementedError, *tools)


class SimulatedDriver(CudaDriver):
    """Numba's simulator behind the same face.

    It runs a launch at a time (more corrupt it) and has no events that keep time; these here keep
    the host's.
    """

    shuffles = False
    clock = "host"
    _turn = threading.Lock()

    def __init__(self, found: Found) -> None:
        self.name, self.place, self.uuid = found.name, f"cuda:{found.index}", found.uuid
        self._capability, self.index = found.capability, found.index

    def event(self) -> Any:
        """Make an event: a place for a time."""
        return [0]

    def record(self, event: Any, stream: Any) -> None:
        """Keep the host's time: all before is over."""
        event[0] = time.monotonic_ns()

    def wait(self, event: Any, stream: Any) -> None:
        """Nothing is left to wait for."""

    def happened(self, event: Any) -> bool:
        """Everything has, when it was issued."""
        return True

    def elapsed_ms(self, first: Any, second: Any) -> float:
        """Time between two events, in ms."""
        return float(second[0] - first[0]) / 1e6

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """Allocate."""
        return cuda.device_array(shape, np.dtype(dtype))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Allocate."""
        return np.zeros(shape, np.dtype(dtype))

    def prepare(self, kernel: str, width: int) -> None:
        """Nothing is compiled here."""

    def launch(
        self, kernel: str, width: int, blocks: int, threads: int, stream: Any, args: Sequence[Any]
    ) -> None:
        """Launch a kernel, one at a time in this process."""
        with self._turn:
            target.dispatcher(kernel, width, self.shuffles)[blocks, threads, stream](*args)

    def memory(self) -> tuple[int, int]:
        """The simulator has no memory of its own."""
        return 0, 0

    def close(self) -> None:
        """Nothing is held."""


_open: weakref.WeakSet[CudaDriver] = weakref.WeakSet()  # those that a run works with


def find(index: int) -> Found:
    """Return a device.

    Parameters
    ----------
    index : int
        Position in :func:`devices`.

    Raises
    ------
    UnsupportedError
        If there is no such device, with the reason.
    """
    reason = why_not()
    if reason is not None:
        raise UnsupportedError(reason)
    found = devices()
    if not 0 <= index < len(found):
        names = ", ".join(f"{device.index} ({device.name})" for device in found)
        raise UnsupportedError(f"there is no device {index} here; there is {names}.")
    return found[index]


def open_driver(index: int | None = None) -> CudaDriver:
    """Open a device for the calling thread.

    Parameters
    ----------
    index : int, optional
        Position in :func:`devices`; by default the device that this thread uses.

    Raises
    ------
    UnsupportedError
        If there is no such device, with the reason.
    """
    found = find(chosen() if index is None else index)
    return SimulatedDriver(found) if SIMULATED else CudaDriver(found)

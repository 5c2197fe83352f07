"""Samples of memory that the system reports, some a second, by a thread of their own.

A process's resident memory comes from the operating system, its memory on a device from NVML or,
where NVML does not tell, from the device's own figure for all processes together.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import psutil

from mfviz.telemetry.events import MemorySampled
from mfviz.telemetry.log import EventLog

__all__ = ["DEVICE", "DeviceSampler", "RssSampler", "Sampler", "by_nvml"]

DEVICE = "device"  # place of samples of a device, beside those at the ends of epochs
Reading = tuple[int, int]  # bytes in use, and all there are


class Sampler:
    """Appends memory-sampled events to a log while its block is entered.

    Parameters
    ----------
    log : EventLog
    place : str
        Of the events.
    read : callable
        Returns bytes in use and all there are. When it fails there are no more samples.
    period_s : float
        Seconds between two samples; there is always one at the start and one at the end.

    Notes
    -----
    The thread is a daemon, so it never keeps the process alive.
    """

    def __init__(
        self, log: EventLog, place: str, read: Callable[[], Reading], period_s: float
    ) -> None:
        self._log, self._place, self._read = log, place, read
        self._period_s = period_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"mfviz-{place}", daemon=True)

    def sample(self) -> bool:
        """Take a sample now; False if nothing could be read."""
        try:
            used, total = self._read()
        except Exception:  # of whatever reports: what is sampled must not end with its sampler
            return False
        self._log.append(MemorySampled, place=self._place, used_bytes=used, total_bytes=total)
        return True

    def __enter__(self) -> Sampler:
        if self.sample():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            self.sample()

    def _work(self) -> None:
        while not self._over.wait(self._period_s):
            if not self.sample():
                return


class RssSampler(Sampler):
    """Samples of this process's resident memory (place "rss"); one costs about 20 us.

    Parameters
    ----------
    log : EventLog
    period_s : float
    """

    def __init__(self, log: EventLog, period_s: float = 0.1) -> None:
        process, total = psutil.Process(), int(psutil.virtual_memory().total)
        super().__init__(log, "rss", lambda: (int(process.memory_info().rss), total), period_s)


class DeviceSampler(Sampler):
    """Samples of what this process holds on a device (place "device"), its context included.

    Parameters
    ----------
    log : EventLog
    uuid : str
        Of the device, as NVML has it; empty where there is none.
    memory : callable
        ``memory()`` returns free and total bytes of the device: asked where NVML is silent, as in
        many containers; it counts what others hold there, too.
    period_s : float
        Longer than for the host: both ask the driver, which launches kernels at the same time.
    """

    def __init__(
        self, log: EventLog, uuid: str, memory: Callable[[], Reading], period_s: float = 0.2
    ) -> None:
        def in_use() -> Reading:
            free, total = memory()
            return total - free, total

        super().__init__(log, DEVICE, (by_nvml(uuid) if uuid else None) or in_use, period_s)


def by_nvml(uuid: str) -> Callable[[], Reading] | None:
    """What reads this process's memory on a device by NVML; None where it cannot be told.

    Parameters
    ----------
    uuid : str
        Of the device: NVML counts devices in another order than CUDA, and knows hidden ones.

    Notes
    -----
    NVML (package nvidia-ml-py) is initialised once and stays so. It numbers processes as the host
    does, so a container's process is often not in its list; then there is nothing to be told.
    """
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        total = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)

        def read() -> Reading:
            return _own(nvml.nvmlDeviceGetComputeRunningProcesses(handle)), total

        read()
    except Exception:  # no package, no library, no such call, no such process: each has its own
        return None
    return read


def _own(processes: list[Any]) -> int:
    """Bytes of this process; LookupError if it is not in the list or its bytes are not told."""
    for process in processes:
        if process.pid == os.getpid() and process.usedGpuMemory is not None:
            return int(process.usedGpuMemory)
    raise LookupError("NVML does not tell of this process")

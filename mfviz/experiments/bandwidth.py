"""What memory, gathers and arithmetic give: the yardsticks beside which kernels are shown."""

from __future__ import annotations

import math
import time
from functools import cache

import numpy as np

from mfviz.backends.device import Driver, chosen
from mfviz.backends.host import Crew, cpu_count
from mfviz.kernels.cuda.triad import COLUMNS, RUNS, THREADS
from mfviz.kernels.triad import FLOPS, gathered_sum, multiply_adds, triad

__all__ = [
    "device_gigabytes_per_s",
    "flops_per_s",
    "gathers_per_s",
    "gigabytes_per_s",
    "limit_with_room",
    "memory_limit",
]

MIB_OF_ARRAY = 64  # three of them a worker are far more than any cache
RUNS_OF_ARRAY = 1 << 24  # of 16 bytes: 256 MiB, and three of them are more than any device's cache


def gigabytes_per_s(workers: int, *, mib: int = MIB_OF_ARRAY, repeat: int = 3) -> float:
    """Measure the bandwidth of memory with all workers at once.

    Parameters
    ----------
    workers : int
    mib : int
        Size of each of a worker's three arrays.
    repeat : int
        Passes; the fastest counts.

    Returns
    -------
    float
        10^9 bytes a second: two arrays read and one written, as STREAM counts them (lines that a
        CPU reads before it writes them are not counted).
    """
    arrays = np.ones((workers, 3, mib << 18), dtype=np.float32)
    best = float("inf")
    with Crew(workers, "mfviz-bandwidth") as crew:
        triad(*arrays[0, :, :16], np.float32(2.0))  # compiled before the clock runs
        for _ in range(repeat):
            began = time.perf_counter()
            crew.run(lambda w: triad(*arrays[w], np.float32(2.0)))
            best = min(best, time.perf_counter() - began)
    return arrays.nbytes / best / 1e9


def device_gigabytes_per_s(
    driver: Driver, *, runs: int = RUNS_OF_ARRAY, repeat: int = 20
) -> float:
    """Measure the bandwidth of a device's memory by its own events.

    Parameters
    ----------
    driver : Driver
        Opened by this thread.
    runs : int
        16-byte pieces of each of three arrays.
    repeat : int
        Passes; the fastest counts.

    Returns
    -------
    float
        10^9 bytes a second: two arrays read and one written, as :func:`gigabytes_per_s` has it.
    """
    a, b, c = (driver.empty((runs, COLUMNS), np.float32) for _ in range(3))
    stream, blocks = driver.stream(), -(-runs // (THREADS * RUNS))
    pairs = [(driver.event(), driver.event()) for _ in range(repeat)]
    for start, end in [pairs[0], *pairs]:  # the first launch compiles, and counts nowhere
        driver.record(start, stream)
        driver.launch("triad", COLUMNS, blocks, THREADS, stream, (a, b, c, np.float32(2.0)))
        driver.record(end, stream)
    driver.synchronise()
    fastest = min(driver.elapsed_ms(start, end) for start, end in pairs)
    return 3 * 16 * runs / max(fastest, 1e-9) / 1e6


def memory_limit(backend: str = "cpu") -> float:
    """Bandwidth of memory in bytes a second, all cores at once or of a device; measured once.

    Parameters
    ----------
    backend : str
        "cpu", or "cuda" for the device in use.

    Raises
    ------
    UnsupportedError
        If there is no such device.
    """
    return _memory_limit(backend, chosen())


@cache
def _memory_limit(backend: str, device: int) -> float:
    if backend == "cpu":
        return 1e9 * gigabytes_per_s(cpu_count())
    from mfviz.backends.cuda import open_driver

    driver = open_driver()
    try:
        return 1e9 * device_gigabytes_per_s(driver)
    finally:
        driver.close()


def limit_with_room(room: int) -> float:
    """As :func:`memory_limit` for the device in use; NaN where it has not that much room beside.

    Parameters
    ----------
    room : int
        Bytes that have to be free beside the triad's arrays.
    """
    from mfviz.backends.cuda import free_bytes

    free = free_bytes()
    if free is None or free < room + 3 * 16 * RUNS_OF_ARRAY:
        return math.nan
    return memory_limit("cuda")


def gathers_per_s(
    workers: int, lengths: tuple[int, int], *, count: int = 1 << 22, repeat: int = 3
) -> float:
    """Measure how fast all workers at once gather numbers from random places of vectors.

    Parameters
    ----------
    workers : int
    lengths : (int, int)
        Numbers of two vectors, from which each worker gathers in turn: users and items.
    count : int
        Gathers of a worker from each of them.
    repeat : int
        Passes; the fastest counts.

    Returns
    -------
    float
        Numbers (float32) a second.
    """
    rng = np.random.default_rng(0)
    jobs = [
        (np.ones(length, np.float32), rng.integers(0, length, count, dtype=np.int32))
        for length in lengths
    ]
    best = float("inf")

    def task(worker: int) -> None:
        for y, index in jobs:
            gathered_sum(y, index)

    with Crew(workers, "mfviz-gathers") as crew:
        gathered_sum(*jobs[0])  # compiled before the clock runs
        for _ in range(repeat):
            began = time.perf_counter()
            crew.run(task)
            best = min(best, time.perf_counter() - began)
    return workers * len(jobs) * count / best


def flops_per_s(workers: int, *, turns: int = 1 << 19, repeat: int = 3) -> float:
    """Measure how fast all workers at once multiply and add numbers that are in registers.

    Parameters
    ----------
    workers : int
    turns : int
        Of each worker, ``mfviz.kernels.triad.FLOPS`` flops each.
    repeat : int
        Passes; the fastest counts.

    Returns
    -------
    float
        Float32 operations a second; a multiply-add is two.
    """
    best = float("inf")
    with Crew(workers, "mfviz-flops") as crew:
        multiply_adds(16)  # compiled before the clock runs
        for _ in range(repeat):
            began = time.perf_counter()
            crew.run(lambda _: multiply_adds(turns))
            best = min(best, time.perf_counter() - began)
    return workers * turns * FLOPS / best

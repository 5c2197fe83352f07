"""Workers on the CPU: a crew of threads, and the gate they pass between kernel calls.

mfviz uses no parallel layer of Numba. Its kernels are serial, release the GIL and are run by a
crew of Python threads, one a worker. Reasons: a run may have more workers than cores (four lanes
teach more than two), the workers of a free-running solver go on while the coordinator looks at
them, each worker has a lane of its own, and Numba's workqueue layer aborts the process when two
parallel kernels meet. Barriers inside an epoch are taken inside the kernels (``kernels.strata``),
because a barrier in Python costs a change of the GIL's owner.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

import numpy as np

__all__ = ["Crew", "Gate", "cpu_count"]


def cpu_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Gate:
    """Where workers wait while a run is paused, and learn that it is over.

    Attributes
    ----------
    signal : (8,) int64
        Element 0 is not 0 while workers are wanted at the gate. Kernels look at it now and then
        and return, so that a call may be long: each return to Python asks for the interpreter's
        lock, which a busy page may keep for 5 ms.
    """

    def __init__(self) -> None:
        self.signal = np.zeros(8, dtype=np.int64)
        self._changed = threading.Condition()
        self._open = True
        self._closed_for_good = False
        self._waiting = 0

    def __call__(self) -> bool:
        """Pass, or wait while the gate is shut; False means: return at once, the run is over."""
        if not self._open:
            with self._changed:
                self._waiting += 1
                self._changed.wait_for(lambda: self._open)
                self._waiting -= 1
        return not self._closed_for_good

    @property
    def waiting(self) -> int:
        """Workers that stand before the shut gate and stay there until it is opened."""
        return self._waiting

    def shut(self) -> None:
        """Hold workers at their next pass."""
        with self._changed:
            self._open = self._closed_for_good
            self.signal[0] = 1

    def open(self) -> None:
        """Let workers pass."""
        with self._changed:
            self._open = True
            self.signal[0] = self._closed_for_good
            self._changed.notify_all()

    def dismiss(self) -> None:
        """Let everybody through with the answer False, now and from now on."""
        self._closed_for_good = True
        self.open()


class Crew:
    """A fixed number of workers that do one task together, again and again.

    Parameters
    ----------
    workers : int
        Number of workers. Worker ``w`` is always the same thread, except that ``run`` has the
        caller do the part of worker 0: a thread is woken up later by some 50 microseconds.
    name : str
        Prefix of the threads' names.

    Notes
    -----
    ``run`` is a barrier; ``start`` and ``wait`` let the coordinator look on meanwhile. An
    exception in a worker is raised by ``wait`` once all have returned.

    Workers are not bound to cores: beside any other busy process a bound one waits for its core
    while another is free, and a solver with many barriers takes ten times as long.
    """

    def __init__(self, workers: int, name: str = "mfviz") -> None:
        self.workers = workers
        self._lock = threading.Condition()
        self._busy = 0
        self._error: BaseException | None = None
        self._tasks: list[queue.SimpleQueue[Callable[[int], None] | None]] = [
            queue.SimpleQueue() for _ in range(workers)
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(w,), name=f"{name}-W{w}", daemon=True)
            for w in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> int:
        """Threads of the crew that are still at the task."""
        return self._busy

    def start(self, task: Callable[[int], None], first: int = 0) -> None:
        """Have every worker ``w`` from ``first`` on call ``task(w)``; returns at once."""
        with self._lock:
            if self._busy:
                raise RuntimeError("the crew is still at its last task; wait for it first")
            self._busy, self._error = self.workers - first, None
        for tasks in self._tasks[first:]:
            tasks.put(task)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all workers are done; False if ``timeout`` seconds passed before."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._busy == 0, timeout):
                return False
            error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def run(self, task: Callable[[int], None]) -> None:
        """Have every worker do a task, the caller being worker 0, and wait for the others."""
        self.start(task, first=1)
        try:
            task(0)
        finally:
            self.wait()

    def close(self) -> None:
        """End the threads; the crew must be idle or about to be."""
        with self._lock:
            self._lock.wait_for(lambda: self._busy == 0)
        for tasks in self._tasks:
            tasks.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _work(self, worker: int) -> None:
        while (task := self._tasks[worker].get()) is not None:
            error: BaseException | None = None
            try:
                task(worker)
            except BaseException as caught:
                error = caught
            with self._lock:
                self._error = self._error or error
                self._busy -= 1
                if self._busy == 0:
                    self._lock.notify_all()

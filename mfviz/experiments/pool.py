"""The pool: runs of all sessions of this process, one job at a time on a device.

Submitting never blocks: each run gets a thread that waits for its turn (see
:mod:`mfviz.experiments.turns`), and the queue can be looked at.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mfviz.errors import MfvizError
from mfviz.experiments.run import Run
from mfviz.experiments.turns import Baton, device

__all__ = ["Job", "Pool", "pool"]


@dataclass(frozen=True, eq=False)
class Job:
    """Runs that were submitted together, for instance A and B.

    Attributes
    ----------
    runs : tuple of Run
        They take turns in this order.
    """

    runs: tuple[Run, ...]

    @property
    def active(self) -> bool:
        """Whether a run has not ended yet."""
        return any(run.active for run in self.runs)

    def stop(self) -> None:
        """End all runs."""
        for run in self.runs:
            run.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of all runs, for ``timeout`` seconds each; False if one goes on."""
        return all([run.wait(timeout) for run in self.runs])


class Pool:
    """All jobs of a process; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._closed = False

    def submit(self, runs: Sequence[Run]) -> Job:
        """Queue runs as one job; they take turns, so that only one of them solves at a moment.

        Parameters
        ----------
        runs : sequence of Run
            Not started yet, all on one device of one backend.

        Returns
        -------
        Job

        Raises
        ------
        MfvizError
            If the pool is shut down or a run was started before.
        """
        if len({run.backend for run in runs}) != 1:
            raise MfvizError("A job needs at least one run, and all on the same backend.")
        if any(run.started for run in runs):
            raise MfvizError("A run of this job was started before; make a new Run to repeat it.")
        with self._lock:
            if self._closed:
                raise MfvizError("The pool is shut down; no run can be started any more.")
            baton = Baton(device(runs[0].backend, runs[0].device))
            for run in runs:
                run.baton = baton
                baton.enqueue(run)
            job = Job(tuple(runs))
            self._jobs = [*(old for old in self._jobs if old.active), job]
        for run in runs:
            try:
                run.start()
            except MfvizError:  # it was stopped in between: it must not hold up the queue
                baton.give(run)
        return job

    @property
    def active(self) -> list[Run]:
        """Runs that have not ended, in the order of their submission."""
        with self._lock:
            return [run for job in self._jobs for run in job.runs if run.active]

    def position(self, run: Run) -> int:
        """Jobs ahead of a run's job; 0: it has the device; -1: it is not in the queue."""
        return run.baton.position(run)

    def cancel(self, run: Run) -> None:
        """Stop a run, or take it out of the queue."""
        run.stop()

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Stop all runs and take no more; False if one did not end in ``timeout`` seconds."""
        with self._lock:
            self._closed = True
        going = self.active
        for run in going:
            run.stop()
        return all([run.wait(timeout) for run in going])


@cache
def pool() -> Pool:
    """The one pool of this process; it is shut down when the process ends."""
    made = Pool()
    atexit.register(made.shutdown)
    return made

"""Who owns a run: the page that started it, or one that reopens its address soon enough.

Closing a page must not leave a run behind that nobody sees, and a reload must not end one. A page
that goes away leaves its runs orphaned; the address carries their ids, and a page that opens it
within the time of grace owns them again. After that they are stopped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any

__all__ = ["GRACE_S", "Owners", "owners"]

GRACE_S = 30.0
ENVIRONMENT = "MFVIZ_GRACE_S"  # seconds of grace, for tests


def _grace() -> float:
    try:
        return float(os.environ.get(ENVIRONMENT, GRACE_S))
    except ValueError:
        return GRACE_S


class _Job:
    """Runs that were started together, and the pages that look after them."""

    def __init__(self, runs: Sequence[Any]) -> None:
        self.runs = list(runs)
        self.owners: set[Hashable] = set()
        self.timer: threading.Timer | None = None


class Owners:
    """The jobs of this process by the ids of their runs."""

    def __init__(self, grace_s: float | None = None) -> None:
        self._grace_s = _grace() if grace_s is None else grace_s
        self._jobs: dict[tuple[str, ...], _Job] = {}
        self._lock = threading.Lock()

    @property
    def training(self) -> bool:
        """Whether a run trains at this moment."""
        with self._lock:
            return any(run.status == "running" for job in self._jobs.values() for run in job.runs)

    def register(self, runs: Sequence[Any], owner: Hashable) -> None:
        """Note that ``owner`` started these runs together; its ended ones are let go."""
        with self._lock:
            for ids, job in list(self._jobs.items()):
                if job.owners == {owner} and not any(run.active for run in job.runs):
                    del self._jobs[ids]
            job = self._jobs[tuple(run.id for run in runs)] = _Job(runs)
            job.owners.add(owner)

    def claim(self, ids: Sequence[str], owner: Hashable) -> list[Any]:
        """Own the runs with these ids again; nothing if they are not known (any more)."""
        with self._lock:
            job = self._jobs.get(tuple(ids))
            if job is None:
                return []
            if job.timer is not None:
                job.timer.cancel()
                job.timer = None
            job.owners.add(owner)
            return list(job.runs)

    def release(self, owner: Hashable) -> None:
        """Let go of everything that ``owner`` looked after; what nobody claims is stopped."""
        with self._lock:
            for ids, job in self._jobs.items():
                job.owners.discard(owner)
                if not job.owners and job.timer is None:
                    job.timer = threading.Timer(self._grace_s, self._end, (ids,))
                    job.timer.daemon = True
                    job.timer.start()

    def _end(self, ids: tuple[str, ...]) -> None:
        with self._lock:
            job = self._jobs.get(ids)
            if job is None or job.owners:
                return
            del self._jobs[ids]
        for run in job.runs:
            run.stop()


@cache
def owners() -> Owners:
    """The one register of this process."""
    return Owners()

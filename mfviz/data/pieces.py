"""Work on long arrays piece by piece: pieces stay in cache, and several threads take turns.

NumPy gives the interpreter's lock away inside its loops, so threads serve where the work is on
whole pieces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["each", "pieces"]

PIECE = 1 << 17  # entries: a few columns of so many fit into a second-level cache
Job = TypeVar("Job")
Found = TypeVar("Found")


def pieces(count: int) -> list[slice]:
    """Cut ``range(count)`` into slices."""
    return [slice(at, min(at + PIECE, count)) for at in range(0, count, PIECE)]


def each(work: Callable[[Job], Found], jobs: Iterable[Job]) -> list[Found]:
    """Call ``work`` with each job, as many at once as there are cores; results in order.

    Parameters
    ----------
    work : callable
        Called by several threads, so it must write to places of its own.
    jobs : iterable
    """
    todo = list(jobs)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(cores or 1, len(todo))
    if threads < 2:
        return [work(job) for job in todo]
    with ThreadPoolExecutor(threads, "mfviz-data") as pool:
        return list(pool.map(work, todo))

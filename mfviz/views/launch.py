"""Runs for a page: started as one job of the process's pool, or read back from disk.

The modules of the experiments' floor are imported when the first run is wanted, so that a page
opens without them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfviz.errors import MfvizError
from mfviz.resources import asset

__all__ = ["RECORDED", "ahead", "from_disk", "launch", "recordings"]

RECORDED = ("traces/toy-sgd.mfviz", "traces/toy-als.mfviz")
log = logging.getLogger(__name__)


def launch(problem: Any, orders: Sequence[tuple[Any, str, int]], pace: float) -> list[Any]:
    """Start runs of the process's pool, each with a folder of its own.

    Runs of one device are one job and take turns; another device is another queue.

    Parameters
    ----------
    problem : Problem
    orders : sequence of (Solver, str, int)
        Solvers, their backends and their devices.
    pace : float
        Epochs a second.
    """
    from mfviz.experiments.pool import pool
    from mfviz.experiments.run import Run
    from mfviz.experiments.store import new_folder

    runs = []
    for solver, backend, device in orders:
        name = uuid.uuid4().hex[:12]
        folder = new_folder(name)
        where: dict[str, Any] = {"backend": backend, "device": device}
        runs.append(Run(problem, solver, **where, pace=pace, folder=folder, run_id=name))
    for place in dict.fromkeys((run.backend, run.device) for run in runs):
        pool().submit([run for run in runs if (run.backend, run.device) == place])
    return runs


def ahead(run: Any) -> int:
    """Jobs in the queue before that of a run."""
    from mfviz.experiments.pool import pool

    return max(int(pool().position(run)), 0)


def recordings() -> list[Any]:
    """Return the recorded runs that every page opens on; missing ones are left out."""
    from mfviz.experiments.store import open_run

    found = []
    for name in RECORDED:
        try:
            found.append(open_run(asset(name)))
        except (FileNotFoundError, MfvizError) as error:
            log.warning("the recorded run %s cannot be shown: %s", name, error)
    return found


def from_disk(run_id: str) -> Any:
    """Return a run of this machine by its id, or None."""
    from mfviz.experiments.store import open_run, runs_dir

    if not run_id.isalnum() or not runs_dir().exists():
        return None
    folders: list[Path] = sorted(runs_dir().glob(f"*-{run_id}"))
    try:
        return open_run(folders[-1]) if folders else None
    except MfvizError as error:
        log.warning("the run %s cannot be read: %s", run_id, error)
        return None

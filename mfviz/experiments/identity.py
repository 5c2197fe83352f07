"""What a run is: the fields of run-started, enough to repeat it."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mfviz
from mfviz.backends.device import chosen
from mfviz.backends.host import cpu_count
from mfviz.telemetry.events import SCHEMA

if TYPE_CHECKING:
    from mfviz.experiments.run import Run

__all__ = ["device_name", "identity", "versions"]


def identity(run: Run, *, bare: bool = False) -> dict[str, Any]:
    """Fields of :class:`~mfviz.telemetry.events.RunStarted`; hashes the ratings once a problem.

    Parameters
    ----------
    run : Run
    bare : bool
        Without what the solver has to work out, for a run that ended before it began.
    """
    problem, solver = run.problem, run.solver
    sizes = (problem.n_users, problem.n_items, problem.train.nnz)
    return {
        "schema": SCHEMA,
        "solver": solver.key,
        "title": solver.title,
        "params": solver.settings(),
        "backend": run.backend,
        "device": device_name(run.backend),
        "problem": problem.name,
        "fingerprint": problem.fingerprint,
        "seed": solver.seed,
        "versions": versions(),
        "shape": {
            "users": sizes[0],
            "items": sizes[1],
            "train": sizes[2],
            "test": problem.test.nnz,
            "set_aside": problem.set_aside,
        },
        "determinism": "" if bare else solver.determinism(run.backend),
        "reconstruction": solver.reconstruction,
        "model": {} if bare else solver.memory(*sizes, run.backend).by_part(),
    }


@cache
def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"mfviz": mfviz.__version__, "python": platform.python_version()}
    for name in ("numpy", "numba", "numba-cuda"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # numba-cuda is an extra
    return found


def device_name(backend: str = "cpu") -> str:
    """What the run trains on: the GPU's name, or the processor's and its cores."""
    if backend == "cuda":
        from mfviz.backends.cuda import devices

        found = devices()
        return found[chosen()].name if chosen() < len(found) else ""
    return _processor()


@cache
def _processor() -> str:
    """The processor's name and the cores that this process may use."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # no Linux: the platform's word has to do
    return f"{name}, {cpu_count()} core(s)"

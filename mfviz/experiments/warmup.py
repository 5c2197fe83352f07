"""Kernels are compiled before a run, in the background, once a kind of solver and process.

Compilation cannot be interrupted, so it has a thread of its own: a run that is stopped meanwhile
ends at once, and the kernels are ready for the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from functools import cache

import numpy as np
import param

from mfviz.backends.device import chosen, using
from mfviz.backends.host import Crew, Gate
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.context import make_context
from mfviz.experiments.evaluate import sum_of_squares
from mfviz.solvers.base import Solver

__all__ = ["WARM_UP", "Warming", "warm", "warming"]

WARM_UP = "warm-up"  # name of the tiny problem

_lock = threading.Lock()
_known: dict[Hashable, Warming] = {}


class Warming:
    """A compilation, going on or over.

    Attributes
    ----------
    seconds : float
        What it took, once it is over.
    error : Exception or None
        What went wrong; the run that follows will show it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.error: Exception | None = None
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        """Whether the kernels are ready."""
        return self._over.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over; False if ``timeout`` seconds passed before."""
        return self._over.wait(timeout)

    def _work(self, solver: Solver, backend: str, device: int, key: Hashable) -> None:
        began = time.perf_counter()
        try:
            with using(device):
                _rehearse(solver, backend)
        except Exception as error:
            self.error = error
            with _lock:
                _known.pop(key, None)  # the next run tries again
        self.seconds = time.perf_counter() - began
        self._over.set()


def warming(solver: Solver, backend: str = "cpu") -> Warming:
    """Begin to compile what ``solver`` needs, or find a compilation that has begun before."""
    key = _signature(solver, backend)
    with _lock:
        found = _known.get(key)
        if found is not None:
            return found
        fresh = _known[key] = Warming()
    threading.Thread(
        target=fresh._work,
        args=(solver, backend, chosen(), key),
        name=f"mfviz-warm-{solver.key}",
        daemon=True,
    ).start()
    return fresh


def warm(solver: Solver, backend: str = "cpu") -> float:
    """Compile what ``solver`` needs and return the seconds that this caller waited."""
    began = time.perf_counter()
    warming(solver, backend).wait()
    return time.perf_counter() - began


def _signature(solver: Solver, backend: str) -> Hashable:
    """What may choose other kernels: options that are no numbers, one worker, the rank."""
    options = [
        (name, str(getattr(solver, name)))
        for name, declared in sorted(solver.hyper_parameters().items())
        if not isinstance(declared, param.Number) or isinstance(declared, param.Boolean)
    ]
    where = (backend, chosen() if backend != "cpu" else 0)
    return (type(solver), where, solver.workers > 1, solver.kernel_rank, *options)


@cache
def _tiny() -> Problem:
    rng = np.random.default_rng(0)
    u, i = rng.integers(0, 256, (2, 4096))
    r = rng.integers(1, 6, 4096)
    return split(Ratings.from_triples(u, i, r, name=WARM_UP), holdout=0.1)


def _rehearse(solver: Solver, backend: str) -> None:
    """Train for two epochs on a tiny problem: some branches are first met in the second.

    In CUDA's simulator nothing is compiled, and this would take it minutes.
    """
    if backend != "cpu":
        from mfviz.kernels.cuda.target import SIMULATED

        if SIMULATED:
            return
    small = type(solver)(**{**solver.settings(), "rank": solver.kernel_rank, "epochs": 2})
    problem = _tiny()
    with Crew(small.threads, "mfviz-warm") as crew:
        context = make_context(small, crew, backend=backend)
        for _ in small.iterate(problem, context):
            pass
        context.refresh()
        if context.device is not None:
            context.device.close()
        if context.factors is not None:
            error = sum_of_squares(problem.test, context.factors, crew, Gate(), lambda: None)
            small.objective(problem, context.factors, error)

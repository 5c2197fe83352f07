"""What a solver is given: the one place that makes its context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mfviz.backends.cupti import Recorder
from mfviz.backends.device import Device, Driver
from mfviz.backends.host import Crew, Gate
from mfviz.solvers.base import Context, Factors, Solver
from mfviz.telemetry.clock import SpanBuffer
from mfviz.telemetry.memory import Ledger

__all__ = ["make_context"]


def _nobody(kind: Any, **fields: Any) -> None:
    """Take what a solver tells when nobody listens."""


def make_context(
    solver: Solver,
    crew: Crew,
    *,
    ledger: Ledger | None = None,
    emit: Callable[..., Any] = _nobody,
    start: Factors | None = None,
    chunk: int | None = None,
    backend: str = "cpu",
    driver: Driver | None = None,
    timed: bool = True,
    profile: bool = False,
) -> Context:
    """Make the context of one training, seeded by the solver's seed.

    Parameters
    ----------
    solver : Solver
    crew : Crew
        Of ``solver.threads`` threads.
    ledger : Ledger, optional
    emit : callable, optional
        Takes an event class and its fields.
    start : Factors, optional
        Initial factors.
    chunk : int, optional
        Most ratings between two checkpoints.
    backend : str
        "cpu" or "cuda".
    driver : Driver, optional
        Of the device; by default that of the CUDA device that this thread uses.
    timed : bool
        As :class:`mfviz.backends.device.Device` has it.
    profile : bool
        Whether the device's times are compared with CUPTI's.
    """
    lanes, ledger = solver.lanes(backend), ledger or Ledger()
    device = None
    if backend != "cpu":
        if driver is None:
            from mfviz.backends.cuda import open_driver

            driver = open_driver()
        recorder = Recorder() if profile else None
        device = Device(driver, ledger, len(lanes), timed=timed, recorder=recorder)
    context = Context(
        rng=np.random.default_rng(solver.seed),
        crew=crew,
        gate=Gate(),
        ledger=ledger,
        spans=SpanBuffer.make(lanes, solver.spans_a_lane, device.clock if device else "host"),
        emit=emit,
        lr=float(getattr(solver, "lr", 0.0)),
        lam=float(solver.lam),
        start=start,
        device=device,
    )
    if chunk is not None:
        context.chunk = chunk
    return context

"""Drives a solver to its end as a run does, and keeps what a test wants to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem
from mfviz.experiments.context import make_context
from mfviz.solvers.base import Checkpoint, Context, Factors, Solver
from mfviz.telemetry.memory import Ledger


@dataclass
class Record:
    """One training, looked at at every checkpoint; ``high_water`` is the ledger's, by part.

    ``events`` are what the solver emitted itself: the event class and its fields.
    """

    initial: Factors
    final: Factors
    checkpoints: list[Checkpoint]
    spans: list[dict[str, Any]]
    ledger: Ledger
    high_water: dict[str, int]
    events: list[tuple[type, dict[str, Any]]]

    @property
    def kinds(self) -> list[str]:
        """Kinds of all checkpoints."""
        return [checkpoint.kind for checkpoint in self.checkpoints]


def live(context: Context) -> Factors:
    """The factors that are being trained."""
    assert context.factors is not None
    return context.factors


def train(
    solver: Solver,
    problem: Problem,
    *,
    at: Callable[[Checkpoint, Context], None] | None = None,
    start: Factors | None = None,
    chunk: int | None = None,
    backend: str = "cpu",
) -> Record:
    """Train to the end, without a clock.

    Parameters
    ----------
    at : callable, optional
        Called at every checkpoint.
    start, chunk, backend
        Of the context.
    """
    checkpoints: list[Checkpoint] = []
    spans: list[dict[str, Any]] = []
    initial: list[Factors] = []
    high_water: dict[str, int] = {}
    ledger = Ledger()
    events: list[tuple[type, dict[str, Any]]] = []

    def emit(kind: type, **fields: Any) -> None:
        events.append((kind, fields))

    with Crew(solver.threads) as crew:
        context = make_context(
            solver, crew, ledger=ledger, emit=emit, start=start, chunk=chunk, backend=backend
        )
        for checkpoint in solver.iterate(problem, context):
            checkpoints.append(checkpoint)
            context.refresh()
            held = ledger.by_part()
            if sum(held.values()) >= sum(high_water.values()):
                high_water = held
            if not initial:
                initial.append(live(context).copy())
            if not checkpoint.running:
                assert context.spans.dropped == 0
                spans += context.spans.drain(0, checkpoint.epoch, context.names)
            if at is not None:
                at(checkpoint, context)
        context.refresh()
        final = live(context)
    ledger.close()
    return Record(initial[0], final, checkpoints, spans, ledger, high_water, events)

"""Fakes: a solver that yields what a test wants, a clock that a test moves, a made-up history."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import param

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.warmup import WARM_UP
from mfviz.solvers.base import Card, Checkpoint, Context, Factors, Solver
from mfviz.telemetry.events import (
    Allocated,
    BlockTaken,
    Compiled,
    EpochEnded,
    Evaluated,
    Event,
    Freed,
    MemorySampled,
    Noticed,
    RunEnded,
    RunStarted,
    Span,
)
from mfviz.telemetry.history import History
from mfviz.telemetry.log import EventLog
from mfviz.telemetry.memory import MemoryModel, MemoryPart

MS = 1_000_000


class FakeClock:
    """Nanoseconds that pass only when a test says so."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)


def tiny_problem(seed: int = 0, holdout: float = 0.2) -> Problem:
    """30 users, 20 items, 300 different pairs rated from 1 to 5."""
    rng = np.random.default_rng(seed)
    u, i = np.divmod(rng.choice(30 * 20, 300, replace=False), 20)
    r = rng.integers(1, 6, 300)
    return split(Ratings.from_triples(u, i, r, name="tiny"), holdout=holdout, seed=seed)


class ScriptedSolver(Solver):
    """Sleeps where others solve; what it does at each epoch is a test's choice.

    Attributes
    ----------
    nap_s : float
        Seconds of "work" before each checkpoint.
    chunks : int
        Checkpoints of kind "chunk" inside an epoch, the workers standing still.
    free : bool
        Workers go on between checkpoints, through the gate, as in a free-running solver.
    script : dict
        ``{epoch: callable(context)}``, called before that epoch's checkpoint.
    """

    key = ""  # keeps it out of the registry
    title = "Scripted"
    card = Card("fake", "no", "never", "none", "nothing", "nothing", "none")

    lr = param.Number(0.05, bounds=(0.0, 10.0), doc="Learning rate.")
    nap_s = param.Number(0.0, bounds=(0.0, 10.0), doc="Work before each checkpoint, in s.")
    chunks = param.Integer(0, bounds=(0, 1000), doc="Chunks in an epoch.")
    free = param.Boolean(False, doc="Workers go on between checkpoints.")
    epochs = param.Integer(3, bounds=(1, 10_000), doc="Epochs.")
    workers = param.Integer(2, bounds=(1, 64), doc="Workers.")
    rank = param.Integer(2, bounds=(1, 4096), doc="Rank.")

    def __init__(self, script: dict[int, Callable[[Context], Any]] | None = None, **params: Any):
        super().__init__(**params)
        self.script = script or {}
        self.nnz = self.updates = 0
        self._lock = threading.Lock()
        self.seen: list[tuple[float, float]] = []  # lr and lam after each checkpoint
        self.closed = False

    def determinism(self, backend: str = "cpu") -> str:
        """Exact, since nothing happens."""
        return "exact"

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Two factor matrices."""
        width = 4 * Factors.width(self.rank)
        return MemoryModel(
            (
                MemoryPart("P", "P", "host", "4 m f", n_users * width),
                MemoryPart("Q", "Q", "host", "4 n f", n_items * width),
            )
        )

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """The squared error itself."""
        return squared_error

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Nap and yield, as the attributes say."""
        width = Factors.width(self.rank)
        shapes = {"P": (problem.n_users, width), "Q": (problem.n_items, width)}
        arrays = {
            name: context.ledger.empty(name, shape, np.float32, part=name, fill=0.0)
            for name, shape in shapes.items()
        }
        zeros = (np.zeros(problem.n_users, np.float32), np.zeros(problem.n_items, np.float32))
        context.factors = Factors(
            arrays["P"], arrays["Q"], *zeros, rank=self.rank, mu=problem.train.mean
        )
        yield Checkpoint("epoch", 0, 0)
        if problem.name == WARM_UP:
            return
        self.nnz, self.updates = problem.train.nnz, 0
        try:
            for epoch in range(1, self.epochs + 1):
                work = self._free(epoch, context) if self.free else self._still(epoch, context)
                yield from work
                if epoch in self.script:
                    self.script[epoch](context)
                yield Checkpoint("epoch", epoch, self.updates)
                self.seen.append((context.lr, context.lam))
        finally:
            self.closed = True

    def _still(self, epoch: int, context: Context) -> Iterator[Checkpoint]:
        for piece in range(self.chunks + 1):
            start = time.monotonic_ns()
            time.sleep(self.nap_s)
            end = time.monotonic_ns()
            for worker in range(self.workers):
                self._visit(context, worker, piece, start, end)
            if piece < self.chunks:
                yield Checkpoint("chunk", epoch, self.updates)
                self.seen.append((context.lr, context.lam))

    def _free(self, epoch: int, context: Context) -> Iterator[Checkpoint]:
        left = [self.chunks + 1] * self.workers

        def task(worker: int) -> None:
            while left[worker] and context.gate():
                left[worker] -= 1
                start = time.monotonic_ns()
                time.sleep(self.nap_s)
                self._visit(context, worker, left[worker], start, time.monotonic_ns())

        context.crew.start(task)
        while not context.crew.wait(0.005):
            yield Checkpoint("chunk", epoch, self.updates, running=True)

    def _visit(self, context: Context, worker: int, piece: int, start: int, end: int) -> None:
        """Pretend to have visited this piece's share of the ratings; the pieces add up to all."""
        at, pieces = piece * self.workers + worker, self.workers * (self.chunks + 1)
        ratings = self.nnz * (at + 1) // pieces - self.nnz * at // pieces
        context.spans.add(worker, start, end, ratings=ratings, block=(worker, worker))
        with self._lock:
            self.updates += ratings


def make_events(
    epochs: int = 3,
    workers: int = 2,
    *,
    run: str = "r1",
    solver: str = "fake",
    rmse: Sequence[float] | None = None,
    epoch_ms: float = 10.0,
    status: str = "done",
    end: bool = True,
) -> list[Event]:
    """Events of a run that never was: each worker computes 0.8 and waits 0.2 of each epoch.

    Parameters
    ----------
    epochs, workers : int
    run, solver : str
    rmse : sequence of float, optional
        Test RMSE of epoch 0, 1, ...; the training RMSE is 0.1 lower.
    epoch_ms : float
        Solve time of an epoch; an evaluation takes a tenth of it.
    status : str
        Of run-ended.
    end : bool
        Whether the run has ended.
    """
    clock = FakeClock()
    log = EventLog(run, clock=clock)
    _begin(log, solver, workers)
    length, eval_ns = round(epoch_ms * MS), round(epoch_ms * MS / 10)
    values = rmse or [1.0 + math.exp(-epoch) for epoch in range(epochs + 1)]
    for epoch in range(epochs + 1):
        if epoch:
            _epoch(log, clock, epoch, workers, length)
        visits, solve_s = 100 * workers * epoch, epoch * length / 1e9
        log.append(EpochEnded, epoch=epoch, updates=visits, solve_s=solve_s)
        since = clock()
        clock.now_ns += eval_ns
        log.append(
            Evaluated, epoch=epoch, train_rmse=values[epoch] - 0.1, test_rmse=values[epoch],
            objective=100 * values[epoch], eval_s=(epoch + 1) * eval_ns / 1e9,
        )  # fmt: skip
        for worker in range(workers):
            _span(log, worker, "wait", since, clock(), epoch, reason="evaluate")
        log.append(MemorySampled, place="rss", used_bytes=10**6 + epoch, total_bytes=10**9)
    if end:
        times = {"solve_s": epochs * length / 1e9, "eval_s": (epochs + 1) * eval_ns / 1e9}
        _end(log, status, wall_s=clock() / 1e9, **times)
    return log.read()[0]


def make_history(epochs: int = 3, workers: int = 2, **options: Any) -> History:
    """The tables of :func:`make_events`."""
    history = History()
    history.feed(make_events(epochs, workers, **options))
    return history


def _begin(log: EventLog, solver: str, workers: int) -> None:
    log.append(
        RunStarted, schema=1, solver=solver, title=solver.upper(), params={"rank": 4, "lr": 0.05},
        backend="cpu", device="a processor", problem="tiny", fingerprint="f" * 16, seed=0,
        versions={"mfviz": "0"}, determinism="exact", model={"P": 4000, "Q": 2000},
        shape={"users": 10, "items": 5, "train": 100 * workers, "test": 10, "set_aside": 1},
    )  # fmt: skip
    log.append(Compiled, seconds=0.0)
    log.append(MemorySampled, place="rss", used_bytes=10**6, total_bytes=10**9)
    log.append(Allocated, place="host", name="P", bytes=4000, part="P")
    log.append(Allocated, place="host", name="Q", bytes=2000, part="Q")


def _end(log: EventLog, status: str, **times: float) -> None:
    log.append(Noticed, level="info", message="That was all.")
    log.append(Freed, place="host", name="P", bytes=4000, part="P")
    log.append(Freed, place="host", name="Q", bytes=2000, part="Q")
    log.append(RunEnded, status=status, **times)


def _epoch(log: EventLog, clock: FakeClock, epoch: int, workers: int, length: int) -> None:
    start = clock()
    clock.now_ns += length
    for worker in range(workers):
        row, col = worker, (worker + epoch) % workers
        busy = start + round(0.8 * length)
        log.append(BlockTaken, epoch=epoch, wave=0, row=row, col=col, worker=worker, ratings=100)
        _span(log, worker, "kernel", start, busy, epoch, ratings=100, block=f"{row},{col}")
        _span(log, worker, "wait", busy, clock(), epoch, reason="barrier")


def _span(
    log: EventLog, worker: int, op: str, start: int, end: int, epoch: int, **more: Any
) -> None:
    name = more.get("reason") or "update"
    log.append(
        Span, lane=f"W{worker}", op=op, name=name, start_ns=start, end_ns=end, epoch=epoch, **more
    )

"""One training from the first checkpoint to the last: clock, evaluation, pace, pauses, events."""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mfviz.backends.host import Crew
from mfviz.errors import MfvizError
from mfviz.experiments.context import make_context
from mfviz.experiments.device_events import log_bandwidth, log_epoch, sampling
from mfviz.experiments.divergence import Rule, suggestion
from mfviz.experiments.evaluate import rmse, sum_of_squares
from mfviz.experiments.warmup import warming
from mfviz.solvers.base import Checkpoint, Context
from mfviz.telemetry.clock import OVERFLOW
from mfviz.telemetry.events import (
    Allocated,
    Compiled,
    EpochEnded,
    Evaluated,
    Freed,
    Noticed,
    ParamChanged,
    Span,
)
from mfviz.telemetry.memory import Ledger
from mfviz.telemetry.sampler import RssSampler

if TYPE_CHECKING:
    from mfviz.data.ratings import Ratings
    from mfviz.experiments.run import Run

__all__ = ["Drive", "Outcome"]

READ_EVERY_S = 0.1  # spans of a long epoch reach the log this often
PATIENCE_S = 10.0  # with workers, which come back after one kernel call
WORTH_WAITING_S = 0.005  # a debt to the pace below this is carried on, not slept


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; ``details`` is a traceback or empty."""

    status: str
    reason: str = ""
    fix: str = ""
    details: str = ""

    @classmethod
    def failure(cls, error: BaseException) -> Outcome:
        """Put an exception that was just caught in words."""
        words = str(error) if isinstance(error, MfvizError) else f"{type(error).__name__}: {error}"
        return cls("failed", words.rstrip(": "), details=traceback.format_exc())


class _Stopped(Exception):
    """Leaves the training because someone asked for it."""


class _Diverged(Exception):
    """Leaves the training because the model is of no use any more; says why."""


class Drive:
    """Drives the solver of a run; used once, in the run's own thread.

    Parameters
    ----------
    run : Run
        Holds the baton.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.log, self.watch, self.controls = run.log, run.watch, run.controls
        self.problem, self.solver = run.problem, run.solver
        self._emitted: deque[tuple[Any, dict[str, Any]]] = deque()
        self._rule: Rule | None = None
        self._reached = self._evaluated = -1  # last epoch that is over; that was evaluated
        self._looked = False  # whether the last checkpoint was a look at workers that went on
        self._read_at = 0.0
        self._paced_at, self._paced_progress = time.monotonic(), 0.0
        self._pauses: list[tuple[int, int]] = []  # of this epoch, on the log's clock
        self._evaluating_since = 0  # ns, 0 while no evaluation goes on
        self._overflowed = False

    def train(self) -> Outcome:
        """Compile, train and tidy up; the log then lacks nothing but run-ended."""
        if not self._warm():
            return Outcome("stopped", "Stopped while the kernels were compiled.")
        if not self._queue():
            return Outcome("stopped", "Stopped before it began.")
        self.log.append(Compiled, seconds=self.watch.seconds("compile"))
        self.watch.enter("setup")
        self.run.become("running")
        crew = Crew(self.solver.threads, f"mfviz-{self.run.id}")
        try:
            with RssSampler(self.log):
                self.context = self._context(crew)
                with sampling(self.log, self.context.device):
                    return self._solve(self.solver.iterate(self.problem, self.context))
        finally:
            if not crew.busy:  # workers that never came back are left behind
                crew.close()

    # --- before and after ------------------------------------------------------------------

    def _warm(self) -> bool:
        """Wait for the kernels; False on a stop."""
        found = warming(self.solver, self.run.backend)
        while not found.wait(0.05):
            if self.controls.stopping():
                return False
        if self.run.backend != "cpu":
            sizes = self.problem.n_users, self.problem.n_items, self.problem.train.nnz
            log_bandwidth(self.log, self.solver.needs(*sizes))
        return True

    def _queue(self) -> bool:
        """Wait until the other runs of the job have their kernels too; False on a stop.

        So nobody compiles while somebody else is timed.
        """
        self.watch.enter("queue")
        self.run.become("queued")
        self.run.baton.give(self.run, back_soon=True)
        return self.run.baton.take(self.run, self.controls.stopping)

    def _context(self, crew: Crew) -> Context:
        kinds = {"allocated": Allocated, "freed": Freed}

        def told(kind: str, **fields: Any) -> None:
            self.log.append(kinds[kind], **fields)

        ledger = Ledger(told)
        return make_context(
            self.solver,
            crew,
            ledger=ledger,
            emit=lambda kind, **fields: self._emitted.append((kind, fields)),
            start=self.run.start_factors,
            chunk=self.run.chunk,
            backend=self.run.backend,
            timed=self.run.timed,
            profile=self.run.profile,
        )

    def _solve(self, steps: Iterator[Checkpoint]) -> Outcome:
        try:
            try:
                self._loop(steps)
            finally:
                self._leave(steps)
        except _Stopped:
            return Outcome(
                "stopped", f"Stopped in epoch {self.run.epoch} of {self.solver.epochs}."
            )
        except _Diverged as found:
            fix = suggestion(self.solver, self.problem, self.context.lr, self.context.lam)
            reason = f"Diverged at epoch {self._reached}: {found}. Try {fix}."
            return Outcome("diverged", reason, fix)
        except Exception as error:
            return Outcome.failure(error)
        return Outcome("done")

    def _leave(self, steps: Iterator[Checkpoint]) -> None:
        """Send the workers home, take what they wrote and give the memory back."""
        self.context.gate.dismiss()
        try:
            if not self.context.crew.wait(PATIENCE_S):
                raise RuntimeError(f"workers did not come back within {PATIENCE_S:g} s")
        finally:
            self.watch.enter("eval")
            try:
                self.context.refresh()
                steps.close()  # type: ignore[attr-defined]
                self._read(self._reached + 1)
            finally:
                self.context.refresh = lambda: None  # it holds what is on the device
                if self.context.device is not None:
                    self.context.device.close()
                self.context.ledger.close()

    # --- at the checkpoints ----------------------------------------------------------------

    def _loop(self, steps: Iterator[Checkpoint]) -> None:
        for checkpoint in steps:
            if checkpoint.running:
                self._arrive(checkpoint)
                self._tell()
                self._hold()
            else:
                self.watch.enter("eval")
                self._arrive(checkpoint)
                self._stand(checkpoint)
                self.watch.enter("solve")
        self.watch.enter("eval")
        if self._evaluated != self._reached:
            self._evaluate()

    def _arrive(self, checkpoint: Checkpoint) -> None:
        if self._reached < 0 and (checkpoint.kind, checkpoint.epoch) != ("epoch", 0):
            raise RuntimeError(f"the first checkpoint must be epoch 0, not {checkpoint}")
        before, self.run.updates = self.run.updates, int(checkpoint.updates)
        self.run.epoch = checkpoint.epoch
        for name, value in self.controls.take_changes().items():
            self.log.append(ParamChanged, name=name, old=getattr(self.context, name), new=value)
            setattr(self.context, name, value)
        looked, self._looked = self._looked, checkpoint.running
        # A look at workers that go on is no step, nor is the end of what was seen in the last one.
        moved = self.run.updates > before or not (checkpoint.running or looked)
        if moved or checkpoint.kind == "epoch":
            self.controls.arrived(checkpoint.kind)

    def _stand(self, checkpoint: Checkpoint) -> None:
        """Do everything that is done while the solver stands still."""
        if checkpoint.kind == "epoch":
            self._end_epoch(checkpoint)
            if checkpoint.epoch == self.solver.epochs:
                return  # nothing is left to hold back
        elif time.monotonic() - self._read_at > READ_EVERY_S or self.context.spans.half_full:
            self._read(checkpoint.epoch)
        self._keep_pace(checkpoint)
        self._hold()

    def _end_epoch(self, checkpoint: Checkpoint) -> None:
        self._reached = checkpoint.epoch
        self.run.factors = self.context.factors
        self._read(checkpoint.epoch)
        self._pauses.clear()
        self.log.append(
            EpochEnded,
            epoch=checkpoint.epoch,
            updates=self.run.updates,
            solve_s=self.watch.seconds("solve"),
        )
        device = self.context.device
        if device is not None:
            log_epoch(self.log, device, checkpoint.epoch, self.context.spans.lanes)
        every = self.run.evaluate_every
        if every and checkpoint.epoch % every == 0:
            self._evaluate()
        elif self.context.factors is not None and not self.context.factors.finite():
            raise _Diverged("a factor is NaN or infinite")

    def _evaluate(self) -> None:
        factors = self.context.factors
        if factors is None:
            raise RuntimeError("the solver has set no factors at its first checkpoint")
        self._evaluating_since = time.monotonic_ns()
        self.context.refresh()
        train = self._sum(self.problem.train)
        error = rmse(train, self.problem.train.nnz)
        with np.errstate(all="ignore"):  # a diverged model is reported below, in words
            self.log.append(
                Evaluated,
                epoch=self._reached,
                train_rmse=error,
                test_rmse=rmse(self._sum(self.problem.test), self.problem.test.nnz),
                objective=self.solver.objective(self.problem, factors, train),
                eval_s=self.watch.seconds("eval"),
            )
        self._lanes_wait(self._evaluating_since, "evaluate")
        self._evaluating_since = 0
        self._evaluated = self._reached
        self._rule = self._rule or Rule(self.problem)
        wrong = self._rule.check(self._reached, error)
        if wrong:
            raise _Diverged(wrong)

    def _sum(self, ratings: Ratings) -> float:
        context = self.context
        assert context.factors is not None
        return sum_of_squares(ratings, context.factors, context.crew, context.gate, self._hold)

    # --- standing still --------------------------------------------------------------------

    def _keep_pace(self, checkpoint: Checkpoint) -> None:
        """Wait outside solve time until this much of the training is due.

        A run with a pace lets the others of its job go on after each epoch, even when it is late.
        """
        progress = self._progress(checkpoint)

        def left(pace: float) -> float:
            due = self._paced_at + (progress - self._paced_progress) / pace
            return due - time.monotonic()

        pace, whole = self.controls.pace, checkpoint.kind == "epoch"
        if left(pace) > WORTH_WAITING_S or (whole and not math.isinf(pace)):
            self.watch.enter("paced")
            self.run.baton.give(self.run, back_soon=True)
            self.controls.wait_for_pace(left)
            if not self.run.baton.take(self.run, self.controls.stopping):
                raise _Stopped
            self.watch.enter("eval")
        elif not whole:
            return  # a debt that is not worth a sleep is carried on
        self._paced_at, self._paced_progress = time.monotonic(), progress

    def _progress(self, checkpoint: Checkpoint) -> float:
        """Epochs done, with their fractions."""
        if checkpoint.kind == "epoch":
            return float(checkpoint.epoch)
        visits = self.problem.train.nnz * (2 if self.solver.two_sided else 1)
        return min(checkpoint.updates / visits, float(checkpoint.epoch))

    def _hold(self) -> None:
        """Stand still while a pause is asked for; leave the training on a stop."""
        controls, gate = self.controls, self.context.gate
        if controls.stopping():
            raise _Stopped
        if not controls.pausing():
            return
        gate.shut()
        while gate.waiting < self.context.crew.busy and not controls.stopping():
            time.sleep(0.001)  # each worker finishes its kernel call; that is still solve time
        phase = self.watch.enter("paused")
        since = time.monotonic_ns()
        if self._evaluating_since:
            self._lanes_wait(self._evaluating_since, "evaluate", since)
        self._read(self.run.epoch)
        self.run.become("paused")
        while controls.pausing() and not controls.stopping():
            self.run.baton.give(self.run)
            controls.wait_while_paused()
            self.run.baton.take(self.run, controls.stopping)
        if controls.stopping():
            raise _Stopped
        self.run.become("running")
        self._pauses.append(self._lanes_wait(since, "pause"))
        self._paced_at = time.monotonic()
        if self._evaluating_since:
            self._evaluating_since = time.monotonic_ns()
        self.watch.enter(phase)
        gate.open()

    def _lanes_wait(self, since: int, reason: str, until: int = 0) -> tuple[int, int]:
        """Draw a stop of the whole run on every lane; return its start and end."""
        origin = self.log.origin_ns
        start, end = since - origin, (until or time.monotonic_ns()) - origin
        span = {"op": "wait", "name": reason, "reason": reason, "start_ns": start, "end_ns": end}
        lanes = self.context.spans.lanes
        self.log.extend(Span, [{"lane": lane, "epoch": self.run.epoch, **span} for lane in lanes])
        return start, end

    def _tell(self) -> None:
        """Log what the solver has told meanwhile."""
        told = []
        while self._emitted:
            told.append(self._emitted.popleft())
        if told:
            self.log.append_many(told)

    def _read(self, epoch: int) -> None:
        """Log what was told and take the spans out; only while no worker writes."""
        self._read_at = time.monotonic()
        self._tell()
        spans = self.context.spans
        if spans.dropped and not self._overflowed:
            self._overflowed = True
            message = f"{spans.dropped:,} {OVERFLOW} in epoch {epoch}."
            self.log.append(Noticed, level="warning", message=message)
        batch = spans.take(self.log.origin_ns, epoch, self.context.names)
        if batch is not None:
            self.log.append_spans(batch.without(self._pauses) if self._pauses else batch)

"""A run: one solver on one problem, in a thread of its own, under a person's control.

The solver yields checkpoints; the run owns everything in between: the clock, evaluation, pauses,
the pace, changed settings, the divergence rule and the events. The state machine is::

    queued <-> warming, queued -> running <-> paused -> done | stopped | diverged | failed

(a warm run queues once more, until every run of its job is warm: nobody compiles while somebody
else is timed). A run may be stopped or fail in any state; its last event is always run-ended.
"""

from __future__ import annotations

import math
import threading
import uuid
from numbers import Integral
from pathlib import Path
from typing import Any

from mfviz.backends import cupti
from mfviz.backends.device import using
from mfviz.data.problem import Problem
from mfviz.errors import MfvizError, ParameterError, UnsupportedError
from mfviz.experiments.controls import Controls
from mfviz.experiments.drive import Drive, Outcome
from mfviz.experiments.identity import identity
from mfviz.experiments.result import Result, save_arrays
from mfviz.experiments.turns import Baton
from mfviz.experiments.turns import device as queue_of
from mfviz.experiments.watch import Watch
from mfviz.solvers.base import Factors, Solver, expected
from mfviz.telemetry.events import Noticed, RunEnded, RunStarted, Snapshot
from mfviz.telemetry.log import EventLog
from mfviz.telemetry.memory import available_bytes

__all__ = ["ENDED", "Run"]

ENDED = frozenset({"done", "stopped", "diverged", "failed"})
LEGAL = {
    "queued": {"warming", "running", "stopped", "failed"},
    "warming": {"queued", "stopped", "failed"},
    "running": {"paused"} | ENDED,
    "paused": {"running"} | ENDED,
}
LIVE_SETTINGS = ("lr", "lam")


class Run:
    """One solver on one problem.

    Parameters
    ----------
    problem : Problem
    solver : Solver
        Its settings at this moment are those of the run; what they leave to it is set so that the
        device has room for it, which a notice tells.
    backend : str
        "cpu" or "cuda".
    pace : float
        Epochs a second, waited outside solve time; ``math.inf`` for unlimited.
    evaluate_every : int
        Epochs between two evaluations, counted from epoch 0; 0 for one at the end only.
    folder : Path, optional
        Run folder to write events and, at the end, arrays into.
    start : Factors, optional
        Initial factors to copy ("same start" of two runs).
    chunk : int, optional
        Most ratings between two checkpoints.
    baton : Baton, optional
        Shared by the runs of a job; without it the run is a job of its own.
    run_id : str, optional
        Made up if it is not given.
    device : int
        Which device of the backend, counted from 0 as :func:`mfviz.backends.cuda.devices` does.
    timed : bool
        Whether a device's copies and kernels are timed. Without, their lanes stay empty: that
        serves only to measure what timing costs.
    profile : bool
        Whether these times are compared with what CUPTI records (extra ``profile``); it slows the
        run down.

    Attributes
    ----------
    id : str
    status : str
        See the module; ``active`` is True until the run has ended.
    reason, fix : str
        Why it ended, and a setting worth trying ("lr=0.0125") or "".
    epoch, updates : int
        Where the solver is, at its last checkpoint.
    log : EventLog
    factors : Factors or None
        Live while the run goes on.

    Raises
    ------
    UnsupportedError
        If the solver cannot serve the problem on that backend, or there is no memory for it.
    ParameterError
        If a number is out of bounds.
    """

    def __init__(
        self,
        problem: Problem,
        solver: Solver,
        *,
        backend: str = "cpu",
        pace: float = math.inf,
        evaluate_every: int = 1,
        folder: Path | None = None,
        start: Factors | None = None,
        chunk: int | None = None,
        baton: Baton | None = None,
        run_id: str | None = None,
        device: int = 0,
        timed: bool = True,
        profile: bool = False,
    ) -> None:
        _check_device(backend, device)
        with using(device):
            solver, self._fitted = solver.fitted(problem, backend)
            refusal = solver.supports(problem, backend)
        if refusal:
            raise UnsupportedError(refusal)
        _check_profile(profile, backend)
        every: Any = evaluate_every  # a caller may not have looked at the type
        if not isinstance(every, Integral) or every < 0:
            raise ParameterError(
                f"evaluate_every is {evaluate_every}; it must be 0 (at the end only) or a whole "
                "number of epochs.",
                "evaluate_every",
            )
        if chunk is not None and chunk < 1:
            raise ParameterError(f"chunk is {chunk}; it must be at least 1 rating.", "chunk")
        _check_room(problem, solver, backend)
        _check_start(start, problem, solver)
        self.id = run_id or uuid.uuid4().hex[:12]
        self.problem, self.solver, self.backend = problem, solver, backend
        self.evaluate_every, self.start_factors, self.chunk = evaluate_every, start, chunk
        self.folder, self.device, self.timed, self.profile = folder, device, timed, profile
        self.baton = baton or Baton(queue_of(backend, device))
        self.controls = Controls(pace, self._nudge)
        self.log = EventLog(self.id, folder)
        self.watch = Watch()
        self.status, self.reason, self.fix = "queued", "", ""
        self.epoch = self.updates = 0
        self.factors: Factors | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._executed = False

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.solver.key} on {self.problem.name}, {self.status}>"

    # --- what a person does ----------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the run has not ended yet."""
        return self.status not in ENDED

    @property
    def started(self) -> bool:
        """Whether the run was started, or stopped before that."""
        return self._executed

    @property
    def pace(self) -> float:
        """Epochs a second; may be set at any time, ``math.inf`` for unlimited."""
        return self.controls.pace

    @pace.setter
    def pace(self, value: float) -> None:
        self.controls.set_pace(value)

    def start(self) -> None:
        """Execute in a background thread.

        Raises
        ------
        MfvizError
            If it was started before.
        """
        self._claim()
        threading.Thread(target=self._execute, name=f"mfviz-{self.id}", daemon=True).start()

    def execute(self) -> None:
        """Execute in this thread and return when the run has ended.

        A solver's exception is no exception here: the run has then failed, with its reason.

        Raises
        ------
        MfvizError
            If it was started before.
        KeyboardInterrupt
            After the run was stopped by it.
        """
        self._claim()
        self._execute()

    def pause(self) -> None:
        """Hold at the next checkpoint; nothing happens to a run that has ended."""
        self.controls.ask_pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self.controls.ask_resume()

    def step(self, unit: str = "epoch") -> None:
        """Go on to the end of the next unit, then hold.

        Parameters
        ----------
        unit : {"epoch", "checkpoint"}
        """
        if unit not in ("epoch", "checkpoint"):
            raise ParameterError(f"step is {unit!r}; it must be epoch or checkpoint.", "step")
        self.controls.ask_step(unit)

    def stop(self) -> None:
        """End the run within half a second; what it has learnt is kept."""
        self.controls.ask_stop()
        if self.status == "queued" and self._try_claim():
            self.baton.give(self)
            self._finish(Outcome("stopped", "Stopped before it began."))

    def change(self, name: str, value: float) -> None:
        """Change the learning rate or lambda at the next checkpoint.

        Parameters
        ----------
        name : {"lr", "lam"}
        value : float

        Raises
        ------
        ParameterError
            If the solver has no such setting or the value is out of its bounds.
        """
        known = self.solver.hyper_parameters()
        if name not in LIVE_SETTINGS or name not in known:
            live = [n for n in LIVE_SETTINGS if n in known]
            raise ParameterError(
                f"{name!r} cannot change during a run of {self.solver.key}; "
                f"{' and '.join(live)} can. Start a new run with it.",
                name,
            )
        try:
            known[name]._validate(value)
        except (ValueError, TypeError):
            raise ParameterError(f"{name} is {value!r}; {expected(known[name])}.", name) from None
        self.controls.ask_change(name, float(value))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if ``timeout`` seconds passed before."""
        return self._ended.wait(timeout)

    def result(self) -> Result:
        """The factors, tables and predictions of a run that has ended.

        Raises
        ------
        MfvizError
            While the run goes on.
        """
        if self.active:
            raise MfvizError(f"Run {self.id} is {self.status}; wait() for its end or stop() it.")
        return Result(self.problem, self.factors, self.log)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return Result(self.problem, self.factors, self.log)._repr_mimebundle_(include, exclude)

    # --- what the run does -----------------------------------------------------------------

    def become(self, status: str) -> None:
        """Go to another state; for the run's own thread.

        Raises
        ------
        RuntimeError
            If the state machine has no such step.
        """
        if status not in LEGAL.get(self.status, ()):
            raise RuntimeError(f"a run cannot go from {self.status} to {status}")
        self.status = status

    def _try_claim(self) -> bool:
        with self._lock:
            first, self._executed = not self._executed, True
        return first

    def _claim(self) -> None:
        if not self._try_claim():
            raise MfvizError(f"Run {self.id} was started before; make a new Run to repeat it.")

    def _nudge(self) -> None:
        self.baton.nudge()

    def _execute(self) -> None:
        outcome = Outcome("stopped", "Interrupted.")  # unless one of the two below is reached
        try:
            with using(self.device):
                outcome = self._train()
        except Exception as error:
            outcome = Outcome.failure(error)
        finally:
            self.watch.stop()
            self.baton.give(self)
            self._finish(outcome)

    def _train(self) -> Outcome:
        started = identity(self)  # hashes the ratings: done while others may still solve
        if not self.baton.take(self, self.controls.stopping):
            return Outcome("stopped", "Stopped before it began.")
        self.watch.start("compile")
        self.become("warming")
        self.log.append(RunStarted, **started)
        untimed = () if self.timed else ("Copies and kernels of the device were not timed.",)
        fitted = (self._fitted,) if self._fitted else ()
        for sentence in (*self.problem.notices, *fitted, *untimed):
            self.log.append(Noticed, level="info", message=sentence)
        return Drive(self).train()

    def _finish(self, outcome: Outcome) -> None:
        """Write what is left to write, and run-ended exactly once."""
        if len(self.log) == 0:
            self.log.append(RunStarted, **identity(self, bare=True))
        if outcome.details:
            self.log.append(Noticed, level="details", message=outcome.details)
        if self.folder is not None and self.factors is not None:
            try:
                for name in save_arrays(self.folder, self.factors):
                    self.log.append(Snapshot, epoch=self.epoch, name=name)
            except OSError as error:
                self.log.append(
                    Noticed, level="warning", message=f"The arrays could not be saved: {error}."
                )
        self.reason, self.fix = outcome.reason, outcome.fix
        self.log.append(
            RunEnded, status=outcome.status, reason=outcome.reason, fix=outcome.fix,
            **self.watch.totals(),
        )  # fmt: skip
        self.log.close()
        self.become(outcome.status)
        self._ended.set()


def _check_room(problem: Problem, solver: Solver, backend: str) -> None:
    """Refuse what the system would end without a word when memory is used up."""
    try:
        model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz, backend)
    except Exception:
        return  # a solver that is broken fails in the run, which tells where
    need, free = model.total_bytes - model.bytes_on_devices, available_bytes()[0]
    if need > free:
        raise UnsupportedError(
            f"{solver.title} needs {need / 2**20:,.0f} MiB of memory, and {free / 2**20:,.0f} MiB "
            "are free. Take a lower rank, fewer workers or smaller data."
        )


def _check_device(backend: str, index: int) -> None:
    """Raise UnsupportedError if the backend has no such device."""
    if index == 0:
        return  # without any, the solver says why
    if backend == "cpu":
        raise UnsupportedError(f"the cpu backend has no devices to choose from, so not {index}.")
    from mfviz.backends.cuda import find

    find(index)


def _check_profile(profile: bool, backend: str) -> None:
    """Raise UnsupportedError if there is nothing to profile, or nothing to do it with."""
    if profile and backend == "cpu":
        raise UnsupportedError("profile compares a device's times; the cpu backend has no device.")
    reason = cupti.why_not() if profile else None
    if reason is not None:
        raise UnsupportedError(reason)


def _check_start(start: Factors | None, problem: Problem, solver: Solver) -> None:
    if start is None:
        return
    found = (*(len(a) for a in (start.P, start.Q)), start.rank)
    needed = (problem.n_users, problem.n_items, solver.rank)
    if found != needed:
        raise ParameterError(
            f"the start has {found[0]} users, {found[1]} items and rank {found[2]}; this run has "
            f"{needed[0]}, {needed[1]} and {needed[2]}. Use a start of the same problem and rank.",
            "start",
        )

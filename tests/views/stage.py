"""A stage for sessions: runs and desks that do what a test says, and no browser."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

from mfviz.solvers.base import registry
from mfviz.telemetry.events import RunEnded
from mfviz.telemetry.log import EventLog
from mfviz.views.desk import Desk
from mfviz.views.headless import HeadlessHost
from mfviz.views.loading import Asked, Loaded, Loader
from mfviz.views.ownership import Owners
from mfviz.views.readiness import Readiness
from mfviz.views.session import Session
from tests.fakes import FakeClock, make_events, tiny_problem


class FakeRun:
    """A run whose log a test writes; what it is asked is noted in ``asked``."""

    def __init__(self, name: str, epochs: int = 5, title: str = "Fake") -> None:
        self.id = name
        self.log = EventLog(name, clock=FakeClock())
        self.script = make_events(epochs, run=name)
        self.solver = SimpleNamespace(title=title, epochs=epochs)
        self.problem = SimpleNamespace(name="tiny")
        self.status, self.reason, self.fix = "queued", "", ""
        self.pace = 1.0
        self.baton = SimpleNamespace(position=lambda run: 1)
        self.asked: list[str] = []
        self._at = 0

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.status not in ("done", "stopped", "diverged", "failed")

    def play(self, epoch: int) -> None:
        """Write the log up to the end of an epoch; past the last one, to its end."""
        self.status = "running"
        while self._at < len(self.script):
            event = self.script[self._at]
            ends = getattr(event, "epoch", 0) > epoch or isinstance(event, RunEnded)
            if ends and epoch < self.solver.epochs + 1:
                return
            given = {f.name: getattr(event, f.name) for f in fields(event)}
            for stamp in ("run", "seq", "t_ns"):
                del given[stamp]
            self.log.append(type(event), **given)
            self._at += 1
        self.status = "done"

    def pause(self) -> None:
        """Hold."""
        self.asked.append("pause")
        self.status = "paused"

    def resume(self) -> None:
        """Go on."""
        self.asked.append("resume")
        self.status = "running"

    def change(self, name: str, value: float) -> None:
        """Note a changed setting."""
        self.asked.append(f"{name} = {value:g}")

    def step(self, unit: str = "epoch") -> None:
        """Go on by one."""
        self.asked.append(f"step {unit}")

    def stop(self) -> None:
        """End."""
        self.asked.append("stop")
        if self.active:
            self.status = "stopped"


class FakeFigure:
    """Counts what a session asks of a figure."""

    def __init__(self) -> None:
        self.period, self.empty = 0.0, False
        self.shown: list[list[str]] = []
        self.updates = 0

    @property
    def drawn(self) -> int:
        """How often it was drawn, anew or not."""
        return len(self.shown) + self.updates

    def show(self, tracks: Sequence[Any]) -> None:
        """Note the letters."""
        self.shown.append([letter for letter, _ in tracks])

    def settle(self) -> None:
        """Nothing waits here."""

    def update(self) -> bool:
        """Count."""
        self.updates += 1
        return True


def ready() -> Readiness:
    """A process whose kernels are warm."""
    made = Readiness()
    made.registry, made.state = dict(registry()), "live"
    made.imported.set()
    made._begun = True
    return made


class InstantLoader(Loader):
    """Has every problem at hand; ``missing`` names have trouble instead."""

    def __init__(self, missing: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.missing = missing
        self.asked: list[Asked] = []
        self.thread = threading.current_thread()

    def held(self, asked: Asked) -> Loaded:
        """A tiny problem, or trouble."""
        self.asked.append(asked)
        name, seed, _ = asked
        if name in self.missing:
            return Loaded(trouble=f"{name} is not there; choose another.")
        return Loaded(tiny_problem(seed))


def make_desk(query: str = "", missing: tuple[str, ...] = (), **defaults: Any) -> Any:
    """A desk on a headless host."""
    desk = Desk(
        HeadlessHost(query),
        defaults,
        ready=ready(),
        load=InstantLoader(missing),
        page_names=("pace", "x"),
    )
    desk.open()
    return desk


class Stage:
    """A session with fake runs.

    Attributes
    ----------
    host, session, figure, owners
    runs : list of FakeRun
        All that were started, oldest first.
    """

    def __init__(
        self, epochs: int = 5, grace_s: float = 60.0, awake: bool = True, **defaults: Any
    ) -> None:
        self.desk = make_desk(**defaults)
        self.host: Any = self.desk.host
        self.owners = Owners(grace_s)
        self.runs: list[FakeRun] = []
        self.epochs = epochs
        self.session = Session(self.host, self.desk, launcher=self._launch, register=self.owners)
        self.figure = FakeFigure()
        self.session.drawing.figures = [self.figure]
        if awake:
            self.session.wake()
        self.host.advance(0.5)

    def _launch(self, problem: Any, solvers: Sequence[Any], pace: float) -> list[Any]:
        made = [FakeRun(f"r{len(self.runs) + n}", self.epochs) for n in range(len(solvers))]
        self.runs += made
        return list(made)

    def run(self) -> list[FakeRun]:
        """Press Run and return the new runs."""
        before = len(self.runs)
        self.host.advance(1.0)
        self.session.run()
        self.host.advance(0.2)
        return self.runs[before:]

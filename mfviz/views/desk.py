"""The desk: what will run next, and whether it can.

It joins the chosen data, the settings of one or two solvers, the proposals for them, and the
check before a run (does each solver serve the problem, does it fit into memory). The drawer shows
it; the session takes runs from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mfviz.backends.device import using
from mfviz.data.problem import Problem
from mfviz.data.ways import Way
from mfviz.errors import MfvizError, ParameterError
from mfviz.solvers.base import Solver
from mfviz.telemetry.memory import available_bytes
from mfviz.views.chips import megabytes, memory_size
from mfviz.views.host import Host
from mfviz.views.loading import Asked, Loaded, Loader, loader
from mfviz.views.readiness import Readiness, readiness
from mfviz.views.settings import Key, Settings

__all__ = ["OWN_FILE", "Desk", "Preflight"]

OWN_FILE = "own file"
DEFAULTS = {"data": "toy", "solver": "sgd", "compare": "als"}


@dataclass(frozen=True)
class Preflight:
    """What stands above the Run button.

    Attributes
    ----------
    ready : bool
        Whether Run may be pressed.
    sentence : str
        Fits, or why not.
    parts : str
        Memory of A and B, or nothing.
    share : float
        Part of the free memory, 0 to 1.
    sizes : dict of str to int
        Predicted bytes by slot.
    """

    ready: bool
    sentence: str
    parts: str = ""
    share: float = 0.0
    sizes: Mapping[str, int] | None = None


class Desk:
    """The state of the drawer.

    Parameters
    ----------
    host : Host
    defaults : mapping
        data, solver, compare and settings to begin with; the address goes before them.
    ready : Readiness, optional
    load : Loader, optional
    page_names : tuple of str
        Names in the address that are the page's own and no setting.

    Attributes
    ----------
    data : str
        Name in the catalog, or a path.
    way : Way
        How the test ratings are chosen.
    problem : Problem or None
    loading : bool
    trouble : str
        Why there is no problem.
    notices : list of str
        Sentences about mended values of the address.
    settings : Settings or None
        None until the solvers are imported.
    errors : dict
        Sentences by field, for what was typed and not accepted.
    watchers, listeners : list of callable
        Called after each change; called with key and value after each edit that was taken.
    """

    def __init__(
        self,
        host: Host,
        defaults: Mapping[str, Any] | None = None,
        *,
        ready: Readiness | None = None,
        load: Loader | None = None,
        page_names: tuple[str, ...] = (),
    ) -> None:
        self.host = host
        self.readiness = ready or readiness()
        self._loader = load or loader()
        given = {k: str(v) for k, v in (defaults or {}).items() if v is not None}
        asked = {**given, **host.query}
        if "solver" in asked:
            asked.setdefault("compare", "")  # who names one solver wants that one
        self._query = {**DEFAULTS, **asked}
        self._page_names = page_names
        self.data = self._query["data"]
        self.notices: list[str] = []
        self.way = self._way_of(self._query.get("split", ""))
        self.loaded = Loaded()
        self.loading = False
        self.settings: Settings | None = None
        self.errors: dict[Key, str] = {}
        self.watchers: list[Callable[[], None]] = []
        self.listeners: list[Callable[[Key, Any], None]] = []
        self._asked: Asked | None = None  # being loaded
        self._lock = threading.RLock()

    @property
    def problem(self) -> Problem | None:
        """The problem on the desk."""
        return self.loaded.problem

    @property
    def trouble(self) -> str:
        """Why there is none."""
        return self.loaded.trouble

    @property
    def waiting(self) -> bool:
        """Whether the solvers are not known yet, or the ratings not read."""
        return self.settings is None or self.loading

    def open_when_ready(self) -> None:
        """Open, if that had to wait for the solvers to be known."""
        if self.settings is None and self.readiness.registry is not None:
            self.open()

    def open(self) -> None:
        """Read the address and begin to load; call once the solvers may be imported."""
        if self.settings is not None or self.readiness.registry is None:
            return
        settings = Settings(self.readiness.registry, DEFAULTS["solver"], "")
        no_settings = ("data", "split", "run", *self._page_names)
        self.notices += settings.read(self._query, ignore=no_settings)
        self.settings = settings
        self._load()

    def complete(self) -> None:
        """Import the solvers and load the data on this thread, and return when both are there."""
        self.readiness.begin()
        self.readiness.imported.wait()
        with self._lock:
            self.open()
            if self._asked is not None:
                self._arrived(self._asked, self._loader.get(self._asked))

    def choose_data(self, name: str) -> None:
        """Put other ratings on the desk; what only some ratings offer is not asked of them."""
        if name and (name != self.data or self.trouble):  # it may be here by now
            self.data = name
            if self.way.beside or self.way.by == "time":
                self.way = Way()
            self._load()

    def choose_way(self, way: Way) -> None:
        """Hold out other ratings."""
        if way != self.way:
            self.way = way
            self._load()

    def choose_solver(self, slot: str, key: str) -> None:
        """Put another solver into a slot; its proposal fills what was not edited."""
        if self.settings is None or self.settings.solvers[slot] == key:
            return
        self.settings.choose(slot, key)
        self.errors = {k: v for k, v in self.errors.items() if k[0] not in (slot, "both")}
        self._propose()
        self.tell()

    def choose_backend(self, slot: str, backend: str) -> None:
        """Have a slot's solver run elsewhere: "cpu" or "cuda"."""
        if self.settings is not None and self.settings.backend(slot) != backend:
            self.settings.choose_backend(slot, backend)
            self.tell()

    def choose_device(self, slot: str, device: int) -> None:
        """Have a slot's solver run on another device of its backend."""
        if self.settings is not None and self.settings.where.device(slot) != device:
            self.settings.where.choose_device(slot, device)
            self.tell()

    def edit(self, key: Key, text: Any) -> None:
        """Take what was typed into a field; a value that is refused leaves a sentence there."""
        if self.settings is None:
            return
        before = self.settings.value(key)
        try:
            value = self.settings.set(key, text)
            self.errors.pop(key, None)
        except ParameterError as error:
            self.errors[key] = str(error)
            value = before
        if value != before:
            if key[1] == "seed":
                self._load()
            for listener in self.listeners:
                listener(key, value)
        self.tell()

    def reset(self) -> None:
        """Go back to the proposals."""
        if self.settings is not None:
            self.settings.reset()
            self.errors.clear()
            self.tell()

    def apply(self, slot: str, fix: str) -> None:
        """Take a suggestion NAME=VALUE for a slot."""
        name, _, value = fix.partition("=")
        self.edit(("both" if name in ("rank", "workers", "seed") else slot, name), value)

    def preflight(self) -> Preflight:
        """Say whether the run can start, and what it would need."""
        if self.settings is None:
            return Preflight(True, "Solvers are being imported; Run waits for them.")
        if self.trouble:
            return Preflight(False, self.trouble)
        if self.errors:
            return Preflight(False, next(iter(self.errors.values())))
        problem = self.problem
        if problem is None:
            return Preflight(True, f"Loading {self.data} ...")
        try:
            return self._check(self.settings, problem)
        except MfvizError as error:
            return Preflight(False, str(error))

    def solvers(self) -> list[tuple[str, tuple[Solver, str, int]]]:
        """Slots, and what runs in each now: a solver, its backend, and which of its devices.

        Raises
        ------
        MfvizError
            If the desk is not ready.
        """
        check = self.preflight()
        if self.settings is None or self.problem is None or not check.ready:
            raise MfvizError(check.sentence)
        settings = self.settings
        return [
            (slot, (settings.make(slot), settings.backend(slot), settings.where.device(slot)))
            for slot in settings.slots
        ]

    def query(self) -> dict[str, str]:
        """The desk as it stands in an address."""
        if self.settings is None:
            return {k: v for k, v in self._query.items() if k not in ("run", *self._page_names)}
        way = {} if self.way == Way() else {"split": str(self.way)}
        return {"data": self.data, **way, **self.settings.query()}

    def about_data(self) -> str:
        """One line about the ratings."""
        if self.trouble:
            return self.trouble
        problem = self.problem
        if problem is None or self.loading:
            return f"loading {self.data} ..."
        held_out = problem.test.nnz + problem.set_aside
        total = problem.train.nnz + held_out
        return (
            f"{problem.n_users:,} × {problem.n_items:,} · {total:,} ratings"
            f" · {100 * held_out / total:.2g} % test"
        )

    def _way_of(self, word: str) -> Way:
        """Read a way from the address; one that is none leaves a sentence."""
        try:
            return Way.read(word) if word else Way()
        except ParameterError as error:
            self.notices.append(f"The address is not taken there: {error}")
            return Way()

    def _check(self, settings: Settings, problem: Problem) -> Preflight:
        sizes, on_devices, told = {}, 0, ""
        for slot in settings.slots:
            solver, backend = settings.make(slot), settings.backend(slot)
            with using(settings.where.device(slot)):
                solver, fitted = solver.fitted(problem, backend)
                refusal = solver.supports(problem, backend)
            told += f" {slot}: {fitted}" if fitted else ""
            if refusal:
                return Preflight(False, f"{slot} cannot run: {refusal}")
            model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz, backend)
            sizes[slot] = model.total_bytes
            on_devices += model.bytes_on_devices
        free = available_bytes()[0]
        need = sum(sizes.values()) - on_devices  # on a device it fits, or was refused
        parts = " · ".join(f"{slot} {megabytes(size)}" for slot, size in sizes.items())
        if need > free:
            sentence = (
                f"does not fit: {memory_size(need)} of {memory_size(free)}. "
                "Choose a lower rank or smaller data."
            )
            return Preflight(False, sentence, parts, 1.0, sizes)
        sentence = f"fits: {memory_size(need)} of {memory_size(free)}"
        if on_devices:
            sentence += f", and {memory_size(on_devices)} on the device"
        if told:
            sentence += f". Set for that:{told}"
        return Preflight(True, sentence, parts if len(sizes) > 1 else "", need / free, sizes)

    def _load(self) -> None:
        seed = int(self.settings.value(("both", "seed"))) if self.settings else 0
        asked = self._asked = (self.data, seed, str(self.way))
        held = self._loader.held(asked)
        if held is not None:
            self._arrived(asked, held)
            return
        self.loading, self.loaded = True, Loaded()
        self._loader.fetch(asked, lambda got: self.host.later(lambda: self._arrived(asked, got)))
        self.tell()

    def _arrived(self, asked: Asked, loaded: Loaded) -> None:
        with self._lock:
            if asked != self._asked:
                return  # something else was chosen meanwhile, or it was here already
            self._asked = None
            self.loading, self.loaded = False, loaded
            self._propose()
            self.tell()

    def _propose(self) -> None:
        if self.settings is None or self.problem is None:
            return
        for slot in self.settings.slots:
            self.settings.propose(slot, self.loaded.proposal(self.settings.solvers[slot]))

    def tell(self) -> None:
        """Tell everybody who watches that something is different."""
        for watcher in self.watchers:
            watcher()

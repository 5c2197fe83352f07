"""What a solver is: declared parameters, a card, a memory model and a generator of checkpoints.

A solver never sees a queue, a widget, a callback or the app's threads. It yields a
:class:`Checkpoint` at every safe point, at most 50 ms of work apart, and reads the live learning
rate and lambda from its :class:`Context` after each yield; the run that drives it owns the thread,
the clock and everything that happens in between.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import param

from mfviz.backends.device import Device
from mfviz.backends.host import Crew, Gate, cpu_count
from mfviz.data.problem import Problem
from mfviz.errors import ParameterError
from mfviz.telemetry.clock import CAPACITY, SpanBuffer
from mfviz.telemetry.memory import Ledger, MemoryModel
from mfviz.theory.memory import rounding_bytes

__all__ = [
    "NEAR_THE_BEST",
    "Card",
    "Checkpoint",
    "Context",
    "Factors",
    "Solver",
    "registry",
    "solver_class",
]

NEAR_THE_BEST = "With proposed settings its test RMSE ends within 0.02 of the best solver's."
PAD = 16  # factors are padded with zero columns to a multiple of this, one 512-bit vector


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A safe point of a solver.

    Attributes
    ----------
    kind : str
        "chunk", "batch", "stratum", "half-sweep" or "epoch".
    epoch : int
        Epoch that this belongs to; the checkpoint ("epoch", 0) comes first and ends the set-up.
    updates : int
        Rating visits since the start (two-sided solvers count each side).
    running : bool
        True where the workers go on while the coordinator yields (free-running solvers).
    """

    kind: str
    epoch: int
    updates: int
    running: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """What a solver is like, in one or two short sentences a field; no field is empty.

    ``brief`` has 36 characters at most; ``accuracy`` says why a solver cannot end where others do.
    """

    brief: str
    parallel: str
    synchronises: str
    conflicts: str
    cost: str
    memory: str
    kernel: str
    accuracy: str = NEAR_THE_BEST


@dataclass
class Factors:
    """The model: prediction is ``mu + bu[u] + bi[i] + P[u] . Q[i]``.

    Attributes
    ----------
    P, Q : (m, padded), (n, padded) float32
        Row-major, padded with zero columns to a multiple of 16; ``rank`` columns count.
    bu, bi : (m,), (n,) float32
        Biases; zeros where the solver has none.
    mu : float
        Constant part; 0 where the solver does not centre.
    rank : int
    biased : bool
        Whether the solver trains ``bu`` and ``bi``.
    scale : float
        Factors and biases are those of ratings divided by this (1 unless a solver scales);
        predictions are multiplied by it.
    """

    P: npt.NDArray[np.float32]
    Q: npt.NDArray[np.float32]
    bu: npt.NDArray[np.float32]
    bi: npt.NDArray[np.float32]
    rank: int
    mu: float = 0.0
    biased: bool = False
    scale: float = 1.0

    @staticmethod
    def width(rank: int) -> int:
        """Columns that are stored for a rank."""
        return -(-rank // PAD) * PAD

    def predict(self, u: npt.NDArray[np.int32], i: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """Predict ratings in the user's units, as float64 (NumPy; for a few pairs)."""
        dots = np.einsum("ij,ij->i", self.P[u].astype(np.float64), self.Q[i].astype(np.float64))
        return self.scale * (self.mu + self.bu[u] + self.bi[i] + dots)

    def copy(self) -> Factors:
        """Deep copy of the arrays."""
        arrays = (self.P.copy(), self.Q.copy(), self.bu.copy(), self.bi.copy())
        return Factors(*arrays, self.rank, self.mu, self.biased, self.scale)

    def finite(self) -> bool:
        """Whether every number of the model is finite."""
        return all(bool(np.isfinite(a).all()) for a in (self.P, self.Q, self.bu, self.bi))


@dataclass
class Context:
    """What a run gives its solver.

    Attributes
    ----------
    rng : numpy.random.Generator
        Seeded; the only source of randomness, used on the coordinating thread.
    crew : Crew
        ``solver.threads`` threads.
    gate : Gate
        Workers of free-running solvers pass it between kernel calls.
    ledger : Ledger
        Every array goes through it under a name.
    spans : SpanBuffer
        Read by the run at checkpoints (never while ``running``).
    emit : callable
        ``emit(kind, **fields)`` with an event class: BlockTaken, Measured, Noticed.
    chunk : int
        Most ratings between two checkpoints; solvers may take fewer, never more.
    lr, lam : float
        Live values of the two settings that may change during a run; read after each yield.
    start : Factors, optional
        Initial factors to copy ("same start" of two runs).
    factors : Factors, optional
        Set by the solver before its first checkpoint, and updated in place from then on.
    names : tuple of str
        Names of spans by tag, set by the solver.
    device : Device, optional
        Where the backend is one; the solver then trains there.
    refresh : callable
        Brings ``factors`` up to date from the device; set by the solver, and called before anybody
        looks at them.
    """

    rng: np.random.Generator
    crew: Crew
    gate: Gate
    ledger: Ledger
    spans: SpanBuffer
    emit: Callable[..., Any]
    lr: float
    lam: float
    chunk: int = 1 << 62
    start: Factors | None = None
    factors: Factors | None = None
    names: tuple[str, ...] = field(default=("update",))
    device: Device | None = None
    refresh: Callable[[], None] = lambda: None


class Solver(param.Parameterized):
    """Base of all solvers; a subclass in a file of ``mfviz/solvers`` is found by itself.

    Class attributes ``key, title, paper, equations, backends, reconstruction, card`` describe the
    algorithm; hyper-parameters are bounded, documented ``param``s, and what is declared here is
    common to all. ``published`` has the settings that its paper or its authors' code gives for a
    data set, by a name that tells both; they are not the defaults.
    """

    key: ClassVar[str] = ""
    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    equations: ClassVar[str] = ""
    backends: ClassVar[tuple[str, ...]] = ("cpu",)
    reconstruction: ClassVar[bool] = False
    two_sided: ClassVar[bool] = False
    has_lr: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    card: ClassVar[Card]

    rank = param.Integer(16, bounds=(1, 4096), doc="Number of features f of each user and item.")
    lam = param.Number(0.05, bounds=(0.0, 100.0), doc="Regularisation λ.")
    epochs = param.Integer(20, bounds=(1, 10_000), doc="Passes over the training ratings.")
    workers = param.Integer(cpu_count(), bounds=(1, 64), doc="Threads that work side by side.")
    seed = param.Integer(0, bounds=(0, 2**31 - 1), doc="Seed of initial factors and order.")

    @classmethod
    def hyper_parameters(cls) -> dict[str, param.Parameter]:
        """Declared settings by name, in the order of declaration, without param's own ``name``."""
        return {n: p for n, p in cls.param.objects("existing").items() if n != "name"}

    @classmethod
    def make(cls, **settings: Any) -> Solver:
        """Build a solver from settings, with errors that a user can act on.

        Raises
        ------
        ParameterError
            For an unknown setting, a wrong type or a value out of its bounds.
        """
        known = cls.hyper_parameters()
        for name, value in settings.items():
            if name not in known:
                raise ParameterError(
                    f"{cls.key} has no setting {name!r}; it has {', '.join(known)}.", name
                )
            try:
                known[name]._validate(value)
            except (ValueError, TypeError):
                raise ParameterError(
                    f"{name} is {value!r}; {expected(known[name])}.", name
                ) from None
        return cls(**settings)

    def settings(self) -> dict[str, Any]:
        """Values of all settings, by name."""
        return {name: getattr(self, name) for name in self.hyper_parameters()}

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or the reason why this solver cannot serve the problem on the backend."""
        reason = self.available(backend)
        if reason is None and backend == "cuda":
            reason = self._fits(problem.n_users, problem.n_items, problem.train.nnz)
        return reason

    @classmethod
    def available(cls, backend: str) -> str | None:
        """Return None, or the reason why this solver cannot run on the backend at all."""
        if backend not in cls.backends:
            return f"{cls.title} has no {backend} backend; it runs on {', '.join(cls.backends)}."
        if backend != "cuda":
            return None
        from mfviz.backends.cuda import why_not  # here: not every user of the CPU loads CUDA

        return why_not()

    def _fits(self, n_users: int, n_items: int, nnz: int) -> str | None:
        """Return None, or what is to be changed because the device has no room for the arrays."""
        from mfviz.backends.cuda import free_bytes

        free = free_bytes()
        needed = self.needs(n_users, n_items, nnz)
        if free is None or needed <= free:
            return None
        return (
            f"{self.title} needs {needed / 2**20:,.0f} MiB on the device, and "
            f"{free / 2**20:,.0f} MiB are free. {self.cure(n_users, n_items, nnz, free)}"
        )

    def needs(self, n_users: int, n_items: int, nnz: int) -> int:
        """Bytes that a device gives to it, in its granules."""
        parts = self.memory(n_users, n_items, nnz, "cuda").parts
        sizes = [part.bytes for part in parts if part.place != "host"]
        return sum(sizes) + rounding_bytes(sizes)

    def fitted(self, problem: Problem, backend: str = "cpu") -> tuple[Solver, str]:
        """Return a solver that the device has room for, where settings leave that to the solver.

        Returns
        -------
        solver : Solver
            This one, if it fits or cannot be made to.
        sentence : str
            What was set, and why; empty for this one.
        """
        from mfviz.backends.cuda import free_bytes

        shape = problem.n_users, problem.n_items, problem.train.nnz
        free = None if backend == "cpu" or self.available(backend) else free_bytes()
        if free is None or (needed := self.needs(*shape)) <= free:
            return self, ""
        found = self.room_for(*shape, free)
        if not found:
            return self, ""
        words = ", ".join(f"{name}={value}" for name, value in found.items())
        return type(self)(**{**self.settings(), **found}), (
            f"{words}: all at once would need {needed / 2**20:,.0f} MiB on the device, and "
            f"{free / 2**20:,.0f} MiB are free."
        )

    def room_for(self, n_users: int, n_items: int, nnz: int, free: int) -> dict[str, Any]:
        """Settings that are left to the solver, such that ``free`` bytes of a device are enough.

        Empty if no such setting is left to it, or none is small enough.
        """
        return {}

    def cure(self, n_users: int, n_items: int, nnz: int, free: int) -> str:
        """Say what to change where a device has only ``free`` bytes for what does not fit."""
        return (
            "Take a lower rank, smaller batches, or ds_sgd_d, which keeps only batches of the "
            "ratings there."
        )

    @property
    def threads(self) -> int:
        """Threads that the solver wants in its crew."""
        workers: int = self.workers
        return workers

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """Names of the lanes of the timeline: those of the workers, unless a solver has others."""
        return tuple(f"W{w}" for w in range(self.workers))

    @property
    def spans_a_lane(self) -> int:
        """Most spans of a lane between two moments at which no worker writes any."""
        return CAPACITY

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at; solvers whose kernels depend on the rank say which.

        Of two solvers that differ in numbers only, those of equal ``kernel_rank`` share kernels.
        """
        return 32

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact", "exact at N workers" or "statistical" for these settings."""
        raise NotImplementedError

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Predict what :meth:`iterate` will hold for ``nnz`` training ratings."""
        raise NotImplementedError

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train: set up, yield ("epoch", 0), then work and yield.

        One ("epoch", e) ends each epoch; no update is made before the first checkpoint.
        """
        raise NotImplementedError

    def objective(self, problem: Problem, factors: Factors, squared_error: float) -> float:
        """Return the value that this solver minimises, given its training sum of squares."""
        raise NotImplementedError


def expected(parameter: param.Parameter) -> str:
    """Say in words which values a setting takes."""
    if isinstance(parameter, param.Selector):
        return "it must be one of " + ", ".join(str(choice) for choice in parameter.objects)
    if isinstance(parameter, param.Boolean):
        return "it must be true or false"
    kind = "a whole number" if isinstance(parameter, param.Integer) else "a number"
    low, high = getattr(parameter, "bounds", None) or (None, None)
    if low is not None and low == high:
        return f"it must be {low:.10g}"
    if low is not None and high is not None:
        start = f"from {low:.10g}" if parameter.inclusive_bounds[0] else f"above {low:.10g} and up"
        return f"it must be {kind} {start} to {high:.10g}"
    return f"it must be {kind}"


@cache
def registry() -> dict[str, type[Solver]]:
    """Every solver of ``mfviz.solvers`` by key, in order of key."""
    package = importlib.import_module("mfviz.solvers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"mfviz.solvers.{module.name}")
    found = param.concrete_descendents(Solver).values()
    return {cls.key: cls for cls in sorted(found, key=lambda c: c.key) if cls.key}


def solver_class(key: str) -> type[Solver]:
    """Return the solver of that key.

    Raises
    ------
    ParameterError
        If there is none.
    """
    try:
        return registry()[key]
    except KeyError:
        raise ParameterError(
            f"no solver is called {key!r}; there are {', '.join(registry())}.", "solver"
        ) from None

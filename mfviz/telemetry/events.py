"""The typed events of a run: what every view, file and check is made of.

One class a kind, registered by its ``kind``; one JSON object a line on disk. ``seq`` orders the
events of a run and ``t_ns`` (nanoseconds since the run was created) displays them. Units are part
of the names. Events hold numbers and words only; arrays go to ``arrays/`` of the run's folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, ClassVar

__all__ = [
    "OPS",
    "REASONS",
    "SCHEMA",
    "Allocated",
    "BlockTaken",
    "Compiled",
    "EpochEnded",
    "Evaluated",
    "Event",
    "Freed",
    "Measured",
    "MemorySampled",
    "Noticed",
    "ParamChanged",
    "RunEnded",
    "RunStarted",
    "Snapshot",
    "Span",
    "Unknown",
    "decode",
    "encode",
]

SCHEMA = 1
OPS = ("h2d", "d2h", "kernel", "host", "wait")
REASONS = ("", "barrier", "no-free-block", "transfer", "launch", "evaluate", "pause")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes
    ----------
    run : str
        Id of the run.
    seq : int
        Place in the run's log, from 0 without gaps.
    t_ns : int
        Nanoseconds since the run was created.
    """

    kind: ClassVar[str] = ""
    registry: ClassVar[dict[str, type[Event]]] = {}

    run: str
    seq: int
    t_ns: int


def _register(kind: str) -> Any:
    def mark(cls: type[Event]) -> type[Event]:
        cls.kind = kind
        Event.registry[kind] = cls
        return cls

    return mark


@_register("run-started")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The run's identity: enough to repeat it. ``params`` and ``versions`` are flat objects."""

    schema: int
    solver: str
    params: dict[str, Any]
    backend: str
    device: str
    problem: str
    fingerprint: str
    seed: int
    versions: dict[str, str]
    shape: dict[str, int] = field(default_factory=dict)  # users, items, train, test, set_aside
    title: str = ""
    determinism: str = ""
    reconstruction: bool = False
    model: dict[str, int] = field(default_factory=dict)  # predicted bytes by memory part


@_register("compiled")
@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled(Event):
    """The kernels are ready; ``seconds`` of compilation are no part of set-up or solve time."""

    seconds: float


@_register("epoch-ended")
@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded(Event):
    """An epoch is over (0: set-up is over); ``solve_s`` is cumulative, without evaluation."""

    epoch: int
    updates: int
    solve_s: float


@_register("span")
@dataclass(frozen=True, slots=True, kw_only=True)
class Span(Event):
    """One rectangle on a lane; ``start_ns`` and ``end_ns`` count from the run's creation.

    ``block`` is "row,col" or a range of rows; ``reason`` tells what a wait waited for; ``clock``
    is "host" or "cuda-events"; ``op`` is one of :data:`OPS`.
    """

    lane: str
    op: str
    name: str
    start_ns: int
    end_ns: int
    bytes: int = 0
    ratings: int = 0
    epoch: int = 0
    block: str = ""
    reason: str = ""
    clock: str = "host"


@_register("evaluated")
@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(Event):
    """RMSE in the user's units, unclipped; NaN where there is no test rating.

    ``eval_s`` is cumulative, as ``solve_s`` is in :class:`EpochEnded`.
    """

    epoch: int
    train_rmse: float
    test_rmse: float
    objective: float
    eval_s: float


@_register("block-taken")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTaken(Event):
    """A dynamic scheduler gave a block of the grid to a worker.

    ``wave`` is its place in the order of an epoch. Where ``until`` is not -1, both count one
    sequence of takings and givings back: the block was held from ``wave`` to ``until``.
    """

    epoch: int
    wave: int
    row: int
    col: int
    worker: int
    ratings: int
    until: int = -1


@_register("allocated")
@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated(Event):
    """Memory was taken; ``part`` is one of :data:`mfviz.telemetry.memory.PARTS`."""

    place: str
    name: str
    bytes: int
    part: str = "workspace"


@_register("freed")
@dataclass(frozen=True, slots=True, kw_only=True)
class Freed(Event):
    """Memory was given back."""

    place: str
    name: str
    bytes: int
    part: str = "workspace"


@_register("memory-sampled")
@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySampled(Event):
    """What the system reports for ``place`` ("rss", or a device)."""

    place: str
    used_bytes: int
    total_bytes: int


@_register("measured")
@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Event):
    """A quantity of its own: effective rank, drift, conflicts, lost writes, a study's point."""

    epoch: int
    name: str
    value: float
    unit: str = ""


@_register("snapshot")
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Event):
    """An array was saved as ``arrays/<name>.npy``."""

    epoch: int
    name: str


@_register("param-changed")
@dataclass(frozen=True, slots=True, kw_only=True)
class ParamChanged(Event):
    """A setting was changed while the run went on."""

    name: str
    old: float
    new: float


@_register("noticed")
@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed(Event):
    """A sentence for the user; ``level`` is info or warning.

    The level "details" marks text that is too long for a sentence (a traceback), to be folded
    away.
    """

    level: str
    message: str


@_register("run-ended")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The last event of a run, exactly once.

    ``status`` is done, stopped, diverged or failed; ``fix`` is a setting worth trying, written
    NAME=VALUE as the command line takes it; the four times are seconds.
    """

    status: str
    reason: str = ""
    fix: str = ""
    setup_s: float = 0.0
    solve_s: float = 0.0
    eval_s: float = 0.0
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """A kind that this version does not know; kept whole so that nothing is lost."""

    data: dict[str, Any]


_BASE = ("run", "seq", "t_ns")
_quote = json.encoder.encode_basestring_ascii
_NAMES = {cls: tuple(f.name for f in fields(cls)) for cls in Event.registry.values()}
_FLOATS = {
    cls: tuple(f.name for f in fields(cls) if f.type == "float") for cls in _NAMES
}  # written as null where they are not finite
_KINDS: dict[Any, type] = {"int": int, "float": float, "str": str, "bool": bool}  # else an object
_READ = {
    cls: {f.name: _KINDS.get(f.type, dict) for f in fields(cls)} for cls in Event.registry.values()
}
_EXACT = {cls: list(kinds.values()) for cls, kinds in _READ.items()}
_READ_BASE = {"run": str, "seq": int, "t_ns": int}
_LINES = {
    cls: f'{{"event": "{cls.kind}", ' + ", ".join(f'"{name}": %s' for name in names) + "}"
    for cls, names in _NAMES.items()
}
_VALUES = {cls: attrgetter(*names) for cls, names in _NAMES.items()}


def _number(value: float) -> str:
    return float.__repr__(value) if math.isfinite(value) else "null"


def _strict(value: Any) -> Any:
    """Replace what strict JSON cannot say: non-finite numbers, and numbers of NumPy."""
    if isinstance(value, dict):
        return {str(name): _strict(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item"):
        return _strict(value.item())
    return value


_WRITERS: dict[type, Callable[[Any], str]] = {str: _quote, int: int.__repr__, float: _number}


def _other(value: Any) -> str:
    return json.dumps(_strict(value), allow_nan=False)


def encode(event: Event) -> str:
    """Write an event as one line of strict JSON (NaN and infinities become null).

    Parameters
    ----------
    event : Event

    Returns
    -------
    str
        Without the line end.

    Notes
    -----
    Lines are filled into a template of their kind, which is ten times as fast as going through
    ``dataclasses.asdict``; a run may write 10^5 spans.
    """
    cls = type(event)
    if cls is Unknown:
        return json.dumps(event.data)  # type: ignore[attr-defined]
    writers = _WRITERS
    return _LINES[cls] % tuple(
        [writers.get(value.__class__, _other)(value) for value in _VALUES[cls](event)]
    )


def decode(line: str) -> Event:
    """Read an event from its line.

    Parameters
    ----------
    line : str
        One JSON object.

    Returns
    -------
    Event
        :class:`Unknown` where the kind is not known; fields that are not known are left out.

    Raises
    ------
    ValueError
        If the line is no event, or a field of it is not what its kind says.
    """
    try:
        data = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(data, dict) or not all(k in data for k in ("event", *_BASE)):
        raise ValueError("a line of a run file must be an object with event, run, seq and t_ns")
    cls = Event.registry.get(str(data["event"]))
    if cls is None:
        _check_kinds(_READ_BASE, data)
        return Unknown(**{name: data[name] for name in _BASE}, data=data)
    values = {name: data[name] for name in _NAMES[cls] if name in data}
    for name in _FLOATS[cls]:
        if name in values and values[name] is None:
            values[name] = math.nan
    if [*map(type, values.values())] != _EXACT[cls]:  # which is quick, and nearly never so
        _check_kinds(_READ[cls], values)
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"an event of kind {data['event']} lacks a field: {error}") from None


def _check_kinds(wanted: dict[str, type], values: dict[str, Any]) -> None:
    for name, kind in wanted.items():
        found = type(values.get(name, kind()))
        if found is not kind and (kind is not float or found is not int):
            raise ValueError(f"{name} is {str(values[name])[:40]!r}, which is no such value")

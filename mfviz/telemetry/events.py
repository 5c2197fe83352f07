"""The typed events of a run: what every view, file and check is made of.

One class a kind, registered by its ``kind``; one JSON object a line on disk. ``seq`` orders the
events of a run and ``t_ns`` (nanoseconds since the run was created) displays them. Units are part
of the names. Events hold numbers and words only; arrays go to ``arrays/`` of the run's folder.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
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
    """An epoch is over (epoch 0: set-up is over). ``solve_s`` is cumulative, without evaluation."""

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
    """RMSE in the user's units, unclipped; NaN where there is no test rating."""

    epoch: int
    train_rmse: float
    test_rmse: float
    objective: float
    eval_s: float


@_register("block-taken")
@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTaken(Event):
    """A dynamic scheduler gave a block of the grid to a worker."""

    epoch: int
    wave: int
    row: int
    col: int
    worker: int
    ratings: int


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
    """A sentence for the user; ``level`` is info or warning."""

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


def encode(event: Event) -> str:
    """Write an event as one line of strict JSON (NaN and infinities become null).

    Parameters
    ----------
    event : Event

    Returns
    -------
    str
        Without the line end.
    """
    if isinstance(event, Unknown):
        return json.dumps(event.data)
    data = {"event": event.kind, **asdict(event)}
    for name, value in data.items():
        if isinstance(value, float) and not math.isfinite(value):
            data[name] = None
    return json.dumps(data, allow_nan=False)


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
        If the line is no event.
    """
    data = json.loads(line)
    if not isinstance(data, dict) or "event" not in data or not all(k in data for k in _BASE):
        raise ValueError("a line of a run file must be an object with event, run, seq and t_ns")
    cls = Event.registry.get(data["event"])
    if cls is None:
        return Unknown(**{name: data[name] for name in _BASE}, data=data)
    known = {f.name: f for f in fields(cls)}
    values = {name: value for name, value in data.items() if name in known}
    for name, value in values.items():
        if value is None and known[name].type == "float":
            values[name] = math.nan
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"an event of kind {data['event']} lacks a field: {error}") from None

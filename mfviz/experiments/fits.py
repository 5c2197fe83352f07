"""Does it fit? What every solver will hold for ratings of a given shape, on a given machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mfviz.errors import ParameterError
from mfviz.solvers.base import Solver
from mfviz.telemetry.memory import PARTS, available_bytes
from mfviz.theory.memory import CONTEXT_MIB, MIB, rounding_bytes

__all__ = ["DEVICES", "Demand", "Place", "demands", "places"]

# What their makers say: name -> 10^9 bytes.
DEVICES = {
    "T4": 16, "RTX 3060": 12, "RTX 4090": 24, "A100 40 GB": 40, "A100 80 GB": 80, "H100 80 GB": 80,
    "H200": 141,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run would hold its arrays.

    Attributes
    ----------
    key, title : str
        For an address, and for people.
    backend : str
        "cpu" or "cuda".
    free_bytes : int
        What a run may take.
    measured : bool
        Whether that was asked of the machine; else it is the size that is given or named.
    context_bytes : int
        What a device takes before any array.
    """

    key: str
    title: str
    backend: str
    free_bytes: int
    measured: bool = False
    context_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What a solver would hold.

    Attributes
    ----------
    key, title : str
        Of the solver.
    parts : dict of str to int
        Bytes at the place by purpose, the context and the rounding of a device included.
    elsewhere_bytes : int
        On the host, for a run on a device.
    reason : str
        Why there is no answer: the solver does not run there, or refuses a setting.
    reconstruction : bool
    """

    key: str
    title: str
    parts: dict[str, int] = field(default_factory=dict)
    elsewhere_bytes: int = 0
    reason: str = ""
    reconstruction: bool = False

    @property
    def total_bytes(self) -> int:
        """Bytes at the place."""
        return sum(self.parts.values())

    def fits(self, place: Place) -> bool:
        """Whether the place has room for it."""
        return not self.reason and self.total_bytes <= place.free_bytes


def places(limit_mib: float = 1024.0) -> dict[str, Place]:
    """List this machine, its devices, devices by name, and a limit of one's own.

    Parameters
    ----------
    limit_mib : float
        The limit of one's own.
    """
    from mfviz.backends.cuda import devices, free_bytes

    found = [Place("cpu", "this machine, CPU", "cpu", available_bytes()[0], measured=True)]
    for device in devices():
        free = free_bytes(device.index) or device.total_bytes
        title = f"this machine, {device.name}"
        # the free bytes are told after the context was made
        found.append(Place(f"cuda{device.index}", title, "cuda", free, measured=True))
    context = CONTEXT_MIB * MIB
    found += [
        Place(name.lower().replace(" ", "-"), f"{name} (as named)", "cuda", size * 10**9,
              context_bytes=context)
        for name, size in DEVICES.items()
    ]  # fmt: skip
    own = Place("limit", "a device of ...", "cuda", round(limit_mib * MIB), context_bytes=context)
    return {place.key: place for place in [*found, own]}


def demands(
    registry: Mapping[str, type[Solver]],
    shape: tuple[int, int, int],
    place: Place,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    rank: int,
    workers: int,
) -> list[Demand]:
    """Ask every solver what it would hold.

    Parameters
    ----------
    registry : mapping of str to Solver class
    shape : (int, int, int)
        Users, items, training ratings.
    place : Place
    settings : mapping of str to mapping, optional
        Settings of some solvers by key; the others have their defaults.
    rank, workers : int
        Of all solvers; a solver that bounds its workers takes what it may.

    Returns
    -------
    list of Demand
        The largest first; those that do not run there last.
    """
    found = [
        _demand(cls, shape, place, {**(settings or {}).get(key, {}), "rank": rank}, workers)
        for key, cls in registry.items()
    ]
    return sorted(found, key=lambda d: (bool(d.reason), -d.total_bytes, d.title))


def _demand(
    cls: type[Solver],
    shape: tuple[int, int, int],
    place: Place,
    settings: dict[str, Any],
    workers: int,
) -> Demand:
    about = Demand(cls.key, cls.title, reconstruction=cls.reconstruction)
    if place.backend not in cls.backends:
        return replace(about, reason="runs on the CPU only")
    low, high = cls.param.workers.bounds
    settings["workers"] = min(max(workers, low), high)
    try:
        model = cls.make(**settings).memory(*shape, place.backend)
    except ParameterError as error:
        return replace(about, reason=str(error))
    sums = dict.fromkeys(PARTS, 0)
    there = [p for p in model.parts if place.backend == "cpu" or p.place != "host"]
    for part in there:
        sums[part.part] += part.bytes
    if place.backend != "cpu":
        sums["context"] += place.context_bytes
        sums["workspace"] += rounding_bytes([part.bytes for part in there])
    elsewhere = model.total_bytes - sum(part.bytes for part in there)
    parts = {name: size for name, size in sums.items() if size}
    return replace(about, parts=parts, elsewhere_bytes=elsewhere)

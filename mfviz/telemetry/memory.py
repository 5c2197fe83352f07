"""Memory: what a solver predicts (the model), what it takes (the ledger), what the system says.

The three are never mixed: a model is shown hatched, the ledger solid, samples as points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

__all__ = ["PARTS", "Ledger", "MemoryModel", "MemoryPart", "available_bytes", "rss_bytes"]

PARTS = (
    "context",
    "ratings by user",
    "ratings by item",
    "P",
    "Q",
    "buffers",
    "workspace",
)

CGROUP = Path("/sys/fs/cgroup")
# What Linux tells in a container of its limit, of what is used, and of what of it can be given up.
CONTAINER = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One array, or one family of arrays, of a memory model.

    Attributes
    ----------
    name : str
        What it is, in words ("shuffled order").
    part : str
        Its purpose, one of :data:`PARTS`: the colour it has everywhere.
    place : str
        "host", or a device.
    formula : str
        The formula in m, n, N, f and the solver's parameters ("12 N").
    bytes : int
    """

    name: str
    part: str
    place: str
    formula: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """The memory that a solver will hold for a problem, by part."""

    parts: tuple[MemoryPart, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def bytes_on_devices(self) -> int:
        """Bytes of the parts that are not on the host."""
        return sum(part.bytes for part in self.parts if part.place != "host")

    def by_part(self) -> dict[str, int]:
        """Bytes by purpose, in the order of :data:`PARTS`, without the empty ones."""
        sums = {name: sum(p.bytes for p in self.parts if p.part == name) for name in PARTS}
        return {name: size for name, size in sums.items() if size}


class Ledger:
    """Counts what a run really holds, by name, and tells each change.

    Parameters
    ----------
    told : callable, optional
        Called as ``told("allocated" | "freed", place=, name=, bytes=, part=)``.
    """

    def __init__(self, told: Callable[..., None] | None = None) -> None:
        self._held: dict[tuple[str, str], tuple[int, str]] = {}
        self._told = told or (lambda kind, **fields: None)
        self.high_water_bytes = 0

    def empty(
        self,
        name: str,
        shape: int | tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        part: str = "workspace",
        fill: float | None = None,
    ) -> npt.NDArray[Any]:
        """Allocate a host array under a name.

        Parameters
        ----------
        name : str
            Unique within the place.
        shape : int or tuple of int
        dtype : dtype
        part : str
            One of :data:`PARTS`.
        fill : float, optional
            Value to fill with; without it the content is not defined.

        Returns
        -------
        ndarray
            C-order, starting at a multiple of 64 bytes so that vector loads are aligned.
        """
        dims = (shape,) if isinstance(shape, int) else tuple(shape)
        item = np.dtype(dtype)
        size = math.prod(dims) * item.itemsize
        raw = np.empty(size + 64, dtype=np.uint8)
        start = -raw.ctypes.data % 64
        array = raw[start : start + size].view(item).reshape(dims)
        if fill is not None:
            array.fill(fill)
        self.register(name, array.nbytes, part=part)
        return array

    def register(
        self, name: str, size: int | Iterable[npt.NDArray[Any]], *, part: str, place: str = "host"
    ) -> None:
        """Count memory that exists already: bytes, or arrays.

        Parameters
        ----------
        name : str
        size : int or iterable of ndarray
        part : str
            One of :data:`PARTS`.
        place : str
            "host", or a device.
        """
        if part not in PARTS:
            raise ValueError(f"{part!r} is no memory part; the parts are {', '.join(PARTS)}")
        if (place, name) in self._held:
            raise ValueError(f"{name!r} is held already; free it first or choose another name")
        total = size if isinstance(size, int) else sum(array.nbytes for array in size)
        self._held[place, name] = (total, part)
        self.high_water_bytes = max(self.high_water_bytes, self.held_bytes)
        self._told("allocated", place=place, name=name, bytes=total, part=part)

    def free(self, name: str, *, place: str = "host") -> None:
        """Stop counting a name."""
        size, part = self._held.pop((place, name))
        self._told("freed", place=place, name=name, bytes=size, part=part)

    def close(self) -> None:
        """Free all that is left; afterwards ``held_bytes`` is 0."""
        for place, name in list(self._held):
            self.free(name, place=place)

    @property
    def held_bytes(self) -> int:
        """Bytes held now, in all places."""
        return sum(size for size, _ in self._held.values())

    def by_part(self) -> dict[str, int]:
        """Bytes held now by purpose, in the order of :data:`PARTS`, without the empty ones."""
        sums = {name: sum(s for s, part in self._held.values() if part == name) for name in PARTS}
        return {name: size for name, size in sums.items() if size}


def rss_bytes() -> int:
    """Resident memory of this process, in bytes, as the system reports it."""
    return int(psutil.Process().memory_info().rss)


def available_bytes() -> tuple[int, int]:
    """Memory that is available on this machine or in its container, and all there is, in bytes."""
    memory = psutil.virtual_memory()
    available, total = int(memory.available), int(memory.total)
    for names in CONTAINER:
        try:
            limit, used = (int((CGROUP / name).read_text()) for name in names[:2])
            stat = dict(line.split() for line in (CGROUP / names[2]).read_text().splitlines())
        except (OSError, ValueError):  # no such container, or no limit ("max")
            continue
        cached = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
        available = min(available, max(limit - used + cached, 0))
        total = min(total, limit)
    return available, total

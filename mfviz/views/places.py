"""Where the solver of each slot works: a backend, and one of its devices if there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from mfviz.errors import ParameterError

__all__ = ["PLACE", "Places"]

PLACE = ("backend", "device")  # words of the address


@cache
def _devices() -> tuple[Any, ...]:
    """CUDA devices of this machine, which stay the same as long as the process lives."""
    from mfviz.backends.cuda import devices  # here: not every page wants CUDA

    return tuple(devices())


class Places:
    """Backends and devices that were chosen; what cannot be had is not used.

    Parameters
    ----------
    solver_class : callable
        Gives the class of a slot's solver.
    """

    def __init__(self, solver_class: Callable[[str], Any]) -> None:
        self._solver_class = solver_class
        self._backends: dict[str, str] = {}
        self._chosen: dict[str, int] = {}

    def backends(self, slot: str) -> dict[str, str]:
        """Backends of a slot's solver, each with the reason why it cannot be used now, or ""."""
        cls = self._solver_class(slot)
        return {backend: cls.available(backend) or "" for backend in cls.backends}

    def backend(self, slot: str) -> str:
        """Backend of a slot: the chosen one where its solver has it, and it can be used."""
        places = self.backends(slot)
        wanted = self._backends.get(slot, "cpu")
        return wanted if places.get(wanted) == "" else next(iter(places))

    def choose_backend(self, slot: str, backend: str) -> None:
        """Run a slot's solver on another backend.

        Raises
        ------
        ParameterError
            If it cannot run there; the sentence says why.
        """
        places = self.backends(slot)
        reason = places.get(backend)
        if reason is None:
            title, has = self._solver_class(slot).title, ", ".join(places)
            raise ParameterError(f"backend is {backend}; {title} has {has}.", "backend")
        if reason:
            raise ParameterError(reason, "backend")
        self._backends[slot] = backend

    def devices(self, slot: str) -> dict[int, str]:
        """Names of the devices that there is a choice of, by number; empty if there is none."""
        if self.backend(slot) == "cpu":
            return {}
        found = {each.index: each.name for each in _devices()}
        return found if len(found) > 1 else {}

    def device(self, slot: str) -> int:
        """Number of a slot's device: the chosen one if it is there, else the first."""
        wanted = self._chosen.get(slot, 0)
        return wanted if wanted and wanted in self.devices(slot) else 0

    def choose_device(self, slot: str, device: int | str) -> None:
        """Run a slot's solver on another device.

        Raises
        ------
        ParameterError
            If there is no such device.
        """
        there = self.devices(slot)
        number = int(device) if str(device).isdecimal() else -1
        if number not in (there or {0: ""}):
            names = ", ".join(f"{at} ({name})" for at, name in there.items())
            has = f"there is {names}" if there else f"{self.backend(slot)} has no choice of them"
            raise ParameterError(f"device is {device}; {has}.", "device")
        self._chosen[slot] = number

    def query(self, slots: Sequence[str]) -> dict[tuple[str, str], str]:
        """What differs from the first device of the CPU, by slot and word of the address."""
        found = {}
        for slot in slots:
            if self.backend(slot) != "cpu":
                found[slot, "backend"] = self.backend(slot)
            if self.device(slot):
                found[slot, "device"] = str(self.device(slot))
        return found

    def read(self, slot: str, wanted: Mapping[str, str]) -> Iterator[tuple[ParameterError, str]]:
        """Take ``backend`` and ``device`` of a slot; yield what is wrong, and what is used."""
        for word, choose, used in (
            ("backend", self.choose_backend, self.backend),
            ("device", self.choose_device, self.device),
        ):
            if wanted[word]:
                try:
                    choose(slot, wanted[word])
                except ParameterError as error:
                    yield error, f"{used(slot)} is used."

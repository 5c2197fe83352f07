"""What a page is set to: data, one or two solvers and their hyper-parameters, without a widget.

Fields are made from what the chosen solvers declare, so a new solver brings its own controls.
Rank, seed and workers are shared by A and B; every other setting belongs to one of them. In an
address, B's own settings carry the prefix ``b.``. A value that was never edited follows the
proposal for the data and solver; an edited one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import param

from mfviz.backends.host import cpu_count
from mfviz.errors import ParameterError
from mfviz.solvers.base import Solver
from mfviz.views.values import clamp, kind_of, parse, write

__all__ = ["MAIN", "NONE", "SHARED", "Field", "Settings"]

SHARED = ("rank", "workers", "seed")
MAIN = ("rank", "workers", "lam", "epochs", "lr", "seed")  # the rest stands under Advanced
LABELS = {
    "rank": ("Rank", "features"),
    "workers": ("Workers", "threads"),
    "lam": ("λ", ""),
    "lr": ("Learning rate", ""),
    "seed": ("Seed", ""),
    "epochs": ("Stop after", "epochs"),
    "init_scale": ("Start scale", ""),
}
NONE = "none"  # solver B, where there is none
Slot = str  # "both", "A" or "B"
Key = tuple[Slot, str]


@dataclass(frozen=True)
class Field:
    """A setting that the page offers now.

    Attributes
    ----------
    key : tuple of str
        Slot ("both", "A", "B") and name of the parameter.
    label, unit, help : str
        Words around the field: above it, in it, in its tip.
    owner : str
        "A" or "B" where it concerns only one of two runs.
    kind : str
        "int", "number", "choice" or "switch".
    choices : tuple
        For a choice.
    value : object
    main : bool
        Whether it stands in the open part of the drawer.
    """

    key: Key
    label: str
    unit: str
    help: str
    owner: str
    kind: str
    choices: tuple[Any, ...]
    value: Any
    main: bool


class Settings:
    """The state of the drawer.

    Parameters
    ----------
    registry : mapping of str to type of Solver
        Solvers by key.
    solver, compare : str
        Keys of A and B; no B for "".
    """

    def __init__(
        self, registry: Mapping[str, type[Solver]], solver: str, compare: str = ""
    ) -> None:
        self.registry = registry
        self.solvers: dict[Slot, str] = {"A": solver, "B": compare}
        self._values: dict[Key, Any] = {}
        self._proposed: dict[Key, Any] = {}
        self._backends: dict[Slot, str] = {}

    @property
    def slots(self) -> list[Slot]:
        """Slots in use: A, or A and B."""
        return [slot for slot, key in self.solvers.items() if key]

    def solver_class(self, slot: Slot) -> type[Solver]:
        """Class of the solver in a slot."""
        return self.registry[self.solvers[slot]]

    def choose(self, slot: Slot, key: str) -> None:
        """Put another solver into a slot ("" empties B)."""
        self.solvers[slot] = key

    def propose(self, slot: Slot, proposal: Mapping[str, Any]) -> None:
        """Take a proposal for a slot; fields that were not edited follow it.

        The shared settings follow A's proposal, so that B runs on the same terms; B's where A has
        no choice (the workers of a serial solver).
        """
        declared = self.solver_class(slot).hyper_parameters()
        for name in declared:
            key = self._key(slot, name)
            if key[0] == "both" and slot != self._home(name):
                continue
            new = proposal.get(name, declared[name].default)
            old = self._proposed.get(key, new)
            if key not in self._values or self._values[key] == old or not self._allowed(key):
                self._values[key] = new
            self._proposed[key] = new

    def set(self, key: Key, text: Any) -> Any:
        """Set a field from what was typed and return its value.

        Raises
        ------
        ParameterError
            If the value is out of bounds or of the wrong kind; the old one stays.
        """
        value = parse(self._parameter(key), text, key[1])
        self._values[key] = value
        return value

    def value(self, key: Key) -> Any:
        """Value of a field."""
        return self._values.get(key, self._parameter(key).default)

    def arguments(self, slot: Slot) -> dict[str, Any]:
        """Settings of a slot's solver, complete."""
        found = {}
        for name, declared in self.solver_class(slot).hyper_parameters().items():
            value = self.value(self._key(slot, name))
            low, high = getattr(declared, "bounds", None) or (None, None)
            found[name] = low if low is not None and low == high else value
        return found

    def places(self, slot: Slot) -> dict[str, str]:
        """Backends of a slot's solver, each with the reason why it cannot be used now, or ""."""
        cls = self.solver_class(slot)
        return {backend: cls.available(backend) or "" for backend in cls.backends}

    def backend(self, slot: Slot) -> str:
        """Backend of a slot: the chosen one where its solver has it, and it can be used."""
        places = self.places(slot)
        wanted = self._backends.get(slot, "cpu")
        return wanted if places.get(wanted) == "" else next(iter(places))

    def choose_backend(self, slot: Slot, backend: str) -> None:
        """Run a slot's solver on another backend.

        Raises
        ------
        ParameterError
            If it cannot run there; the sentence says why.
        """
        reason = self.places(slot).get(backend)
        if reason is None:
            has = ", ".join(self.places(slot))
            raise ParameterError(
                f"backend is {backend}; {self.solver_class(slot).title} has {has}.", "backend"
            )
        if reason:
            raise ParameterError(reason, "backend")
        self._backends[slot] = backend

    def make(self, slot: Slot) -> Solver:
        """Build the solver of a slot.

        Raises
        ------
        ParameterError
            If the solver refuses a value.
        """
        return self.solver_class(slot).make(**self.arguments(slot))

    def fields(self) -> list[Field]:
        """Every setting that concerns the chosen solvers: main ones first, A beside B."""
        keys = dict.fromkeys(
            self._key(slot, name)
            for slot in self.slots
            for name in self.solver_class(slot).hyper_parameters()
            if self._concerns(slot, name)
        )
        fields = [self._field(key) for key in keys]
        return sorted(fields, key=lambda field: self._place(field.key))

    def changed(self) -> int:
        """Number of advanced settings that differ from what is proposed."""
        return sum(
            1
            for field in self.fields()
            if not field.main
            and field.value != self._proposed.get(field.key, self._parameter(field.key).default)
        )

    def reset(self) -> None:
        """Forget every edit."""
        self._values = dict(self._proposed)

    def query(self) -> dict[str, str]:
        """Settings as they stand in an address: the main ones, and what differs of the rest."""
        found = {"solver": self.solvers["A"], "compare": self.solvers["B"] or NONE}
        for field in self.fields():
            if field.main or field.value != self._parameter(field.key).default:
                found[_query_name(field.key)] = write(field.value)
        for slot in self.slots:
            if self.backend(slot) != "cpu":
                found[_query_name((slot, "backend"))] = self.backend(slot)
        return found

    def read(self, query: Mapping[str, str], ignore: Iterable[str] = ()) -> list[str]:
        """Take settings from an address and return a sentence for each that had to be mended."""
        found = self._take(query, frozenset(ignore))
        return [f"{str(error).rstrip('.')}. {remedy}".rstrip() for error, remedy in found]

    def check(self, query: Mapping[str, str], ignore: Iterable[str] = ()) -> None:
        """Take settings as in an address, and mend nothing.

        Raises
        ------
        ParameterError
            For the first that would have to be mended.
        """
        for error, _ in self._take(query, frozenset(ignore)):
            raise error

    def _take(
        self, query: Mapping[str, str], ignore: frozenset[str]
    ) -> Iterator[tuple[ParameterError, str]]:
        """Take settings; yield what is wrong with one, and what is done instead."""
        for slot, name in (("A", "solver"), ("B", "compare")):
            wanted = query.get(name)
            wanted = "" if wanted == NONE else wanted
            if wanted and wanted not in self.registry:
                known = ", ".join(self.registry)
                yield (
                    ParameterError(f"No solver is called {wanted!r}; there are {known}.", name),
                    "",
                )
            elif wanted is not None and (wanted or slot == "B"):
                self.solvers[slot] = wanted
        by_name = {
            _query_name(self._key(slot, name)): self._key(slot, name)
            for slot in self.slots
            for name in self.solver_class(slot).hyper_parameters()
        }
        places = {_query_name((slot, "backend")): slot for slot in ("A", "B")}
        for name, text in query.items():
            if name in places:
                yield from self._take_backend(places[name], text)
            elif name in by_name:
                key = by_name[name]
                self._values[key], error = clamp(self._parameter(key), text, key[1])
                if error is not None:
                    yield error, f"{write(self._values[key])} is used."
            elif name not in ("solver", "compare") and name not in ignore:
                solvers = " or ".join(self.solvers[slot] for slot in self.slots)
                yield (
                    ParameterError(f"{name!r} is no setting of {solvers}.", name),
                    "It is ignored.",
                )

    def _take_backend(self, slot: Slot, wanted: str) -> Iterator[tuple[ParameterError, str]]:
        if wanted and slot in self.slots:
            try:
                self.choose_backend(slot, wanted)
            except ParameterError as error:
                yield error, f"{self.backend(slot)} is used."

    def _key(self, slot: Slot, name: str) -> Key:
        return ("both" if name in SHARED else slot, name)

    def _home(self, name: str) -> Slot:
        """Slot that a shared setting is declared by: the first one that it concerns."""
        return next((slot for slot in self.slots if self._concerns(slot, name)), "A")

    def _parameter(self, key: Key) -> param.Parameter:
        slot = self._home(key[1]) if key[0] == "both" else key[0]
        declared = self.solver_class(slot).hyper_parameters()
        if key[1] not in declared:
            raise ParameterError(f"{self.solvers[slot]} has no setting {key[1]!r}.", key[1])
        return declared[key[1]]

    def _allowed(self, key: Key) -> bool:
        """Whether the value of a field, set for another solver perhaps, holds for this one."""
        try:
            parse(self._parameter(key), self._values[key], key[1])
        except ParameterError:
            return False
        return True

    def _concerns(self, slot: Slot, name: str) -> bool:
        cls = self.solver_class(slot)
        declared = cls.hyper_parameters().get(name)
        if declared is None or (name == "lr" and not cls.has_lr):
            return False
        low, high = getattr(declared, "bounds", None) or (0, 1)
        return low is None or low != high

    def _place(self, key: Key) -> tuple[int, str]:
        return (MAIN.index(key[1]) if key[1] in MAIN else len(MAIN), key[0])

    def _field(self, key: Key) -> Field:
        declared = self._parameter(key)
        slot, name = key
        label, unit = LABELS.get(name) or (str(declared.label), "")  # Param is slow to tell one
        concerned = [s for s in self.slots if self._concerns(s, name)]
        own = slot if slot != "both" else concerned[0] if len(concerned) == 1 else ""
        cls = self.solver_class(own or "A")
        if name == "epochs" and cls.two_sided:
            unit = "sweeps"
        if name == "workers":
            unit = f"of {cpu_count()} cores"
        return Field(
            key=key,
            label=label,
            unit=unit,
            help=" ".join(str(declared.doc or "").split()),
            owner="" if len(self.slots) == 1 else own,
            kind=kind_of(declared),
            choices=tuple(getattr(declared, "objects", ())),
            value=self.value(key),
            main=name in MAIN,
        )


def _query_name(key: Key) -> str:
    return f"b.{key[1]}" if key[0] == "B" else key[1]

"""What a plot is: a pure function from histories to columns, and from columns to a drawing.

A plot is one file in this package. It reads histories (and, where it explains,
``mfviz.theory``) and knows neither solvers nor Panel. Its columns are those of its live data
source too, so that what is streamed, what is drawn at once and what a test sees are the same rows.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np

from mfviz.errors import ParameterError
from mfviz.telemetry.history import History

__all__ = ["Columns", "Plot", "Track", "plot", "registry"]

Track = tuple[str, History]
Columns = dict[str, Any]


class Plot(ABC):
    """Base of all plots; a subclass in a file of ``mfviz/plots`` is found by itself.

    Attributes
    ----------
    key, title : str
        Name for code and for people.
    explain : str
        How to read it, in two or three sentences.
    columns : dict of str to str
        Columns of a row and their dtypes ("object" for words), in the order of the data source.
    """

    key: ClassVar[str] = ""
    title: ClassVar[str] = ""
    explain: ClassVar[str] = ""
    columns: ClassVar[dict[str, str]] = {}

    @abstractmethod
    def sizes(self, history: History) -> tuple[int, ...]:
        """Lengths of the tables that :meth:`rows` reads; they only grow while a run goes on."""

    @abstractmethod
    def rows(
        self, letter: str, history: History, since: tuple[int, ...] | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows that came after the tables had the lengths ``since`` (all without it).

        Returns
        -------
        list of tuple
            One entry a column, in the order of :attr:`columns`.
        """

    @abstractmethod
    def element(self, frame: Columns, theme: str = "light") -> Any:
        """Draw a frame as a HoloViews element (Bokeh options set).

        Parameters
        ----------
        frame : dict
            From :meth:`frame`.
        theme : {"light", "dark"}
        """

    def frame(self, tracks: Sequence[Track]) -> Columns:
        """All rows of the tracks as columns: numpy arrays, or lists of words."""
        return self.as_columns([row for track in tracks for row in self.rows(*track)])

    def as_columns(self, rows: Sequence[tuple[Any, ...]]) -> Columns:
        """Turn rows into columns of the declared dtypes."""
        by_column = list(zip(*rows, strict=True)) or [()] * len(self.columns)
        return {
            name: list(values) if dtype == "object" else np.asarray(values, dtype=dtype)
            for (name, dtype), values in zip(self.columns.items(), by_column, strict=True)
        }


@cache
def registry() -> dict[str, Plot]:
    """One instance of every plot of ``mfviz.plots`` by key, in order of key."""
    package = importlib.import_module("mfviz.plots")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"mfviz.plots.{module.name}")
    found = [cls() for cls in Plot.__subclasses__() if cls.key]
    return {item.key: item for item in sorted(found, key=lambda item: item.key)}


def plot(key: str) -> Plot:
    """Return the plot of that key.

    Raises
    ------
    ParameterError
        If there is none.
    """
    try:
        return registry()[key]
    except KeyError:
        raise ParameterError(
            f"no plot is called {key!r}; there are {', '.join(registry())}.", "plot"
        ) from None

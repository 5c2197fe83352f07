"""mfviz: see how matrix factorization runs in parallel.

The names below are loaded when they are first used, so that ``import mfviz`` costs nothing and
works where there is neither a JIT compiler nor a GUI at hand.

>>> import mfviz
>>> result = mfviz.factorize(mfviz.load("toy"), solver="als", rank=8)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfviz.api import factorize as factorize
    from mfviz.api import load as load
    from mfviz.api import make_solver as make_solver
    from mfviz.data.frames import as_ratings as as_ratings
    from mfviz.data.given import load_problem as load_problem
    from mfviz.data.problem import Problem as Problem
    from mfviz.data.problem import split as split
    from mfviz.data.ratings import Ratings as Ratings
    from mfviz.errors import MfvizError as MfvizError
    from mfviz.experiments.result import Result as Result
    from mfviz.experiments.run import Run as Run
    from mfviz.views.explorer import Explorer as Explorer
    from mfviz.views.viewers import MemoryPlot as MemoryPlot
    from mfviz.views.viewers import RMSEPlot as RMSEPlot
    from mfviz.views.viewers import TimelinePlot as TimelinePlot

__version__ = "0.1.0"

_HOMES = {
    "Explorer": "mfviz.views.explorer",
    "MemoryPlot": "mfviz.views.viewers",
    "MfvizError": "mfviz.errors",
    "Problem": "mfviz.data.problem",
    "RMSEPlot": "mfviz.views.viewers",
    "Ratings": "mfviz.data.ratings",
    "Result": "mfviz.experiments.result",
    "Run": "mfviz.experiments.run",
    "TimelinePlot": "mfviz.views.viewers",
    "as_ratings": "mfviz.data.frames",
    "factorize": "mfviz.api",
    "load": "mfviz.api",
    "load_problem": "mfviz.data.given",
    "make_solver": "mfviz.api",
    "split": "mfviz.data.problem",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mfviz' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

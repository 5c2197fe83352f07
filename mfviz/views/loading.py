"""Problems for pages: loaded once a process, off the page's thread, with their proposals.

Reading a large file takes seconds, so a page asks and is called back; what was loaded stays for
the next page, the last few problems at a time.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mfviz.data.portrait import Portrait, portrait
from mfviz.data.problem import Problem
from mfviz.errors import MfvizError

__all__ = ["KEPT", "Asked", "Loaded", "Loader", "loader"]

Asked = tuple[str, int, str]  # name in the catalog or path, seed of the split, way to split
KEPT = 4  # problems that stay in memory
log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """A problem, or why there is none.

    Attributes
    ----------
    problem : Problem or None
    trouble : str
        A sentence where loading failed.
    why_not : dict of str to str
        Ways to split ("time", "official") that these ratings do not offer, with the reasons.
    """

    problem: Problem | None = None
    trouble: str = ""
    why_not: Mapping[str, str] = field(default_factory=dict)
    _proposals: dict[str, dict[str, Any]] = field(default_factory=dict)
    _portrait: Portrait | None = None

    def look(self, done: Callable[[Portrait], None]) -> None:
        """Have a portrait of the ratings made on another thread, once, and call ``done``."""

        def work() -> None:
            if self._portrait is None and self.problem is not None:
                self._portrait = portrait(self.problem)
            if self._portrait is not None:
                done(self._portrait)

        threading.Thread(target=work, name="mfviz-portrait", daemon=True).start()

    def proposal(self, solver: str) -> dict[str, Any]:
        """Settings that suit a solver on this problem."""
        from mfviz.experiments.proposals import propose

        if self.problem is None:
            return {}
        if solver not in self._proposals:
            self._proposals[solver] = propose(solver, self.problem)
        return self._proposals[solver]


class Loader:
    """Loads one problem at a time.

    Parameters
    ----------
    load : callable, optional
        Ratings by name or path; the catalog's if it is left out.
    """

    def __init__(self, load: Callable[[str], Any] | None = None) -> None:
        self._load = load
        self._kept: OrderedDict[Asked, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "mfviz-load")

    def held(self, asked: Asked) -> Loaded | None:
        """Return the problem if it is in memory."""
        with self._lock:
            found = self._kept.get(asked)
            if found is not None:
                self._kept.move_to_end(asked)
            return found

    def get(self, asked: Asked) -> Loaded:
        """Load on this thread."""
        loaded = self.held(asked) or self._fresh(*asked)
        if loaded.problem is not None:
            with self._lock:
                self._kept[asked] = loaded
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return loaded

    def fetch(self, asked: Asked, done: Callable[[Loaded], None]) -> None:
        """Load ratings, hold out a part and call ``done``, on another thread.

        Parameters
        ----------
        asked : (str, int, str)
            Name in the catalog or path, seed of the split, and way to split.
        done : callable
            Receives the result.
        """
        self._thread.submit(lambda: done(self.get(asked)))

    def _fresh(self, name: str, seed: int, way: str) -> Loaded:
        reasons: Mapping[str, str] = {}
        try:
            from mfviz.data.catalog import load
            from mfviz.data.given import split_in_way, why_not
            from mfviz.data.ways import Way

            ratings = (self._load or load)(name)
            reasons = why_not(ratings, name)
            problem = split_in_way(ratings, name, Way.read(way), seed=seed)
            return Loaded(problem, why_not=reasons)
        except MfvizError as error:
            return Loaded(trouble=str(error), why_not=reasons)
        except Exception as error:
            log.exception("loading %r failed", name)
            return Loaded(trouble=f"{name} could not be loaded: {type(error).__name__}: {error}")


@cache
def loader() -> Loader:
    """The one loader of this process."""
    return Loader()

"""Problems for pages: loaded once a process, off the page's thread, with their proposals.

Reading a large file takes seconds, so a page asks and is called back; what was loaded stays for
the next page, the last few problems at a time.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mfviz.data.portrait import Portrait, portrait
from mfviz.data.problem import Problem, split
from mfviz.errors import MfvizError

__all__ = ["HOLDOUT", "KEPT", "Loaded", "Loader", "loader"]

HOLDOUT = 0.1
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
    """

    problem: Problem | None = None
    trouble: str = ""
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
        self._kept: OrderedDict[tuple[str, int], Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "mfviz-load")

    def held(self, name: str, seed: int) -> Loaded | None:
        """Return the problem if it is in memory."""
        with self._lock:
            found = self._kept.get((name, seed))
            if found is not None:
                self._kept.move_to_end((name, seed))
            return found

    def get(self, name: str, seed: int) -> Loaded:
        """Load on this thread."""
        loaded = self.held(name, seed) or self._fresh(name, seed)
        if loaded.problem is not None:
            with self._lock:
                self._kept[name, seed] = loaded
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return loaded

    def fetch(self, name: str, seed: int, done: Callable[[Loaded], None]) -> None:
        """Load ratings, hold out a part and call ``done``, on another thread.

        Parameters
        ----------
        name : str
            Name in the catalog, or a path.
        seed : int
            Seed of the hold-out.
        done : callable
            Receives the result.
        """
        self._thread.submit(lambda: done(self.get(name, seed)))

    def _fresh(self, name: str, seed: int) -> Loaded:
        try:
            if self._load is None:
                from mfviz.data.catalog import load

                self._load = load
            return Loaded(split(self._load(name), holdout=HOLDOUT, seed=seed))
        except MfvizError as error:
            return Loaded(trouble=str(error))
        except Exception as error:
            log.exception("loading %r failed", name)
            return Loaded(trouble=f"{name} could not be loaded: {type(error).__name__}: {error}")


@cache
def loader() -> Loader:
    """The one loader of this process."""
    return Loader()

"""How far this process is from a live run: solvers imported, kernels compiled.

Numba takes a second to import and its kernels take longer to compile on a fresh machine, so a page
opens on a recorded run, and all of this happens behind it, once a process, in a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["Readiness", "readiness"]

log = logging.getLogger(__name__)


class Readiness:
    """The state of this process.

    Attributes
    ----------
    state : str
        "replay" (solvers are not imported yet), "warming", "live" or "failed".
    registry : dict or None
        Solvers by key, as soon as they are imported.
    warm, total : int
        Solvers whose kernels are compiled, and all of them.
    reason : str
        Why it failed.
    afterwards : callable
        Called once nothing more will change, on the thread that compiled the kernels.
    """

    def __init__(self) -> None:
        self.state = "replay"
        self.registry: dict[str, Any] | None = None
        self.warm = self.total = 0
        self.reason = ""
        self.afterwards: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._begun = False
        self.imported = threading.Event()

    @property
    def words(self) -> str:
        """What the pill in the app bar says."""
        if self.state == "warming":
            return f"warming kernels {self.warm}/{self.total}"
        return {"replay": "replay", "live": "live ready", "failed": "kernels failed"}[self.state]

    @property
    def settled(self) -> bool:
        """Whether nothing more will change."""
        return self.state in ("live", "failed")

    def begin(self) -> None:
        """Start to import and compile, once; returns at once."""
        with self._lock:
            if self._begun:
                return
            self._begun = True
        threading.Thread(target=self._work, name="mfviz-warm", daemon=True).start()

    def _work(self) -> None:
        try:
            from mfviz.solvers.base import registry

            found = registry()
            self.total = len(found)
            self.registry = found
            self.state = "warming"
            self.imported.set()
            self._compile()
            self.state = "live"
        except Exception as error:
            log.exception("the kernels could not be made ready")
            self.reason = f"{type(error).__name__}: {error}"
            self.state = "failed"
            self.imported.set()
        finally:
            self.afterwards()

    def _compile(self) -> None:
        from mfviz.experiments.warmup import warm

        for cls in (self.registry or {}).values():
            warm(cls())
            self.warm += 1


@cache
def readiness() -> Readiness:
    """The one readiness of this process."""
    return Readiness()

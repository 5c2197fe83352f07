"""Who repaints after a change, and how often at most."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Watchers"]


class Watchers:
    """Callbacks with a period each: numbers need no repaint ten times a second."""

    def __init__(self) -> None:
        self._periods: dict[Callable[[], None], float] = {}
        self._called: dict[Callable[[], None], float] = {}

    def add(self, callback: Callable[[], None], period: float) -> None:
        """Call ``callback`` at most each ``period`` seconds."""
        self._periods[callback] = period
        self._called[callback] = -math.inf

    def call(self, now: float, *, all_of_them: bool = False) -> None:
        """Call those whose time has come; all of them after a change that people wait for."""
        for callback, period in self._periods.items():
            if all_of_them or now - self._called[callback] >= period - 1e-9:
                self._called[callback] = now
                callback()

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
        self._early: set[Callable[[], None]] = set()

    def add(self, callback: Callable[[], None], period: float, *, early: bool = False) -> None:
        """Call ``callback`` at most each ``period`` seconds; if ``early``, also in set-up."""
        self._periods[callback] = period
        self._called[callback] = -math.inf
        if early:
            self._early.add(callback)

    def call(self, now: float, *, all_of_them: bool = False, whole: bool = True) -> None:
        """Call those whose time has come; all of them after a change that people wait for.

        While a page is not ``whole``, a browser still sets it up and only early ones are called.
        """
        for callback, period in self._periods.items():
            if not whole and callback not in self._early:
                continue
            if all_of_them or now - self._called[callback] >= period - 1e-9:
                self._called[callback] = now
                callback()

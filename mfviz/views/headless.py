"""A page that lives nowhere: time passes when a test says so."""

from __future__ import annotations

from collections import deque
from typing import Any
from urllib.parse import parse_qsl

from mfviz.views.host import Callback, Host, Ticker

__all__ = ["HeadlessHost"]


class HeadlessHost(Host):
    """No page at all: time passes when a test says so.

    Parameters
    ----------
    query : str
        The address's query, as in ``rank=16&solver=als``.
    """

    kind = "headless"

    def __init__(self, query: str = "") -> None:
        super().__init__(dict(parse_qsl(query)))
        self._now = 0.0
        self._tickers: list[tuple[float, Callback, list[float]]] = []
        self._soon: deque[Callback] = deque()

    def every(self, seconds: float, callback: Callback) -> Ticker:
        """See :meth:`Host.every`."""

        def begin(period: float) -> Any:
            entry = (period, callback, [self._now + period])
            self._tickers.append(entry)
            return entry

        return Ticker(begin, self._tickers.remove, seconds)

    def later(self, callback: Callback) -> None:
        """See :meth:`Host.later`."""
        self._soon.append(callback)

    def guard(self, callback: Callback) -> Callback:
        """See :meth:`Host.guard`; a test wants to see the exception."""
        return callback

    @property
    def now(self) -> float:
        """Seconds that a test has let pass."""
        return self._now

    @property
    def idle(self) -> bool:
        """Whether nothing would be called if time went on."""
        return not self._tickers and not self._soon

    def advance(self, seconds: float) -> None:
        """Let time pass in steps of 50 ms, and call whatever is due."""
        until = self._now + seconds
        while True:
            while self._soon:
                self._soon.popleft()()
            for period, callback, due in list(self._tickers):
                if due[0] <= self._now + 1e-9:
                    due[0] += period
                    callback()
            if self._now >= until - 1e-9:
                return
            self._now = min(self._now + 0.05, until)

"""How far resident memory rises while something runs."""

from __future__ import annotations

import ctypes
import sys
import threading

from mfviz.telemetry.memory import rss_bytes

__all__ = ["Peak"]


class Peak:
    """Watches how far resident memory rises above where it was.

    What C allocators keep back from earlier work is given to the system first, where the C
    library can do that; else what comes later would seem to need less.
    """

    def __enter__(self) -> Peak:
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)
        self._before = self._most = rss_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def rise(self) -> int:
        """Bytes above where it was."""
        return self._most - self._before

    @property
    def most(self) -> int:
        """Bytes in all."""
        return self._most

    def _work(self) -> None:
        while not self._over.wait(0.002):
            self._most = max(self._most, rss_bytes())

"""What people ask of a run from other threads, kept until its thread looks.

A run looks at every checkpoint without a lock (plain attributes); only its waits take the lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from mfviz.errors import ParameterError

__all__ = ["Controls"]


class Controls:
    """Requests to a run.

    Parameters
    ----------
    pace : float
        Epochs a second.
    nudge : callable
        Called after each request, to wake a run that waits for its turn.

    Attributes
    ----------
    pace : float
        Set it with :meth:`set_pace`.
    """

    def __init__(self, pace: float, nudge: Callable[[], None]) -> None:
        self.changed = threading.Condition()
        self._nudge = nudge
        self._stop = self._pause = False
        self._unit = ""  # "epoch" or "checkpoint" while a step is asked for
        self._changes: dict[str, float] = {}
        self.pace = _checked(pace)

    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop

    def pausing(self) -> bool:
        """Whether a pause was asked for and not taken back."""
        return self._pause

    def set_pace(self, pace: float) -> None:
        """Set the epochs a second, ``math.inf`` for unlimited."""
        self._tell(pace=_checked(pace))

    def ask_pause(self) -> None:
        """Hold at the next checkpoint."""
        self._tell(_pause=True, _unit="")

    def ask_resume(self) -> None:
        """Go on."""
        self._tell(_pause=False, _unit="")

    def ask_step(self, unit: str) -> None:
        """Go on to the next epoch or checkpoint, then hold."""
        self._tell(_pause=False, _unit=unit)

    def ask_stop(self) -> None:
        """End; cannot be taken back."""
        self._tell(_stop=True)

    def ask_change(self, name: str, value: float) -> None:
        """Set a live setting at the next checkpoint."""
        with self.changed:
            self._changes[name] = value

    def take_changes(self) -> dict[str, float]:
        """Settings to change now; each is returned once."""
        if not self._changes:
            return {}
        with self.changed:
            taken, self._changes = self._changes, {}
        return taken

    def arrived(self, kind: str) -> None:
        """Turn a step into a pause if the run has reached its end."""
        if self._unit and (self._unit == "checkpoint" or kind == "epoch"):
            with self.changed:
                if self._unit:
                    self._unit, self._pause = "", True

    def wait_for_pace(self, left: Callable[[float], float]) -> None:
        """Sleep until ``left(pace)`` seconds are over, or a pause or stop is asked for.

        Parameters
        ----------
        left : callable
            Seconds left at a pace; asked again whenever something changed.
        """
        with self.changed:
            while not (self._stop or self._pause):
                seconds = left(self.pace)
                if seconds <= 0:
                    return
                self.changed.wait(min(seconds, 60.0))

    def wait_while_paused(self) -> None:
        """Sleep until a pause is taken back or the run is to end."""
        with self.changed:
            self.changed.wait_for(lambda: self._stop or not self._pause)

    def _tell(self, **values: object) -> None:
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.changed.notify_all()
        self._nudge()


def _checked(pace: float) -> float:
    if math.isnan(pace) or pace <= 0:
        raise ParameterError(
            f"pace is {pace}; it must be a positive number of epochs a second, or inf.", "pace"
        )
    return float(pace)

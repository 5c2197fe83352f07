"""The stopwatch of a run: every nanosecond belongs to one phase.

Wall time is the sum of the phases from the beginning of set-up: it leaves out compilation, which
happens once in a process, and the queue. So nothing that a run did can hide between the numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["PHASES", "Watch"]

# setup: before the first checkpoint; solve: between checkpoints; eval: the solver stands still to
# be observed (evaluation, reading spans, writing events); paced, paused: held by the pace, by a
# person, or for another run's turn
WALL = ("setup", "solve", "eval", "paced", "paused")
PHASES = ("compile", "queue", *WALL)


class Watch:
    """Adds up the time spent in each phase.

    Parameters
    ----------
    clock : callable
        Nanoseconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._spent = dict.fromkeys(PHASES, 0)
        self._since = 0
        self.phase = ""

    def start(self, phase: str) -> None:
        """Begin to measure, in that phase."""
        self.phase, self._since = phase, self._clock()

    def enter(self, phase: str) -> str:
        """Stop one phase, start another, and return the one that was left."""
        now = self._clock()
        left = self.phase
        self._spent[left] += now - self._since
        self.phase, self._since = phase, now
        return left

    def stop(self) -> None:
        """Stop measuring, for good."""
        if self.phase:
            self.enter(self.phase)
            self.phase = ""

    def seconds(self, phase: str) -> float:
        """Seconds in a phase, up to now."""
        running = self._clock() - self._since if phase == self.phase else 0
        return (self._spent[phase] + running) / 1e9

    def totals(self) -> dict[str, float]:
        """The four times of run-ended: setup_s, solve_s, eval_s and wall_s."""
        found = {f"{phase}_s": self.seconds(phase) for phase in ("setup", "solve", "eval")}
        return {**found, "wall_s": sum(self.seconds(phase) for phase in WALL)}

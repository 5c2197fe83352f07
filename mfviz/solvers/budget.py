"""How long a kernel call may be: ratings that fit between two checkpoints."""

from __future__ import annotations

import time

__all__ = ["Budget"]

ENOUGH = 10_000  # ratings of a call whose time says how fast the next ones will be


class Budget:
    """Learns from each call how many ratings fit in a given time.

    Parameters
    ----------
    ratings_per_ns : float
        A guess to begin with, rather too slow.

    Notes
    -----
    A call that was held up (the machine was asleep, say) may halve the rate but no more, and a
    short call that was faster raises it: otherwise calls could get so short after one long pause
    that none is ever long enough to learn from.
    """

    def __init__(self, ratings_per_ns: float) -> None:
        self.ratings_per_ns = ratings_per_ns

    def ratings(self, ns: float) -> int:
        """Ratings that fit in so many nanoseconds; at least one."""
        return max(1, int(self.ratings_per_ns * ns))

    def learn(self, ratings: int, since_ns: int) -> None:
        """Take in that so many ratings took from ``since_ns`` (``monotonic_ns``) until now."""
        rate = ratings / max(1, time.monotonic_ns() - since_ns)
        if ratings > ENOUGH or rate > self.ratings_per_ns:
            self.ratings_per_ns = max(rate, self.ratings_per_ns / 2)

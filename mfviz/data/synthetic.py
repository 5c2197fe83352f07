"""Synthetic ratings with a planted low-rank structure.

A rating is ``mean + user bias + item bias + signal * (planted dot product) + noise``, rounded to
the steps of the scale and clipped to it. Who rated what follows two skews that real ratings have:
the activity of users is log-normal and the popularity of items is Zipf's. Because the parts are
known, so is what a model can reach: biases alone leave ``hypot(signal, noise)``, a perfect model
leaves ``noise`` (each a little more for the rounding).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mfviz.data.ratings import Ratings
from mfviz.errors import ParameterError

__all__ = ["PRESETS", "SPECTRA", "Planted", "generate"]

Int64 = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]

SPECTRA = ("flat", "1/k", "1/k^2")
CHUNK = 500_000  # ratings drawn at a time: bounds the memory, and keeps the sorts in cache
DENSE_CELLS = 8_000_000  # cells of the matrix that are looked at together for busy users
MOST_SKEW = 5  # steeper weights would leave the range of float32
ROUNDS = 12  # draws with rejection before the rest is drawn exactly


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Settings of a synthetic rating set.

    Attributes
    ----------
    users, items, ratings : int
        Exact numbers; every user and every item has a rating, and no pair has two.
    rank : int
        Rank of the planted matrix.
    spectrum : str
        How its singular values fall with their number k: "flat", "1/k" or "1/k^2".
    signal, noise : float
        Standard deviations of the planted part and of the noise, in rating units.
    user_bias, item_bias : float
        Standard deviations of the biases, in rating units.
    user_skew : float
        Sigma of the log-normal activity of users; 0 makes all equally active.
    item_skew : float
        Exponent of Zipf's law for the popularity of items; 0 makes all equally popular.
    mean : float
        Mean rating before clipping.
    scale : (float, float)
        Smallest and largest rating.
    step : float
        Ratings are rounded to multiples of it; 0 keeps them raw (still clipped).
    seed : int
        Everything follows from it.
    """

    users: int
    items: int
    ratings: int
    rank: int = 8
    spectrum: str = "1/k"
    signal: float = 0.55
    noise: float = 0.85
    user_bias: float = 0.4
    item_bias: float = 0.45
    user_skew: float = 1.1
    item_skew: float = 0.9
    mean: float = 3.5
    scale: tuple[float, float] = (1.0, 5.0)
    step: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        m, n = self.users, self.items
        if m < 1 or n < 1 or not max(m, n) <= self.ratings <= m * n:
            raise ParameterError(
                f"{self.ratings:,} ratings for {m:,} users and {n:,} items: each user and each "
                f"item needs one, and no pair has two, so ask for {max(m, n, 1):,} to {m * n:,}.",
                "ratings",
            )
        if self.spectrum not in SPECTRA:
            raise ParameterError(
                f"spectrum is {self.spectrum!r}; it must be one of {', '.join(SPECTRA)}.",
                "spectrum",
            )
        if self.rank < 1:
            raise ParameterError(f"rank is {self.rank}; it must be at least 1.", "rank")
        low, high = self.scale
        if not low < high:
            raise ParameterError(f"scale is {low} to {high}; the first must be below.", "scale")
        spreads = ("signal", "noise", "user_bias", "item_bias", "user_skew", "item_skew", "step")
        for name in (*spreads, "seed"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ParameterError(f"{name} is {value}; it must be finite and from 0 up.", name)
        if max(self.user_skew, self.item_skew) > MOST_SKEW:
            raise ParameterError(
                f"skews are {self.user_skew} and {self.item_skew}; {MOST_SKEW} is the most.",
                "item_skew",
            )

    @property
    def singular_values(self) -> Float:
        """Shape of the planted spectrum, of unit sum of squares."""
        k = np.arange(1, self.rank + 1, dtype=np.float64)
        values: Float = k ** -float(SPECTRA.index(self.spectrum))
        return values / math.sqrt(float(values @ values))


PRESETS: dict[str, Planted] = {
    "toy": Planted(
        users=60,
        items=40,
        ratings=900,
        rank=3,
        spectrum="flat",
        signal=0.9,
        noise=0.25,
        user_skew=0.3,
        item_skew=0.4,
    ),
    "small-100k": Planted(users=943, items=1682, ratings=100_000, rank=4, signal=0.6, noise=0.8),
    "1m-like": Planted(users=6040, items=3706, ratings=1_000_209),
    "10m-like": Planted(
        users=69_878, items=10_677, ratings=10_000_054, item_skew=1.4, scale=(0.5, 5.0)
    ),
    "25m-like": Planted(
        users=162_541, items=59_047, ratings=25_000_095, item_skew=2.4, scale=(0.5, 5.0)
    ),
}


def generate(settings: Planted, *, seed: int | None = None, name: str = "synthetic") -> Ratings:
    """Draw a synthetic rating set.

    Parameters
    ----------
    settings : Planted
        See :data:`PRESETS` for ready ones.
    seed : int, optional
        Instead of that of the settings.
    name : str
        Shown name.

    Returns
    -------
    Ratings
        Sorted by user and item; ids count from 1.
    """
    if seed is not None:
        settings = replace(settings, seed=seed)
    s = settings
    rng = np.random.default_rng([s.seed, 0x91A7])
    degrees = _degrees(s, rng)
    popularity = rng.permutation(_popularity(s))
    value = _Values(s, rng)
    u = np.empty(s.ratings, dtype=np.int32)
    i = np.empty(s.ratings, dtype=np.int32)
    r = np.empty(s.ratings, dtype=np.float32)
    at = 0
    for users, items in _pairs(s, degrees, popularity, rng):
        part = slice(at, at + len(users))
        u[part], i[part] = users, items
        r[part] = value(u[part], i[part])
        at = part.stop
    ids = np.arange(1, max(s.users, s.items) + 1)
    return Ratings.from_numbers(u, i, r, ids[: s.users], ids[: s.items], name=name)


class _Values:
    """Rating values of pairs: biases, planted part, noise, rounding."""

    def __init__(self, s: Planted, rng: np.random.Generator) -> None:
        self._s, self._rng = s, rng
        self._bu = rng.normal(0.0, s.user_bias, s.users).astype(np.float32)
        self._bi = rng.normal(0.0, s.item_bias, s.items).astype(np.float32)
        weight = np.sqrt(s.signal * s.singular_values).astype(np.float32)
        self._P = rng.standard_normal((s.users, s.rank), dtype=np.float32) * weight
        self._Q = rng.standard_normal((s.items, s.rank), dtype=np.float32) * weight

    def __call__(
        self, u: npt.NDArray[np.int32], i: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        s = self._s
        r = self._rng.standard_normal(len(u), dtype=np.float32)
        r *= s.noise
        r += self._bu[u]
        r += self._bi[i]
        r += np.einsum("ik,ik->i", self._P[u], self._Q[i])
        r += s.mean
        if s.step:
            np.rint(r / np.float32(s.step), out=r)
            r *= s.step
        return np.clip(r, *s.scale, out=r)


def _degrees(s: Planted, rng: np.random.Generator) -> Int64:
    """Ratings of each user: log-normal, at least 1, at most all items, of exact sum."""
    weight = rng.lognormal(0.0, s.user_skew, s.users)
    least = min(s.ratings // s.users, max(1, s.ratings // (8 * s.users)))
    most = s.items if s.ratings > 0.3 * s.users * s.items else max(1, int(0.6 * s.items))
    low, high = 0.0, 2.0 * most / weight.min()
    for _ in range(100):  # bisection on the factor: the clipped sum rises with it
        factor = (low + high) / 2
        if np.clip(weight * factor, least, most).sum() < s.ratings:
            low = factor
        else:
            high = factor
    real = np.clip(weight * low, least, most)
    degrees = real.astype(np.int64)
    missing = s.ratings - int(degrees.sum())
    while missing > 0:  # the fractions that were cut off, largest first
        free = np.flatnonzero(degrees < most)
        chosen = free[np.argsort((degrees - real)[free], kind="stable")[:missing]]
        degrees[chosen] += 1
        missing -= len(chosen)
    return degrees


def _popularity(s: Planted) -> Float:
    """Zipf-Mandelbrot weights of the items, the most popular first, of unit sum."""
    rank = np.arange(1, s.items + 1, dtype=np.float64)
    weight: Float = (rank + 0.01 * s.items) ** -s.item_skew
    return weight / float(weight.sum())


def _pairs(
    s: Planted, degrees: Int64, popularity: Float, rng: np.random.Generator
) -> Iterator[tuple[Int64, Int64]]:
    """Draw the items of each user without repetition, users in chunks and in order.

    Each user draws items by popularity, and a repeated draw does not count (successive sampling).
    Beforehand every item is given to one of the users, so that none stays without a rating.
    """
    ends = np.cumsum(degrees)
    covered = rng.choice(s.ratings, s.items, replace=False)  # slots, so that no user overflows
    owner = np.searchsorted(ends, covered, side="right")
    table = np.cumsum(popularity)
    table[-1] = 1.0
    first = 0
    while first < s.users:
        begin = int(ends[first] - degrees[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + CHUNK, side="right")))
        mine = np.flatnonzero((owner >= first) & (owner < last))
        cells = np.sort((owner[mine] - first) * s.items + mine)
        cells = _fill(cells, degrees[first:last], popularity, table, rng)
        yield cells // s.items + first, cells % s.items
        first = last


def _fill(
    cells: Int64, wanted: Int64, popularity: Float, table: Float, rng: np.random.Generator
) -> Int64:
    """Draw cells until each user of a chunk has as many as wanted; return all of them, sorted."""
    n = len(popularity)
    done = [cells[:0]]
    for _ in range(ROUNDS):
        row = cells // n
        short = wanted - np.bincount(row, minlength=len(wanted))
        busy = short > 0
        done.append(cells[~busy[row]])  # users that are complete need no more merging
        cells, short = cells[busy[row]], np.where(busy, short, 0)
        wanted = np.where(busy, wanted, 0)
        rows = np.repeat(np.arange(len(wanted)), short)
        drawn = np.searchsorted(table, rng.random(len(rows)), side="right")
        cells = _union(cells, rows * n + drawn)
    cells = np.concatenate((*done, cells, _exactly(cells, wanted, popularity, rng)))
    cells.sort(kind="stable")
    return cells


def _union(cells: Int64, more: Int64) -> Int64:
    """Distinct cells of both, sorted; ``cells`` is so already."""
    both = np.concatenate((cells, np.sort(more)))
    both.sort(kind="stable")  # merges sorted runs in linear time
    return both[np.concatenate(([True], both[1:] != both[:-1]))] if len(both) else both


def _exactly(cells: Int64, wanted: Int64, popularity: Float, rng: np.random.Generator) -> Int64:
    """Draw what the rejections left over, by the largest keys (Efraimidis and Spirakis 2006).

    Of exponential waiting times with the popularities as rates, the smallest ones are the next
    draws without repetition; cells that are taken wait for ever.
    """
    n = len(popularity)
    row = cells // n
    short = wanted - np.bincount(row, minlength=len(wanted))
    users = np.flatnonzero(short)
    found = [np.empty(0, dtype=np.int64)]
    step = max(1, DENSE_CELLS // n)
    for start in range(0, len(users), step):
        some = users[start : start + step]
        wait = rng.standard_exponential((len(some), n), dtype=np.float32)
        wait /= popularity.astype(np.float32)
        place = np.full(len(wanted), -1, dtype=np.int64)
        place[some] = np.arange(len(some))
        taken = place[row] >= 0
        wait[place[row[taken]], cells[taken] % n] = np.inf
        most = int(short[some].max())
        ahead = np.argpartition(wait, min(most, n - 1), axis=1)[:, :most]
        ahead = np.take_along_axis(
            ahead, np.argsort(np.take_along_axis(wait, ahead, 1), axis=1), axis=1
        )
        keep = np.arange(most) < short[some][:, None]
        found.append((some[:, None] * n + ahead)[keep])
    return np.concatenate(found)

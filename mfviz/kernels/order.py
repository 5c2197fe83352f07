"""The order in which ratings are visited: packed records, shuffled in place.

A pass in random order over three arrays misses the cache three times a rating, and an index array
adds a fourth miss; that costs as much as the update itself. So the stochastic solvers keep a copy
of the ratings as 12-byte records and shuffle the records, which are then read in sequence.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel, part

__all__ = ["TRIPLE", "part_seed", "random_bits", "shuffle", "shuffle_numbers"]

TRIPLE = np.dtype([("u", np.int32), ("i", np.int32), ("r", np.float32)])

_STEP = np.uint64(0x9E3779B97F4A7C15)
_AHEAD = 16  # records asked for before they are needed


@part(inline="always")
def random_bits(seed, counter):
    """Return 64 random bits for a counter: the generator SplitMix64 (Steele, Lea, Flood 2014).

    Parameters
    ----------
    seed, counter : uint64
    """
    x = seed + counter * _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@part(inline="always")
def _draw(seed, j):
    """Return a whole number from 0 to j, all equally likely (to one part in 2^32 / j)."""
    bits = random_bits(seed, np.uint64(j)) >> np.uint64(32)
    return np.int64((bits * np.uint64(j + 1)) >> np.uint64(32))


@kernel
def part_seed(seed, part):
    """Return the seed of the shuffle of a part; ``seed`` itself for part 0.

    So whoever cuts the ratings into one part shuffles them as whoever does not cut them.
    """
    return seed if part == 0 else random_bits(seed, np.uint64(part))


@kernel
def shuffle(ratings, start, seed, high, low):
    """Shuffle the records from ``start`` on in place: steps ``high`` down to ``low`` of it.

    Parameters
    ----------
    ratings : (nnz,) TRIPLE, updated in place
    start : int
        First record of the segment to permute.
    seed : uint64
        The permutation is a function of seed and segment length only.
    high, low : int
        The whole shuffle of ``count`` records is ``high = count``, ``low = 0``. Any cut of that
        range into descending pieces gives the same permutation, so a long shuffle can pause.

    References
    ----------
    Fisher and Yates; Durstenfeld, Algorithm 235, 1964.
    """
    for j in range(high - 1, low - 1, -1):
        if j >= _AHEAD:
            simd.prefetch_item(ratings, start + _draw(seed, j - _AHEAD))
        a, b = start + j, start + _draw(seed, j)
        u, i, r = ratings[a].u, ratings[a].i, ratings[a].r
        ratings[a].u, ratings[a].i, ratings[a].r = ratings[b].u, ratings[b].i, ratings[b].r
        ratings[b].u, ratings[b].i, ratings[b].r = u, i, r


@part
def shuffle_numbers(numbers, start, stop, seed):
    """Shuffle ``numbers[start:stop]`` in place, as :func:`shuffle` does with records.

    Parameters
    ----------
    numbers : (count,) int, updated in place
    start, stop : int
    seed : uint64
    """
    for j in range(stop - start - 1, -1, -1):
        a, b = start + j, start + _draw(seed, j)
        numbers[a], numbers[b] = numbers[b], numbers[a]

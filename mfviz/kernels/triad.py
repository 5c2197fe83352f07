"""Yardsticks: the triad of STREAM, which waits for memory alone, and a loop of gathers alone."""

from __future__ import annotations

import numba
import numpy as np

from mfviz.kernels import simd
from mfviz.kernels.gather import gather

__all__ = ["gathered_sum", "triad"]


@numba.njit(nogil=True, cache=True)
def triad(a, b, c, factor):
    """Set ``a = b + factor c``.

    Parameters
    ----------
    a, b, c : (n,) float32
        ``a`` is written.
    factor : float32

    References
    ----------
    McCalpin, "Memory bandwidth and machine balance in current high performance computers", 1995.
    """
    for k in range(len(a)):
        a[k] = b[k] + factor * c[k]


@numba.njit(nogil=True, cache=True)
def gathered_sum(y, index):
    """Return the sum of ``y[index]``, gathered sixteen at a time; a rest below sixteen is left.

    Parameters
    ----------
    y : (n,) float32
    index : (count,) int32
        Read in sequence.
    """
    total = simd.splat(np.float32(0.0))
    for t in range(0, index.shape[0] - simd.LANES + 1, simd.LANES):
        total = simd.add(total, gather(y, index, t))
    return simd.total(total)

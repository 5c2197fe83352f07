"""Yardsticks: the triad of STREAM, which waits for memory alone, gathers and arithmetic alone."""

from __future__ import annotations

import numpy as np

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel
from mfviz.kernels.gather import gather

__all__ = ["FLOPS", "gathered_sum", "multiply_adds", "triad"]

FLOPS = 8 * 2 * simd.LANES  # of one turn of multiply_adds


@kernel
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


@kernel
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


@kernel
def multiply_adds(turns):
    """Return a sum of multiply-adds that never leave registers, ``FLOPS`` flops a turn.

    Parameters
    ----------
    turns : int

    Notes
    -----
    Eight chains: as many as hide the time from one result to the next.
    """
    x, half = simd.splat(np.float32(1.0)), simd.splat(np.float32(0.5))
    a = b = c = d = e = f = g = h = x
    for _ in range(turns):  # each number stays near 2
        a, b, c, d = (
            simd.fma(a, half, x), simd.fma(b, half, x), simd.fma(c, half, x),
            simd.fma(d, half, x),
        )  # fmt: skip
        e, f, g, h = (
            simd.fma(e, half, x), simd.fma(f, half, x), simd.fma(g, half, x),
            simd.fma(h, half, x),
        )  # fmt: skip
    first = simd.add(simd.add(a, b), simd.add(c, d))
    return simd.total(simd.add(first, simd.add(simd.add(e, f), simd.add(g, h))))

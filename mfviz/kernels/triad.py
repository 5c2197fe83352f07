"""The triad of STREAM: a loop that does nothing but wait for memory."""

from __future__ import annotations

import numba

__all__ = ["triad"]


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

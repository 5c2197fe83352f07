"""Slow references of what GPUs do in another way than CPUs: NumPy; import nothing of mfviz."""

from __future__ import annotations

import numpy as np

__all__ = ["chunks"]


def chunks(u, i, r, places, length, P, Q, *, lr, lam, mutant=""):
    """Batch-Hogwild! by workers one after the other, factors rounded to float16 at each visit.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    places : list of int
        First ratings of the chunks, in the order of their visits.
    length : int
        Ratings of a chunk.
    P, Q : matrices
    lr, lam : float
    mutant : str
        "new p": q sees the p of after; "single": no rounding; "stop": a chunk ends with the
        ratings; "apart": the ratings of a chunk are not consecutive.

    Returns
    -------
    P, Q : matrices
    """
    P, Q = P.astype(np.float64), Q.astype(np.float64)

    def half(x):
        return x if mutant == "single" else x.astype(np.float16).astype(np.float64)

    step = 2 if mutant == "apart" else 1
    for place in places:
        for t in range(place, place + step * length, step):
            if mutant == "stop" and t >= len(r):
                break
            x, y, value = u[t % len(r)], i[t % len(r)], r[t % len(r)]
            p, q = P[x].copy(), Q[y].copy()
            e = value - p @ q
            P[x] = half(p + lr * (e * q - lam * p))
            Q[y] = half(q + lr * (e * (P[x] if mutant == "new p" else p) - lam * q))
    return P, Q

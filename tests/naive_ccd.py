"""Slow references of coordinate descent: NumPy, float64; import nothing of mfviz."""

from __future__ import annotations

import numpy as np

__all__ = ["ccd", "ccdpp"]


def _best(residual, y, lam, count, weighted):
    """Return the best value of one number, whose own part is in the residual."""
    bottom = (y**2).sum() + lam * (count if weighted else 1)
    return (residual * y).sum() / bottom if bottom > 0 else 0.0


def ccdpp(u, i, r, P, Q, lam, *, weighted=True, inner=1, epochs=1, mutant=""):
    """Cyclic coordinate descent, feature by feature.

    Parameters
    ----------
    u, i : (nnz,) int
    r : (nnz,) float
    P, Q : (m, f), (n, f) float
        Initial factors, not changed.
    lam : float
    weighted : bool
        Whether lambda counts once for each rating of a row.
    inner : int
        Fits of a feature in a row.
    epochs : int
    mutant : str
        "no add back": features are fitted to what they leave over; "stale": users are fitted to
        the items' old values; "users first": sides swapped.

    Returns
    -------
    P, Q : float64 arrays
    """
    P, Q = np.array(P, dtype=np.float64), np.array(Q, dtype=np.float64)
    for row, X in ((u, P), (i, Q)):
        X[np.bincount(row, minlength=len(X)) == 0] = 0.0
    for _ in range(epochs):
        for t in range(P.shape[1]):
            R = np.asarray(r, dtype=np.float64) - (P[u] * Q[i]).sum(axis=1)
            if mutant != "no add back":
                R += P[u, t] * Q[i, t]
            old = Q[:, t].copy()
            sides = [(i, u, Q, P[:, t]), (u, i, P, old if mutant == "stale" else Q[:, t])]
            for _ in range(inner):
                for row, col, X, y in sides[::-1] if mutant == "users first" else sides:
                    for x in np.unique(row):
                        mine = row == x
                        X[x, t] = _best(R[mine], y[col[mine]], lam, mine.sum(), weighted)
    return P, Q


def ccd(u, i, r, P, Q, lam, *, weighted=True, epochs=1, mutant=""):
    """Cyclic coordinate descent, row by row over all features; users, then items.

    Parameters
    ----------
    u, i, r, P, Q, lam, weighted, epochs
        As for :func:`ccdpp`.
    mutant : str
        "at once": all features of a row from its old values; "stale": items see the users of
        before.

    Returns
    -------
    P, Q : float64 arrays
    """
    P, Q = np.array(P, dtype=np.float64), np.array(Q, dtype=np.float64)
    r = np.asarray(r, dtype=np.float64)
    for _ in range(epochs):
        before = P.copy()
        for row, col, X, Y in ((u, i, P, Q), (i, u, Q, before if mutant == "stale" else P)):
            for x in range(len(X)):
                mine = row == x
                if not mine.any():
                    X[x] = 0.0
                    continue
                seen = Y[col[mine]]
                old = X[x].copy()
                for k in range(X.shape[1]):
                    now = old if mutant == "at once" else X[x]
                    residual = r[mine] - seen @ now + now[k] * seen[:, k]
                    X[x, k] = _best(residual, seen[:, k], lam, mine.sum(), weighted)
    return P, Q

"""Slow references of coordinate descent: NumPy, float64; import nothing of mfviz."""

from __future__ import annotations

import numpy as np

from tests.naive_als import best_biases

__all__ = ["ccd", "ccdpp"]


def _best(residual, y, lam, count, weighted):
    """Return the best value of one number, whose own part is in the residual."""
    bottom = (y**2).sum() + lam * (count if weighted else 1)
    return (residual * y).sum() / bottom if bottom > 0 else 0.0


def ccdpp(u, i, r, P, Q, lam, *, weighted=True, inner=1, epochs=1, mutant="", lam_bias=None):
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
    lam_bias : float, optional
        The mean is taken off, and an epoch begins with the items' biases, then the users'.

    Returns
    -------
    P, Q : float64 arrays
        And the biases of users and items, where there are.
    """
    u, i, r = np.asarray(u), np.asarray(i), np.asarray(r, dtype=np.float64)
    biased, bu, bi = lam_bias is not None, np.zeros(len(P)), np.zeros(len(Q))
    mu = r.mean() if biased else 0.0
    P, Q = np.array(P, dtype=np.float64), np.array(Q, dtype=np.float64)
    for row, X in ((u, P), (i, Q)):
        X[np.bincount(row, minlength=len(X)) == 0] = 0.0
    for _ in range(epochs):
        if biased:
            bi = best_biases(i, u, r, Q, P, bu, mu, lam_bias, weighted)
            bu = best_biases(u, i, r, P, Q, bi, mu, lam_bias, weighted)
        for t in range(P.shape[1]):
            R = r - mu - bu[u] - bi[i] - (P[u] * Q[i]).sum(axis=1)
            if mutant != "no add back":
                R += P[u, t] * Q[i, t]
            old = Q[:, t].copy()
            sides = [(i, u, Q, P[:, t]), (u, i, P, old if mutant == "stale" else Q[:, t])]
            for _ in range(inner):
                for row, col, X, y in sides[::-1] if mutant == "users first" else sides:
                    for x in np.unique(row):
                        mine = row == x
                        X[x, t] = _best(R[mine], y[col[mine]], lam, mine.sum(), weighted)
    return (P, Q, bu, bi) if biased else (P, Q)


def ccd(u, i, r, P, Q, lam, *, weighted=True, epochs=1, mutant="", lam_bias=None):
    """Cyclic coordinate descent, row by row over all features; users, then items.

    Parameters
    ----------
    u, i, r, P, Q, lam, weighted, epochs
        As for :func:`ccdpp`.
    mutant : str
        "at once": all features of a row from its old values; "stale": items see the users of
        before.
    lam_bias : float, optional
        The mean is taken off, and each row fits its bias, then its features.

    Returns
    -------
    P, Q : float64 arrays
        And the biases of users and items, where there are.
    """
    P, Q = np.array(P, dtype=np.float64), np.array(Q, dtype=np.float64)
    u, i, r = np.asarray(u), np.asarray(i), np.asarray(r, dtype=np.float64)
    biased, b = lam_bias is not None, [np.zeros(len(P)), np.zeros(len(Q))]
    mu = r.mean() if biased else 0.0
    for _ in range(epochs):
        before = P.copy()
        sides = ((u, i, P, Q), (i, u, Q, before if mutant == "stale" else P))
        for s, (row, col, X, Y) in enumerate(sides):
            if biased:
                b[s] = best_biases(row, col, r, X, Y, b[1 - s], mu, lam_bias, weighted)
            target = r - mu - b[0][u] - b[1][i]
            for x in range(len(X)):
                mine = row == x
                if not mine.any():
                    X[x] = 0.0
                    continue
                seen = Y[col[mine]]
                old = X[x].copy()
                for k in range(X.shape[1]):
                    now = old if mutant == "at once" else X[x]
                    residual = target[mine] - seen @ now + now[k] * seen[:, k]
                    X[x, k] = _best(residual, seen[:, k], lam, mine.sum(), weighted)
    return (P, Q, *b) if biased else (P, Q)

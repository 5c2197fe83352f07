"""Slow reference of ALS: NumPy, float64, one solve a row; imports nothing of mfviz."""

from __future__ import annotations

import numpy as np

__all__ = ["als", "als_gradient", "als_objective", "best_biases"]


def _solve_side(row, col, r, n_rows, Y, lam, weighted):
    """Features of every row for fixed Y; rows without ratings are 0."""
    X = np.zeros((n_rows, Y.shape[1]))
    for k in range(n_rows):
        mine = row == k
        n = mine.sum()
        if n:
            Yk = Y[col[mine]]
            A = Yk.T @ Yk + lam * (n if weighted else 1) * np.eye(Y.shape[1])
            X[k] = np.linalg.solve(A, Yk.T @ r[mine])
    return X


def best_biases(row, col, r, X, Y, other, mu, lam, weighted):
    """Best bias of each row for fixed factors and fixed biases of the other side; 0 if empty."""
    left = r - mu - other[col] - (X[row] * Y[col]).sum(axis=1)
    found = np.zeros(len(X))
    for k in range(len(X)):
        n = (row == k).sum()
        if n:
            found[k] = left[row == k].sum() / (n + lam * (n if weighted else 1))
    return found


def als(
    u, i, r, P, Q, lam, *, weighted=True, simultaneous=False, epochs=1, stale=False,
    lam_bias=None, mutant="",
):  # fmt: skip
    """Alternate exact solutions of both sides.

    Parameters
    ----------
    u, i : (nnz,) int
    r : (nnz,) float
    P, Q : (m, f), (n, f) float
        Initial factors, not changed.
    lam : float
    weighted : bool
        Whether lambda counts once for each rating of a row (ALS-WR).
    simultaneous : bool
        Whether both sides are solved from the old values of the other.
    epochs : int
    stale : bool
        Mutant: users are solved from the items of one epoch ago.
    lam_bias : float, optional
        The mean is taken off, and each side fits its biases, then its features.
    mutant : str
        "biases last": features before biases; "one side": no biases of items.

    Returns
    -------
    P, Q : float64 arrays
        And the biases of users and items, where there are.
    """
    u, i, r = np.asarray(u), np.asarray(i), np.asarray(r, dtype=np.float64)
    P, Q = np.array(P, dtype=np.float64), np.array(Q, dtype=np.float64)
    before = Q
    biased, bu, bi = lam_bias is not None, np.zeros(len(P)), np.zeros(len(Q))
    mu = r.mean() if biased else 0.0
    for _ in range(epochs):
        old, was = P, bu
        if biased and mutant != "biases last":
            bu = best_biases(u, i, r, P, Q, bi, mu, lam_bias, weighted)
        left = r - mu - bu[u] - bi[i]
        P = _solve_side(u, i, left, len(P), before if stale else Q, lam, weighted)
        if biased and mutant == "biases last":
            bu = best_biases(u, i, r, P, Q, bi, mu, lam_bias, weighted)
        before = Q
        seen, shift = (old, was) if simultaneous else (P, bu)
        if biased and mutant != "one side":
            bi = best_biases(i, u, r, Q, seen, shift, mu, lam_bias, weighted)
        Q = _solve_side(i, u, r - mu - shift[u] - bi[i], len(Q), seen, lam, weighted)
    return (P, Q, bu, bi) if biased else (P, Q)


def als_objective(u, i, r, P, Q, lam, *, weighted=True):
    """Squared error plus the regulariser that :func:`als` minimises."""
    P, Q = np.asarray(P, dtype=np.float64), np.asarray(Q, dtype=np.float64)
    e = np.asarray(r, dtype=np.float64) - (P[u] * Q[i]).sum(axis=1)
    n_u = np.bincount(u, minlength=len(P)) if weighted else np.ones(len(P))
    n_i = np.bincount(i, minlength=len(Q)) if weighted else np.ones(len(Q))
    return (e**2).sum() + lam * (n_u @ (P**2).sum(axis=1) + n_i @ (Q**2).sum(axis=1))


def als_gradient(row, col, r, X, Y, lam, *, weighted=True):
    """Half the gradient of the objective with respect to X, row by row."""
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    e = np.asarray(r, dtype=np.float64) - (X[row] * Y[col]).sum(axis=1)
    count = np.bincount(row, minlength=len(X)) if weighted else np.ones(len(X))
    gradient = lam * count[:, None] * X
    np.subtract.at(gradient, row, e[:, None] * Y[col])
    return gradient

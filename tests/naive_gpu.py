"""Slow references of what GPUs do in another way than CPUs: NumPy; import nothing of mfviz."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["als_by_cg", "chunks", "fractional", "halves"]


def halves(u, i, r, visits, P, Q, *, lr, lam, mutant=""):
    """Visit ratings one by one, factors rounded to float16 at each visit.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    visits : list of int
        Positions of the ratings in the order of their visits.
    P, Q : matrices
    lr, lam : float
    mutant : str
        "new p": q sees the p of after; "single": no rounding.

    Returns
    -------
    P, Q : matrices
    """
    P, Q = P.astype(np.float64), Q.astype(np.float64)

    def half(x):
        return x if mutant == "single" else x.astype(np.float16).astype(np.float64)

    for t in visits:
        x, y = u[t], i[t]
        p, q = P[x].copy(), Q[y].copy()
        e = r[t] - p @ q
        P[x] = half(p + lr * (e * q - lam * p))
        Q[y] = half(q + lr * (e * (P[x] if mutant == "new p" else p) - lam * q))
    return P, Q


def chunks(u, i, r, places, length, P, Q, *, lr, lam, mutant=""):
    """Batch-Hogwild! by workers one after the other; see :func:`halves`.

    Parameters
    ----------
    u, i, r, P, Q, lr, lam
        As for :func:`halves`.
    places : list of int
        First ratings of the chunks, in the order of their visits.
    length : int
        Ratings of a chunk.
    mutant : str
        Those of :func:`halves`; "stop": a chunk ends with the ratings; "apart": the ratings of a
        chunk are not consecutive.

    Returns
    -------
    P, Q : matrices
    """
    step = 2 if mutant == "apart" else 1
    visits = [t for place in places for t in range(place, place + step * length, step)]
    if mutant == "stop":
        visits = [t for t in visits if t < len(r)]
    visits = [t % len(r) for t in visits]
    return halves(u, i, r, visits, P, Q, lr=lr, lam=lam, mutant=mutant)


def als_by_cg(u, i, r, P, Q, lam, *, steps, half, epochs=1, mutant=""):
    """ALS by conjugate gradients on stored systems, weighted lambda.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    P, Q : matrices
    lam : float
    steps : int
    half : bool
        Whether the mean outer product of a row is rounded to float16.
    epochs : int
    mutant : str
        "cold": from 0, not from the old row; "sum": the sum is rounded, not the mean; "steepest":
        steps go down the gradient.

    Returns
    -------
    P, Q : matrices
    """
    P, Q = P.astype(np.float64), Q.astype(np.float64)
    for _ in range(epochs):
        for X, Y, row, col in ((P, Q, u, i), (Q, P, i, u)):
            for k in range(len(X)):
                y, n = Y[col[row == k]], int((row == k).sum())
                if n == 0:
                    X[k] = 0.0
                    continue
                size = n if mutant == "sum" else 1
                A = size * (y.T @ y / n)
                A = A.astype(np.float16 if half else np.float32).astype(np.float64) / size
                A += lam * np.eye(A.shape[1])
                x = np.zeros(A.shape[1]) if mutant == "cold" else X[k]
                X[k] = _conjugate(A, r[row == k] @ y / n, x, steps, mutant == "steepest")
    return P, Q


def _conjugate(A, b, x, steps, steepest):
    residual = b - A @ x
    direction = residual
    for _ in range(steps):
        if residual @ residual < 1e-40:
            break
        alpha = residual @ residual / (direction @ A @ direction)
        x = x + alpha * direction
        after = residual - alpha * A @ direction
        beta = 0.0 if steepest else after @ after / (residual @ residual)
        residual, direction = after, after + beta * direction
    return x


def fractional(
    u, i, r, P, Q, orders, *, lrs, lam, kappa, order, offset, adaptive=True, mu=0.0, mutant="",
):  # fmt: skip
    """MSGD with steps of fractional order and sums of squared errors, without biases.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    P, Q : matrices
    orders : list of (order, order)
        For each epoch the ratings in the order of the users' phase and of the items' phase.
    lrs : list of float
    lam, kappa, order, offset : float
    adaptive : bool
    mu : float
    mutant : str
        "shared": both copies have one sum; "at once": a sum counts its error before it is used;
        "other": the other side's features decide; "no gamma": kappa is taken as it is.

    Returns
    -------
    P, Q : matrices
    """
    P, Q = P.astype(np.float64), Q.astype(np.float64)
    sums = [np.zeros(len(r)), np.zeros(len(r))]
    share = kappa / (1.0 if mutant == "no gamma" else math.gamma(2.0 - order))
    for lr, phases in zip(lrs, orders, strict=True):
        for side, (X, Y, rows, cols) in enumerate(((P, Q, u, i), (Q, P, i, u))):
            s = sums[0 if mutant == "shared" else side]
            for t in phases[side]:
                x, y = X[rows[t]], Y[cols[t]]
                e = r[t] - mu - x @ y
                known = s[t] + (e * e if mutant == "at once" else 0.0)
                s[t] += e * e
                rate = lr / math.sqrt(offset + known) if adaptive else lr
                size = np.abs(y if mutant == "other" else x) + 1e-8
                X[rows[t]] = x + rate * (e * y - lam * x) * (1.0 + share * size ** (1.0 - order))
    return P, Q

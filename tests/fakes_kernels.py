"""What each CUDA kernel does, in NumPy and without a thought for speed: for devices that are none.

As the kernels they stand in for, they take arrays of all rows and update them in place, after the
number of blocks; each returns the ratings that it passed over.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["DONE"]


def visit_rows(
    blocks, X, Y, bx, by, indptr, ids, values, first, rows, low, high, start, other,
    mu, lr, lam, lr_bias, lam_bias, biased,
) -> int:  # fmt: skip
    """What the kernel of that name does, in float32 and one rating at a time."""
    visits = 0
    for row in range(first, first + rows):
        for t in range(max(indptr[row], low) - start, min(indptr[row + 1], high) - start):
            y, r = Y[ids[3 * t + other]], values[3 * t + 2]
            assert ids[3 * t + 1 - other] == row, "a rating of another row is in its place"
            e = r - (mu + X[row] @ y)
            if biased:
                e -= bx[row] + by[ids[3 * t + other]]
                bx[row] += lr_bias * (e - lam_bias * bx[row])
            X[row] += lr * (e * y - lam * X[row])
            visits += 1
    return visits


def gram(
    blocks, X, Y, bx, by, indptr, index, r, A, b, first, mu, lam_bias, weighted, biased
) -> int:
    visits, f = 0, X.shape[1]
    for slot in range(blocks):
        row = first + slot
        low, high = indptr[row], indptr[row + 1]
        y, n = Y[index[low:high]], high - low
        if n:
            left = r[low:high].copy()
            if biased:
                left -= mu + by[index[low:high]]
                count = n * lam_bias if weighted else lam_bias
                bx[row] = (left - y @ X[row]).sum() / (n + count)
                left -= bx[row]
            A[slot * f : (slot + 1) * f] = y.T @ y / n
            b[slot] = left @ y / n
        visits += n
    return int(visits)


def solve_systems(blocks, X, indptr, A, b, first, lam, weighted) -> int:
    f = X.shape[1]
    for slot in range(blocks):
        row, n = first + slot, indptr[first + slot + 1] - indptr[first + slot]
        system = A[slot * f : (slot + 1) * f] + (lam if weighted else lam / max(n, 1)) * np.eye(f)
        X[row] = np.linalg.solve(system, b[slot]) if n else 0.0
    return 0


def visit_strata(
    blocks, P, Q, bu, bi, ids, values, offsets, strata, low, high,
    mu, lr, lam, lr_bias, lam_bias, biased,
) -> int:  # fmt: skip
    visits, d = 0, len(strata)
    for s in range(low, high):
        for row in range(d):
            for t in range(*offsets[row * d + strata[s, row] :][:2]):
                u, i, r = ids[3 * t], ids[3 * t + 1], values[3 * t + 2]
                p, q, visits = P[u].copy(), Q[i].copy(), visits + 1
                e = r - (mu + p @ q)
                if biased:
                    e -= bu[u] + bi[i]
                    bu[u] += lr_bias * (e - lam_bias * bu[u])
                    bi[i] += lr_bias * (e - lam_bias * bi[i])
                P[u] += lr * (e * q - lam * p)
                Q[i] += lr * (e * p - lam * q)
    return visits


Done = tuple[Callable[..., int], tuple[int, ...], tuple[int, ...]]
DONE: dict[str, Done] = {  # what is run, and positions of the arrays that are written and read
    "visit_rows": (visit_rows, (0,), (1, 5)),
    "visit_strata": (visit_strata, (0, 1), (4, 6, 7)),
    "gram": (gram, (7, 8), (0, 1, 6)),
    "solve_systems": (solve_systems, (0,), (2, 3)),
}

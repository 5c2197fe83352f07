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


def visit_rows_fractional(blocks, *args) -> int:
    plain, (errors, offset, adaptive, share, quarters) = args[:-5], args[-5:]
    X, Y, bx, by, indptr, ids, values, first, rows, low, high, start, other = plain[:13]
    mu, lr, lam, lr_bias, lam_bias, biased = plain[13:]
    visits = 0
    for row in range(first, first + rows):
        for t in range(max(indptr[row], low) - start, min(indptr[row + 1], high) - start):
            y, x = Y[ids[3 * t + other]], X[row]
            e = values[3 * t + 2] - (mu + x @ y)
            if biased:
                e -= bx[row] + by[ids[3 * t + other]]
                bx[row] += lr_bias * (e - lam_bias * bx[row])
            slow = 1.0 / np.sqrt(offset + errors[t]) if adaptive else 1.0
            errors[t] += e * e
            times = 1.0 + share * (abs(x) + np.float32(1e-8)) ** (quarters / 4)
            X[row] = x + lr * slow * (e * y - lam * x) * times
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


def _visit_halves(P, Q, u, i, r, lr, lam) -> None:
    """Visit one rating in float32 and round both rows to float16."""
    p, q = P[u].astype(np.float32), Q[i].astype(np.float32)
    e = r - p @ q
    P[u], Q[i] = p + lr * (e * q - lam * p), q + lr * (e * p - lam * q)


def visit_chunks(
    blocks, P, Q, ids, values, starts, nnz, per, length, workers, low, high, lr, lam
) -> int:  # fmt: skip
    for w in range(workers):
        for v in range(low, high):
            t = (starts[w * per + v // length] + v % length) % nnz
            _visit_halves(P, Q, ids[3 * t], ids[3 * t + 1], values[3 * t + 2], lr, lam)
    return int(workers * (high - low))


def visit_wavefront(
    blocks, P, Q, ids, values, offsets, order, locks, log, workers, columns, low, high, lr, lam
) -> int:  # fmt: skip
    visits = 0
    for v in range(low, high):
        for w in range(workers):
            at, block = w * columns + v, w * columns + order[w * columns + v]
            assert not locks[:columns].any(), "a lock was left"
            for t in range(offsets[block], offsets[block + 1]):
                _visit_halves(P, Q, ids[3 * t], ids[3 * t + 1], values[3 * t + 2], lr, lam)
                visits += 1
            log[3 * at : 3 * at + 3] = locks[columns], locks[columns] + 1, 0
            locks[columns] += 2
    return visits


def visit_strips(
    blocks, P, Q, bu, bi, ids, values, offsets, firsts, outer, inner, turns, G, S, T,
    mu, lr, lam, lr_bias, lam_bias, biased,
) -> int:  # fmt: skip
    visits, u, i, r = 0, ids[::3], ids[1::3], values[2::3]
    for block, turn, step, worker in np.ndindex(G, S, T, T):
        at = outer[block] * S + turns[turn]
        part = (block * T + worker) * G * S * T + at * T + inner[step * T + worker]
        t, stop = offsets[part : part + 2]
        while t < stop:
            many = 4 if t + 4 <= stop and u[t + 3] == u[t] else 1
            p, items, visits = P[u[t]].copy(), firsts[at] + i[t : t + many], visits + many
            e = r[t : t + many] - mu - Q[items] @ p
            if biased:
                e -= bu[u[t]] + bi[items]
                bu[u[t]] += lr_bias * (e.sum() - many * lam_bias * bu[u[t]])
            P[u[t]] -= many * lr * lam * p
            for x, error in zip(items, e, strict=True):
                P[u[t]] += lr * error * Q[x]
                Q[x] += lr * (error * p - lam * Q[x])
                bi[x] += lr_bias * (error - lam_bias * bi[x]) if biased else 0.0
            t += many
    return visits


def fit_feature(
    blocks, XT, YT, old, sums, R, index, places, rows, first, many, tile, t, pending, tiles,
    users, again, lam, weighted,
) -> int:  # fmt: skip
    assert first + many <= len(rows)
    visits = 0
    for x in rows[first : first + many]:
        low, high = places[tile, x], places[tile + 1, x]
        cols, was = index[low:high], XT[t, x]
        visits += len(cols)
        if not again:
            off = XT[t if pending == -2 else pending, x] if pending != -1 else 0.0
            z = old if pending == -2 else YT[pending]
            R[low:high] += was * (old if users else YT[t])[cols] - off * z[cols]
        top, bottom = (R[low:high] * YT[t, cols]).sum(), (YT[t, cols] ** 2).sum()
        if tile:
            top, bottom = top + sums[0, x], bottom + sums[1, x]
        if tile < tiles - 1:
            sums[:, x] = top, bottom
            continue
        bottom += lam * (high - places[0, x]) if weighted else lam
        XT[t, x] = top / bottom if bottom > 0 else 0.0
        if not users and not again:
            old[x] = was
    return visits


def step_biases(
    blocks, XT, YT, biases, steps, change, R, index, places, rows, first, many, pending,
    changed, on, lam, weighted,
) -> int:  # fmt: skip
    visits = 0
    for x in rows[first : first + many]:
        low, high = places[0, x], places[-1, x]
        cols, n = index[low:high], high - low
        visits += n
        if pending >= 0:
            R[low:high] -= XT[pending, x] * YT[pending, cols]
        if changed:
            R[low:high] -= change[cols]
        if on:
            was = biases[x]
            biases[x] = (R[low:high] + was).sum() / (n + lam * (n if weighted else 1))
            steps[x] = biases[x] - was
            R[low:high] -= steps[x]
    return int(visits)


def triad(blocks, a, b, c, factor) -> int:
    a[:] = b + factor * c
    return len(a)


Done = tuple[Callable[..., int], tuple[int, ...], tuple[int, ...]]
DONE: dict[str, Done] = {  # what is run, and positions of the arrays that are written and read
    "visit_rows": (visit_rows, (0,), (1, 5)),
    "visit_rows_fractional": (visit_rows_fractional, (0, 19), (1, 5)),
    "visit_chunks": (visit_chunks, (0, 1), (2, 4)),
    "visit_wavefront": (visit_wavefront, (0, 1, 6, 7), (2, 4, 5)),
    "visit_strips": (visit_strips, (0, 1), (4, 6, 7)),
    "visit_strata": (visit_strata, (0, 1), (4, 6, 7)),
    # bins of rows write to one array at a time, each its own rows
    "fit_feature": (fit_feature, (), ()),
    "step_biases": (step_biases, (), ()),
    "gram": (gram, (7, 8), (0, 1, 6)),
    "triad": (triad, (0,), (1, 2)),
    "solve_systems": (solve_systems, (0,), (2, 3)),
}

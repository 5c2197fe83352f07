"""Runs of one user's ratings: strip SGD's arithmetic, four ratings at a time.

The row of the user stays in registers while the rows of the items stream by. The four errors of a
group come from one p, the four rows of Q are updated one after the other, and p moves once, by the
sum of its four steps. What remains of a run, up to three ratings, is visited one by one.

From a dot product to the next p a core mostly waits for results. So that it has something to do
meanwhile, the rows of Q of a group are written after the dot products of the next one have begun,
which comes to the same as long as the two groups are of different items. With narrower registers
than a vector it is not done: the core is busy anyway, and what must be kept would be spilled.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from mfviz.kernels import quads, registers, simd
from mfviz.kernels.compiling import PART, part
from mfviz.kernels.sgd import visit

__all__ = ["GROUP", "visit_run"]

GROUP = 4  # ratings whose errors come from one p
_ONE = np.float32(1.0)
_SHORT = 4  # vectors of a row that is there in time without being asked for
_AHEAD = 8  # ratings, from the next group on, whose rows are asked for


def visit_run(u, start, stop, i, r, P, Q, bu, bi, rates):
    """Visit the ratings ``start`` to ``stop`` of user ``u``; updates P, Q, bu and bi in place.

    Parameters
    ----------
    u, start, stop : int
    i, r : (nnz,) int32, float32
    P, Q : (m, f), (n, f) float32, C-order, f a multiple of 16, updated in place
    bu, bi : (m,), (n,) float32, updated in place where ``rates.biased``
    rates : mfviz.kernels.sgd.Rates

    Notes
    -----
    For each group of four: ``e_j = r_j - mu - bu - bi_j - p.q_j`` of all four; then
    ``p' = (1 - 4 lr lam) p + lr sum_j e_j q_j`` and, one after the other,
    ``q_j += lr (e_j p - lam q_j)`` with the p of before the group. Biases likewise. 8f flops a
    rating; reads and writes Q[i] and, once a run, P[u].
    """
    raise NotImplementedError("for compiled code only")


@overload(visit_run, jit_options=PART, inline="never")
def _visit_run(u, start, stop, i, r, P, Q, bu, bi, rates):
    return _in_registers if len(rates.types[rates.fields.index("parts")]) else _in_memory


@part(inline="always")
def _train_biases(a, b, c, d, e, bi, rates):
    """Update the biases of four items one after the other; return the sum of the four errors."""
    e0, e1, e2, e3 = quads.number(e, 0), quads.number(e, 1), quads.number(e, 2), quads.number(e, 3)
    keep = _ONE - rates.lr_bias * rates.lam_bias
    bi[a] = keep * bi[a] + rates.lr_bias * e0
    bi[b] = keep * bi[b] + rates.lr_bias * e1
    bi[c] = keep * bi[c] + rates.lr_bias * e2
    bi[d] = keep * bi[d] + rates.lr_bias * e3
    return (e0 + e1) + (e2 + e3)


@part(inline="always")
def _four_dots(p, i, t, Q, parts):
    """Return the quad of the products of p with the rows of four ratings."""
    return quads.totals(
        registers.products(p, registers.load_row(Q, i[t], parts)),
        registers.products(p, registers.load_row(Q, i[t + 1], parts)),
        registers.products(p, registers.load_row(Q, i[t + 2], parts)),
        registers.products(p, registers.load_row(Q, i[t + 3], parts)),
    )


@part(inline="always")
def _differ(i, t):
    """Return whether the four items before ``t`` differ from each other and from the next four."""
    a, b, c, d = i[t - 4], i[t - 3], i[t - 2], i[t - 1]
    w, x, y, z = i[t], i[t + 1], i[t + 2], i[t + 3]
    same = (a == b) | (a == c) | (a == d) | (b == c) | (b == d) | (c == d)
    same |= (a == w) | (a == x) | (a == y) | (a == z) | (b == w) | (b == x) | (b == y) | (b == z)
    same |= (c == w) | (c == x) | (c == y) | (c == z) | (d == w) | (d == x) | (d == y) | (d == z)
    return not same


@part(inline="always")
def _follow(step, i, moved, Q, parts):
    """Return ``moved`` plus a step along ``Q[i]``."""
    return registers.add_scaled(step, registers.load_row(Q, i, parts), moved)


@part(inline="always")
def _update(step, i, p, Q, keep, parts, ahead):
    """Update ``Q[i]`` by a step along p, and ask for row ``ahead`` where rows are long."""
    q = registers.load_row(Q, i, parts)
    registers.store_row(Q, i, registers.add_scaled(step, p, registers.scaled(keep, q)))
    if len(parts) > _SHORT:
        for k in range(0, len(parts) * simd.LANES, simd.LANES):
            simd.prefetch(Q, ahead, k)


@part(inline="always")
def _move(step, i, p, moved, Q, keep, parts):
    """Update ``Q[i]`` by a step along p; return ``moved`` plus the step along the old ``Q[i]``."""
    q = registers.load_row(Q, i, parts)
    registers.store_row(Q, i, registers.add_scaled(step, p, registers.scaled(keep, q)))
    return registers.add_scaled(step, q, moved)


def _in_registers(u, start, stop, i, r, P, Q, bu, bi, rates):
    parts = rates.parts
    p, bias, t = registers.load_row(P, u, parts), bu[u], start
    lr, keep = simd.splat(rates.lr), simd.splat(_ONE - rates.lr * rates.lam)
    keep_p = simd.splat(_ONE - np.float32(4.0) * rates.lr * rates.lam)
    keep_bias = _ONE - rates.lr_bias * rates.lam_bias
    keep_bias_4 = _ONE - np.float32(4.0) * rates.lr_bias * rates.lam_bias
    if t + 4 <= stop:
        dots = _four_dots(p, i, t, Q, parts)
    while t + 4 <= stop:
        a, b, c, d = i[t], i[t + 1], i[t + 2], i[t + 3]
        e = simd.sub(simd.sub(quads.quad_at(r, t), simd.splat(rates.mu + bias)), dots)
        if rates.biased:
            e = simd.sub(e, quads.quad(bi[a], bi[b], bi[c], bi[d]))
            error = _train_biases(a, b, c, d, e, bi, rates)
            bias = keep_bias_4 * bias + rates.lr_bias * error
        steps, moved = simd.mul(lr, e), registers.scaled(keep_p, p)
        s0, s1 = quads.spread(steps, 0), quads.spread(steps, 1)
        s2, s3 = quads.spread(steps, 2), quads.spread(steps, 3)
        t += 4
        if simd.whole_vectors() and t + 4 <= stop and _differ(i, t):
            moved = _follow(s1, b, _follow(s0, a, moved, Q, parts), Q, parts)
            moved = _follow(s3, d, _follow(s2, c, moved, Q, parts), Q, parts)
            dots, last = _four_dots(moved, i, t, Q, parts), stop - 1
            _update(s0, a, p, Q, keep, parts, i[min(t + _AHEAD, last)])
            _update(s1, b, p, Q, keep, parts, i[min(t + _AHEAD + 1, last)])
            _update(s2, c, p, Q, keep, parts, i[min(t + _AHEAD + 2, last)])
            _update(s3, d, p, Q, keep, parts, i[min(t + _AHEAD + 3, last)])
            p = moved
        else:
            moved = _move(s1, b, p, _move(s0, a, p, moved, Q, keep, parts), Q, keep, parts)
            p = _move(s3, d, p, _move(s2, c, p, moved, Q, keep, parts), Q, keep, parts)
            if t + 4 <= stop:
                dots = _four_dots(p, i, t, Q, parts)
    while t < stop:
        a = i[t]
        z = rates.mu + bias + simd.total(registers.products(p, registers.load_row(Q, a, parts)))
        if rates.biased:
            z += bi[a]
        e1 = r[t] - z
        p = _move(simd.splat(rates.lr * e1), a, p, registers.scaled(keep, p), Q, keep, parts)
        if rates.biased:
            bias = keep_bias * bias + rates.lr_bias * e1
            bi[a] = keep_bias * bi[a] + rates.lr_bias * e1
        t += 1
    registers.store_row(P, u, p)
    bu[u] = bias


def _in_memory(u, start, stop, i, r, P, Q, bu, bi, rates):
    t = start
    while t + 4 <= stop:
        _four(u, t, i, r, P, Q, bu, bi, rates)
        t += 4
    while t < stop:
        visit(u, i[t], r[t], P, Q, bu, bi, rates)
        t += 1


@part
def _four(u, t, i, r, P, Q, bu, bi, rates):
    """Visit four ratings of one user, p in memory."""
    a, b, c, d = i[t], i[t + 1], i[t + 2], i[t + 3]
    x0 = x1 = x2 = x3 = simd.splat(np.float32(0.0))
    for k in range(0, P.shape[1], simd.LANES):
        p = simd.load(P, u, k)
        x0, x1 = simd.fma(p, simd.load(Q, a, k), x0), simd.fma(p, simd.load(Q, b, k), x1)
        x2, x3 = simd.fma(p, simd.load(Q, c, k), x2), simd.fma(p, simd.load(Q, d, k), x3)
    dots = quads.totals(x0, x1, x2, x3)
    e = simd.sub(simd.sub(quads.quad_at(r, t), simd.splat(rates.mu + bu[u])), dots)
    if rates.biased:
        e = simd.sub(e, quads.quad(bi[a], bi[b], bi[c], bi[d]))
        error = _train_biases(a, b, c, d, e, bi, rates)
        keep_bias = _ONE - np.float32(4.0) * rates.lr_bias * rates.lam_bias
        bu[u] = keep_bias * bu[u] + rates.lr_bias * error
    steps, keep = simd.mul(simd.splat(rates.lr), e), simd.splat(_ONE - rates.lr * rates.lam)
    keep_p = simd.splat(_ONE - np.float32(4.0) * rates.lr * rates.lam)
    s0, s1 = quads.spread(steps, 0), quads.spread(steps, 1)
    s2, s3 = quads.spread(steps, 2), quads.spread(steps, 3)
    for k in range(0, P.shape[1], simd.LANES):
        p = simd.load(P, u, k)
        moved = simd.mul(keep_p, p)
        moved = _move_part(s0, a, k, p, moved, Q, keep)
        moved = _move_part(s1, b, k, p, moved, Q, keep)
        moved = _move_part(s2, c, k, p, moved, Q, keep)
        simd.store(P, u, k, _move_part(s3, d, k, p, moved, Q, keep))


@part(inline="always")
def _move_part(step, i, k, p, moved, Q, keep):
    """Do for one vector of a row what :func:`_move` does for all."""
    q = simd.load(Q, i, k)
    simd.store(Q, i, k, simd.fma(step, p, simd.mul(keep, q)))
    return simd.fma(step, q, moved)

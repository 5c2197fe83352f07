"""Strips of items in shared memory, a block of users and items a thread block: strip SGD.

A thread block has a range of users and, in each round, a group of items of its own. It brings the
group's rows of Q to shared memory strip by strip. Its workers, a warp each, have users of their
own in turn and go through the parts of the strip by a Latin square, with a barrier after each, so
that nothing is written by two at the same time. The lanes of a worker share a row, 16 bytes each.
The CPU twin of a worker's visits is :func:`mfviz.kernels.runs.visit_run`.
"""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.target import SIMULATED, WARP, cuda, inlined, kernel, types
from mfviz.kernels.cuda.vectors import RUN, lane_sum, lanes_of, load_run, store_run

__all__ = ["rows_that_fit", "strip_threads", "visit_strips"]

ROOM = 44 << 10  # bytes of shared memory for a strip: 48 KiB are there without asking for more
GROUP = 4  # ratings of one user whose errors come from one p


def rows_that_fit(width: int) -> int:
    """Return how many rows of Q, with their biases, a strip may have.

    Parameters
    ----------
    width : int
    """
    return ROOM // (4 * (width + 1))


def strip_threads(workers: int, *, shuffle: bool) -> int:
    """Return the threads of a block: a warp a worker; in the other form a worker is a thread.

    Parameters
    ----------
    workers : int
    shuffle : bool
    """
    return workers * WARP if shuffle else workers


def _signature():
    """Types of ``visit_strips``'s arguments.

    With G blocks of T workers and S strips a group the kernel takes ``P, Q`` (rows, width) float32
    and biases ``bu, bi``, users by number and items by group, strip and part; the triples block by
    block, users in order, as int32 ``ids`` and as float32 ``values``, one memory, items counted
    from the beginning of their strip; ``offsets`` (G T * G S T + 1,) int64, places of the blocks;
    ``firsts`` (G S + 1,) int64, first item of each strip; ``outer`` (G,) int64, the group of each
    thread block in this round; ``inner`` (T * T,) int64, the part of each worker (columns) in
    each step (rows); ``turns`` (S,) int64, the order of strips; G, S and T; then the rates.
    """
    matrix, vector = types.Array(types.float32, 2, "C"), types.Array(types.float32, 1, "C")
    number, places = types.Array(types.int32, 1, "C"), types.Array(types.int64, 1, "C")
    return types.void(
        matrix, matrix, vector, vector, number, vector, *[places] * 5, *[types.int64] * 3,
        *[types.float32] * 5, types.boolean,
    )  # fmt: skip


@inlined
def _carry(source, target, first, shift, count, quads, thread, threads, run):
    """Copy ``count`` rows from row ``first`` on to rows from ``shift`` on, 16 bytes a thread."""
    for e in range(thread, count * quads, threads):
        load_run(source, first + e // quads, 4 * (e % quads), run, 0)
        store_run(target, shift + e // quads, 4 * (e % quads), run, 0)


def _lanes(width, shuffle):
    """Lanes of a worker, and how often each of them loads 16 bytes of a row."""
    count = lanes_of(width) if shuffle else 1
    return count, -(-width // (4 * count))


def _product(width, shuffle):
    """Return the device function that multiplies two rows and adds what lane 0 brings.

    A lane has its own numbers of every row, from beginning to end: what it reads it has written.
    """
    (count, loads), total = _lanes(width, shuffle), lane_sum(_lanes(width, shuffle)[0], shuffle)
    lanes, columns = np.int64(count), np.int64(width)

    def product(P, Q, u, i, extra, lane, p, q, sums):
        s = extra
        for v in range(loads):
            c = 4 * (lane + v * lanes)
            if c < columns:
                load_run(P, u, c, p, 0)
                load_run(Q, i, c, q, 0)
                for k in range(4):
                    s += p[k] * q[k]
        return total(s, lane, sums) if count > 1 else s

    return inlined(product)


def _one_visit(width, shuffle):
    """Return the device function that visits a rating: both rows move, each by the old other."""
    (count, loads), one = _lanes(width, shuffle), np.float32(1.0)
    lanes, columns, product = np.int64(count), np.int64(width), _product(width, shuffle)

    def visit(P, Q, bu, bi, u, i, r, lr, lam, lr_bias, lam_bias, biased, lane, p, q):
        extra, keep = np.float32(0.0), one - lr * lam
        if biased and lane == 0:
            extra = bu[u] + bi[i]
        error = r - product(P, Q, u, i, extra, lane, p, q, bi)
        for v in range(loads):
            c = 4 * (lane + v * lanes)
            if c < columns:
                load_run(P, u, c, p, 0)
                load_run(Q, i, c, q, 0)
                for k in range(4):
                    a, b = p[k], q[k]
                    p[k] = lr * error * b + keep * a
                    q[k] = lr * error * a + keep * b
                store_run(P, u, c, p, 0)
                store_run(Q, i, c, q, 0)
        if biased and lane == 0:
            keep = one - lr_bias * lam_bias
            bu[u] = keep * bu[u] + lr_bias * error
            bi[i] = keep * bi[i] + lr_bias * error

    return inlined(visit)


def _four_visits(width, shuffle):
    """Return the device function that visits four ratings of a user, whose row moves once."""
    (count, loads), one = _lanes(width, shuffle), np.float32(1.0)
    lanes, columns, product = np.int64(count), np.int64(width), _product(width, shuffle)
    four = np.float32(GROUP)

    def visit(
        P, Q, bu, bi, u, t, ids, values, mu, lr, lam, lr_bias, lam_bias, biased, lane, p, q,
        moved, items, errors,
    ):  # fmt: skip
        keep, keep_bias = one - lr * lam, one - lr_bias * lam_bias
        keep_p, keep_bias_4 = one - four * lr * lam, one - four * lr_bias * lam_bias
        for j in range(GROUP):
            items[j] = np.int64(ids[3 * (t + j) + 1])
            extra = np.float32(0.0)
            if biased and lane == 0:
                extra = bu[u] + bi[items[j]]
            z = product(P, Q, u, items[j], extra, lane, p, q, bi)
            errors[j] = values[3 * (t + j) + 2] - mu - z
        for v in range(loads):
            c = 4 * (lane + v * lanes)
            if c < columns:
                load_run(P, u, c, p, 0)
                for k in range(4):
                    moved[k] = keep_p * p[k]
                for j in range(GROUP):
                    load_run(Q, items[j], c, q, 0)
                    for k in range(4):
                        b = q[k]
                        moved[k] += lr * errors[j] * b
                        q[k] = lr * errors[j] * p[k] + keep * b
                    store_run(Q, items[j], c, q, 0)
                store_run(P, u, c, moved, 0)
        if biased and lane == 0:
            rise = np.float32(0.0)
            for j in range(GROUP):
                bi[items[j]] = keep_bias * bi[items[j]] + lr_bias * errors[j]
                rise += errors[j]
            bu[u] = keep_bias_4 * bu[u] + lr_bias * rise

    return inlined(visit)


@kernel("visit_strips", _signature, meets=1)
def visit_strips(width, shuffle):
    """Make the kernel that visits a round: each block a group of items.

    Parameters
    ----------
    width : int
        Columns of P and Q, a multiple of 8 up to 256.
    shuffle : bool
    """
    lanes, fits = np.int64(lanes_of(width) if shuffle else 1), rows_that_fit(width)
    apart, quads, real = np.int64(WARP if shuffle else 1), np.int64(width // 4), types.float32
    one_visit, four_visits = _one_visit(width, shuffle), _four_visits(width, shuffle)

    def visit(
        P, Q, bu, bi, ids, values, offsets, firsts, outer, inner, turns, G, S, T,
        mu, lr, lam, lr_bias, lam_bias, biased,
    ):  # fmt: skip
        if SIMULATED:  # it does not know of alignment
            strip = cuda.shared.array((fits, width), real)
        else:
            strip = cuda.shared.array((fits, width), real, RUN)
        near, moved = cuda.shared.array(fits, real), cuda.local.array(4, real)
        p, q = cuda.local.array(4, real), cuda.local.array(4, real)
        items, errors = cuda.local.array(GROUP, types.int64), cuda.local.array(GROUP, real)
        thread, threads = np.int64(cuda.threadIdx.x), np.int64(cuda.blockDim.x)
        block, worker, lane = np.int64(cuda.blockIdx.x), thread // apart, thread % apart
        for turn in range(S):
            at = outer[block] * S + turns[turn]
            first, count = firsts[at], firsts[at + 1] - firsts[at]
            _carry(Q, strip, first, np.int64(0), count, quads, thread, threads, p)
            for e in range(thread, count, threads):
                near[e] = bi[first + e]
            cuda.syncthreads()
            for step in range(T):
                part = (block * T + worker) * G * S * T + at * T + inner[step * T + worker]
                t, stop = offsets[part], offsets[part + 1]
                while t < stop and lane < lanes:
                    u, last = np.int64(ids[3 * t]), t + GROUP - 1
                    if last < stop and np.int64(ids[3 * last]) == u:
                        four_visits(
                            P, strip, bu, near, u, t, ids, values, mu, lr, lam, lr_bias,
                            lam_bias, biased, lane, p, q, moved, items, errors,
                        )  # fmt: skip
                        t += GROUP
                    else:
                        i, r = np.int64(ids[3 * t + 1]), values[3 * t + 2] - mu
                        one_visit(
                            P, strip, bu, near, u, i, r, lr, lam, lr_bias, lam_bias, biased,
                            lane, p, q,
                        )  # fmt: skip
                        t += 1
                cuda.syncthreads()
            _carry(strip, Q, np.int64(0), first, count, quads, thread, threads, p)
            for e in range(thread, count, threads):
                bi[first + e] = near[e]
            cuda.syncthreads()

    return visit

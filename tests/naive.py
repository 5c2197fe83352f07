"""Slow reference of every solver: NumPy, float64, one rating or row at a time.

Written from the specification, not from the kernels, and imports nothing of mfviz. A *mutant* is a
typical mistake, made on purpose; the tests show that they would notice it.
"""

from __future__ import annotations

import numpy as np

from tests.naive_als import als, als_gradient, als_objective
from tests.naive_ccd import ccd, ccdpp
from tests.naive_descent import asgd, averaged, minibatch, preconditioned
from tests.naive_gpu import als_by_cg, chunks, fractional
from tests.naive_strips import strip_items, strip_ranges, strip_runs, strip_sgd

__all__ = [
    "als",
    "als_by_cg",
    "als_gradient",
    "als_objective",
    "asgd",
    "averaged",
    "ccd",
    "ccdpp",
    "chunks",
    "dsgd",
    "dsgd_order",
    "fpsgd",
    "fractional",
    "hogwild",
    "minibatch",
    "objective",
    "part_seed",
    "preconditioned",
    "rmse",
    "sgd",
    "shuffled",
    "strip_items",
    "strip_ranges",
    "strip_runs",
    "strip_sgd",
]

WORD = (1 << 64) - 1


# --- order of visits ----------------------------------------------------------------------------


def split_mix(seed, counter):
    """Number ``counter`` of the generator SplitMix64."""
    x = (seed + counter * 0x9E3779B97F4A7C15) & WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def part_seed(seed, part):
    """Seed of part ``part`` of the ratings."""
    return int(seed) if part == 0 else split_mix(int(seed), part)


def shuffled(items, seed):
    """Return the items in the order of a Fisher-Yates shuffle."""
    items = list(items)
    for j in range(len(items) - 1, -1, -1):
        k = ((split_mix(int(seed), j) >> 32) * (j + 1)) >> 32
        items[j], items[k] = items[k], items[j]
    return items


# --- stochastic descent -------------------------------------------------------------------------


def swapped(order):
    """Mutant of an order: each pair of neighbours is exchanged."""
    order = list(order)
    for t in range(0, len(order) - 1, 2):
        order[t], order[t + 1] = order[t + 1], order[t]
    return order


def sgd(u, i, r, order, P, Q, bu, bi, mu, lr, lam, lr_bias=0.0, lam_bias=0.0, *, mutant=""):
    """Visit the ratings in the given order, once.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    order : sequence of int
        Positions to visit; any interleaving of hogwild or stratum order of dsgd is one.
    P, Q, bu, bi : arrays
        Not changed.
    mu, lr, lam, lr_bias, lam_bias : float
        With ``lr_bias`` 0 the biases stay as they are.
    mutant : str
        "new p": q is updated from the p of after the update; "stale p": a visit sees the p of
        before the last visit of its row; "plain lambda": lambda is charged once a row instead of
        once a rating; "swapped": neighbours in the order are exchanged.

    Returns
    -------
    P, Q, bu, bi : float64 arrays
    """
    P, Q, bu, bi = (np.array(a, dtype=np.float64) for a in (P, Q, bu, bi))
    n_u, n_i = np.bincount(u, minlength=len(P)), np.bincount(i, minlength=len(Q))
    last = P.copy()
    for t in swapped(order) if mutant == "swapped" else order:
        a, b = u[t], i[t]
        p, q = (last if mutant == "stale p" else P)[a].copy(), Q[b].copy()
        last[a] = P[a]
        e = r[t] - mu - bu[a] - bi[b] - p @ q
        lam_p, lam_q = (lam / n_u[a], lam / n_i[b]) if mutant == "plain lambda" else (lam, lam)
        P[a] += lr * (e * q - lam_p * p)
        Q[b] = q + lr * (e * (P[a] if mutant == "new p" else p) - lam_q * q)
        bu[a] += lr_bias * (e - lam_bias * bu[a])
        bi[b] += lr_bias * (e - lam_bias * bi[b])
    return P, Q, bu, bi


def dsgd_order(blocks, strata, *, mutant=""):
    """Positions in the order in which one thread would visit the blocks, stratum by stratum.

    Parameters
    ----------
    blocks : dict
        Positions of the ratings of block (row, col), in the order of their visits.
    strata : (d, d) int
        Column block of each row block, stratum by stratum.
    mutant : str
        "no barrier": the first row block runs through all strata before the others begin.
    """
    d = len(strata)
    turns = [(s, w) for s in range(d) for w in range(d)]
    if mutant == "no barrier":
        turns = [(s, w) for w in range(d) for s in range(d)]
    return [t for s, w in turns for t in blocks[w, int(strata[s][w])]]


def hogwild(u, i, r, order, *model_and_rates, mutant=""):
    """Visit the ratings in a given interleaving of the workers: the same as :func:`sgd`."""
    return sgd(u, i, r, order, *model_and_rates, mutant=mutant)


def dsgd(u, i, r, blocks, strata, *model_and_rates, mutant=""):
    """Visit the blocks stratum by stratum; see :func:`dsgd_order` and :func:`sgd`."""
    return sgd(u, i, r, dsgd_order(blocks, strata, mutant=mutant), *model_and_rates, mutant=mutant)


def fpsgd(u, i, r, blocks, schedule, P, Q, GP, GQ, lr, lam, *, rank, slow_only, mutant=""):
    """Replay a recorded schedule of one iteration with LIBMF's rule (RPCS, twin learners).

    Parameters
    ----------
    u, i, r : (nnz,) arrays
        Ratings divided by their standard deviation.
    blocks : dict
        Positions of the ratings of block (row, col), in the order of their visits.
    schedule : sequence of (row, col)
        Blocks in the order in which they were taken.
    P, Q, GP, GQ : arrays
        Factors, and for each row the sums of the slow and of the fast features. Not changed.
    lr, lam : float
        Lambda divided by the standard deviation, too.
    rank : int
        The fast part counts ``rank``, rounded up to a multiple of eight, less eight.
    slow_only : bool
        Whether this is the first iteration.
    mutant : str
        "new G": the sums are those after this rating; "new p": as in :func:`sgd`.

    Returns
    -------
    P, Q, GP, GQ : float64 arrays
    """
    P, Q, GP, GQ = (np.array(a, dtype=np.float64) for a in (P, Q, GP, GQ))
    aligned = -(-rank // 8) * 8
    parts = [(0, slice(0, 8), 8)]
    if not slow_only and aligned > 8:
        parts.append((1, slice(8, None), aligned - 8))
    for block in schedule:
        for t in blocks[tuple(block)]:
            a, b = u[t], i[t]
            e = r[t] - P[a] @ Q[b]
            for column, lanes, count in parts:
                p, q = P[a, lanes].copy(), Q[b, lanes].copy()
                gp = -e * q + lam * p
                more_p = gp @ gp / count
                P[a, lanes] = p - lr / np.sqrt(GP[a, column] + (mutant == "new G") * more_p) * gp
                gq = -e * (P[a, lanes] if mutant == "new p" else p) + lam * q
                more_q = gq @ gq / count
                Q[b, lanes] = q - lr / np.sqrt(GQ[b, column] + (mutant == "new G") * more_q) * gq
                GP[a, column] += more_p
                GQ[b, column] += more_q
    return P, Q, GP, GQ


# --- measures -----------------------------------------------------------------------------------


def errors(u, i, r, P, Q, bu, bi, mu, scale=1.0):
    """Rating minus prediction, for each rating."""
    P, Q = np.asarray(P, dtype=np.float64), np.asarray(Q, dtype=np.float64)
    guess = np.array([P[a] @ Q[b] + bu[a] + bi[b] + mu for a, b in zip(u, i, strict=True)])
    return np.asarray(r, dtype=np.float64) - scale * guess


def rmse(u, i, r, P, Q, bu, bi, mu, scale=1.0):
    """Root mean squared error."""
    return float(np.sqrt(np.mean(errors(u, i, r, P, Q, bu, bi, mu, scale) ** 2)))


def objective(u, i, r, P, Q, bu, bi, mu, lam, lam_bias=0.0):
    """Sum over ratings of ``e^2 + lam (|p_u|^2 + |q_i|^2) + lam_bias (b_u^2 + b_i^2)``."""
    total = np.sum(errors(u, i, r, P, Q, bu, bi, mu) ** 2)
    for a, b in zip(u, i, strict=True):
        total += lam * (P[a] @ P[a] + Q[b] @ Q[b]) + lam_bias * (bu[a] ** 2 + bi[b] ** 2)
    return float(total)

"""Slow reference of strip SGD: who belongs to which strip, in which order, four at a time."""

from __future__ import annotations

import numpy as np

__all__ = ["strip_items", "strip_ranges", "strip_runs", "strip_sgd"]


def strip_items(i, n, groups, strips):
    """Strip of each item: dealt to groups by popularity, the group with the least load first.

    Returns
    -------
    (n,) list of int
        ``group * strips + strip``.
    """
    counts = [list(i).count(item) for item in range(n)]
    order = sorted(range(n), key=lambda item: (-counts[item], item))
    deals = [order[at : at + groups] for at in range(0, n, groups)]
    loads, found = [0] * groups, [0] * n
    for number, deal in enumerate(deals):
        free = sorted(range(groups), key=lambda g: (loads[g], g))
        for group, item in zip(free, deal, strict=False):
            found[item] = group * strips + number * strips // len(deals)
            loads[group] += counts[item]
    return found


def strip_ranges(u, m, workers):
    """First user of each worker's range, and m: a range ends where its share is reached."""
    before = np.cumsum([list(u).count(user) for user in range(m)])
    inner = [int(np.sum(before < w * len(u) / workers)) for w in range(1, workers)]
    return [0, *inner, m]


def strip_runs(u, strip_of_rating, ranges, users, schedule, turns, *, mutant=""):
    """Runs of one epoch in an order that one thread could take: lists of positions.

    Parameters
    ----------
    u, strip_of_rating : (nnz,) int
    ranges : (workers + 1,) int
        Places in ``users``.
    users : (m,) int
        Order of visits.
    schedule : (workers, workers) int
        Group of each worker, round by round.
    turns : (strips of a group,) int
    mutant : str
        "no barrier": the first worker goes through all rounds before the others begin; "users in
        order": the order of users is ignored.
    """
    keys: dict = {}
    for t, key in enumerate(zip(strip_of_rating, u, strict=True)):
        keys.setdefault(key, []).append(t)
    workers = len(ranges) - 1
    pairs = [(k, w) for k in range(workers) for w in range(workers)]
    if mutant == "no barrier":
        pairs = [(k, w) for w in range(workers) for k in range(workers)]
    runs = []
    for k, w in pairs:
        mine = list(users[ranges[w] : ranges[w + 1]])
        if mutant == "users in order":
            mine = sorted(mine)
        for turn in turns:
            strip = schedule[k][w] * len(turns) + turn
            runs += [keys[strip, user] for user in mine if (strip, user) in keys]
    return runs


def strip_sgd(
    u, i, r, runs, P, Q, bu, bi, mu, lr, lam, lr_bias=0.0, lam_bias=0.0, *, mutant=""
):  # fmt: skip
    """Visit the runs in the given order; groups of four share the p of before the group.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    runs : sequence of sequences of int
        Positions of ratings of one user each.
    P, Q, bu, bi : arrays
        Not changed.
    mu, lr, lam, lr_bias, lam_bias : float
    mutant : str
        "one by one": every rating sees the p of after the one before it (plain SGD); "lambda
        once": p shrinks once a group; "groups of three"; "new p": rows of Q see the p of after the
        group.

    Returns
    -------
    P, Q, bu, bi : float64 arrays
    """
    P, Q, bu, bi = (np.array(a, dtype=np.float64) for a in (P, Q, bu, bi))
    size = {"one by one": 1, "groups of three": 3}.get(mutant, 4)
    for run in runs:
        whole = len(run) // size * size
        groups = [run[at : at + size] for at in range(0, whole, size)]
        for group in [*groups, *([t] for t in run[whole:])]:
            a = u[group[0]]
            p, bias = P[a].copy(), bu[a]
            errors = [r[t] - mu - bias - bi[i[t]] - p @ Q[i[t]] for t in group]
            shrink = 1 if mutant == "lambda once" else len(group)
            new = p - lr * lam * shrink * p
            for t, e in zip(group, errors, strict=True):
                b = i[t]
                new += lr * e * Q[b]
                if mutant != "new p":
                    Q[b] += lr * (e * p - lam * Q[b])
                bi[b] += lr_bias * (e - lam_bias * bi[b])
            if mutant == "new p":
                for t, e in zip(group, errors, strict=True):
                    Q[i[t]] += lr * (e * new - lam * Q[i[t]])
            P[a] = new
            bu[a] += lr_bias * (sum(errors) - len(group) * lam_bias * bias)
    return P, Q, bu, bi

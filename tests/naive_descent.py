"""Slow references of the descents on one or both sides: NumPy, float64; import nothing of mfviz.

A model is a dict of ``P, Q, bu, bi`` and ``mu``; each function copies it. Orders of visits are
positions of ratings, given by the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["asgd", "averaged", "minibatch", "model_of", "preconditioned"]

Model = dict[str, Any]


def model_of(factors) -> Model:
    """Copy factors in float64, without their padding."""
    arrays = {name: getattr(factors, name).astype(np.float64) for name in ("P", "Q", "bu", "bi")}
    rank = factors.rank
    return {**arrays, "P": arrays["P"][:, :rank], "Q": arrays["Q"][:, :rank], "mu": factors.mu}


def copy(model: Model) -> Model:
    """Copy the arrays of a model."""
    return {name: np.copy(value) for name, value in model.items()}


def error(model: Model, u: int, i: int, r: float) -> float:
    """Rating minus prediction."""
    return r - (model["mu"] + model["bu"][u] + model["bi"][i] + model["P"][u] @ model["Q"][i])


def asgd(u, i, r, model, orders, *, lrs, lam, lr_bias, lam_bias, biased=True, mutant=""):
    """Alternating SGD.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    model : dict
    orders : list of (order, order)
        For each epoch the ratings in the order of the users' phase and of the items' phase.
    lrs : list of float
        Factor of both learning rates in each epoch, times ``lr`` for the features.
    lam, lr_bias, lam_bias : float
    biased : bool
    mutant : str
        "stale": items see the users of before; "both": each visit updates both sides;
        "decay once": lambda counts once a row.

    Returns
    -------
    dict
        The trained model.
    """
    model = copy(model)
    for (lr, factor), (users, items) in zip(lrs, orders, strict=True):
        old = copy(model)
        for X, Y, bx, side, order in (("P", "Q", "bu", 0, users), ("Q", "P", "bi", 1, items)):
            seen = {**model, "P": old["P"]} if mutant == "stale" and side else model
            last: set[int] = set()
            for t in order:
                x, y = (u[t], i[t]) if side == 0 else (i[t], u[t])
                e = error(seen, u[t], i[t], r[t])
                other, own = seen[Y][y].copy(), model[X][x].copy()
                shrink = 0.0 if mutant == "decay once" and x in last else lam
                last.add(x)
                model[X][x] += lr * (e * other - shrink * own)
                if mutant == "both":
                    model[Y][y] += lr * (e * own - lam * other)
                if biased:
                    model[bx][x] += lr_bias * factor * (e - lam_bias * model[bx][x])
    return model


def minibatch(u, i, r, model, orders, size, *, lr, lam, lr_bias, lam_bias, form="sum", mutant=""):
    """Mini-batch SGD at a constant learning rate.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    model : dict
    orders : list of sequence of int
        Visits of each epoch; batches are cut from them.
    size : int
        Ratings of a batch.
    lr, lam, lr_bias, lam_bias : float
    form : str
        "sum", "mean" or "row": what a row's gradient is divided by.
    mutant : str
        "fresh": each rating sees what the ones before it in the batch did; "once": lambda is
        charged once a row and batch; "lost": of a row's gradients in a batch the last one counts.

    Returns
    -------
    dict
        The trained model.
    """
    model = copy(model)
    for order in orders:
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            old, seen = copy(model), set()
            hits = {0: np.bincount(u[batch]), 1: np.bincount(i[batch])}
            for t in batch:
                at = model if mutant == "fresh" else old
                e = error(at, u[t], i[t], r[t])
                p, q = at["P"][u[t]].copy(), at["Q"][i[t]].copy()
                for side, X, bx, x, own, other in (
                    (0, "P", "bu", u[t], p, q),
                    (1, "Q", "bi", i[t], q, p),
                ):
                    divisor = {"sum": 1, "mean": len(batch), "row": hits[side][x]}[form]
                    charged = 0.0 if mutant == "once" and (side, x) in seen else lam
                    if mutant == "lost":
                        model[X][x], model[bx][x] = old[X][x], old[bx][x]
                    bias = at[bx][x]
                    model[X][x] += lr / divisor * (e * other - charged * own)
                    model[bx][x] += lr_bias / divisor * (e - lam_bias * bias)
                    seen.add((side, x))
    return model


def averaged(
    u, i, r, starts, orders, period, *, lr, lam, lr_bias, lam_bias, plain=False, mutant=""
):
    """Periodic averaging of the models of several workers, at a constant learning rate.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    starts : list of dict
        A model for each worker.
    orders : list of lists of sequences of int
        Visits of each epoch by worker.
    period : int
        Steps of a worker between two averages.
    lr, lam, lr_bias, lam_bias : float
    plain : bool
        Whether all copies of a row weigh the same, not their visits of it.
    mutant : str
        "shared": all workers step on one model; "touch once": copies that touched a row weigh the
        same, however often they did; "late": the last average of an epoch is left out.

    Returns
    -------
    dict
        The average of all models.
    """
    models = [copy(model) for model in starts]
    if mutant == "shared":
        models = [models[0]] * len(models)
    for shares in orders:
        for start in range(0, max(map(len, shares)), period):
            touches = [{"u": np.zeros(len(m["P"])), "i": np.zeros(len(m["Q"]))} for m in models]
            for model, touched, share in zip(models, touches, shares, strict=True):
                for t in share[start : start + period]:
                    e = error(model, u[t], i[t], r[t])
                    p, q = model["P"][u[t]].copy(), model["Q"][i[t]].copy()
                    model["P"][u[t]] += lr * (e * q - lam * p)
                    model["Q"][i[t]] += lr * (e * p - lam * q)
                    model["bu"][u[t]] += lr_bias * (e - lam_bias * model["bu"][u[t]])
                    model["bi"][i[t]] += lr_bias * (e - lam_bias * model["bi"][i[t]])
                    touched["u"][u[t]] += 1
                    touched["i"][i[t]] += 1
            last = start + period >= max(map(len, shares))
            if mutant != "shared" and not (mutant == "late" and last):
                models = average(models, touches, plain, mutant)
    return average(models, touches, True, "")[0] if mutant == "late" else models[0]


def average(models, touches, plain, mutant):
    """Return as many copies of the average; rows that nobody touched stay as they are."""
    means = [copy(model) for model in models]
    for name, side in (("P", "u"), ("Q", "i"), ("bu", "u"), ("bi", "i")):
        weights = np.array([touched[side] for touched in touches])
        if plain:
            weights = np.ones_like(weights)
        elif mutant == "touch once":
            weights = np.minimum(weights, 1.0)
        total = weights.sum(axis=0)
        arrays = np.array([model[name] for model in models])
        shaped = weights.reshape(*weights.shape, *[1] * (arrays.ndim - 2))
        moved = total > 0
        sums = (shaped * arrays).sum(axis=0)[moved]
        for mean in means:
            mean[name][moved] = sums / total[moved].reshape(-1, *[1] * (arrays.ndim - 2))
    return means


def preconditioned(
    u, i, r, model, orders, *, lr, lam, lr_bias, lam_bias, kind="whiten", epsilon=0.1, mutant=""
):
    """Preconditioned SGD at a constant learning rate.

    Parameters
    ----------
    u, i, r : (nnz,) arrays
    model : dict
    orders : list of sequences of int
        Visits of each epoch.
    lr, lam, lr_bias, lam_bias : float
    kind : str
        "whiten", "kaczmarz" or "none".
    epsilon : float
        Added to the diagonal of the covariances.
    mutant : str
        "swapped": each side is whitened by its own covariance; "never": the covariances of the
        start are kept; "only error": lambda's part of the step is not preconditioned; "new p".

    Returns
    -------
    dict
        The trained model.
    """
    model = copy(model)

    def inverse(X):
        C = X.T @ X / len(X)
        return epsilon * np.linalg.inv(C + epsilon * np.eye(len(C)))

    for epoch, order in enumerate(orders):
        if epoch == 0 or mutant != "never":
            own = {"P": inverse(model["P"]), "Q": inverse(model["Q"])}
        for t in order:
            e = error(model, u[t], i[t], r[t])
            p, q = model["P"][u[t]].copy(), model["Q"][i[t]].copy()
            for X, x, mine, other, C in (
                ("P", u[t], p, q, own["P" if mutant == "swapped" else "Q"]),
                ("Q", i[t], q, p, own["Q" if mutant == "swapped" else "P"]),
            ):
                seen = model["P"][u[t]] if mutant == "new p" and X == "Q" else other
                g = e * seen - lam * mine
                if kind == "whiten":
                    g = e * (C @ seen) - lam * mine if mutant == "only error" else C @ g
                elif kind == "kaczmarz":
                    g = g / (other @ other + lam)
                model[X][x] += lr * g
            model["bu"][u[t]] += lr_bias * (e - lam_bias * model["bu"][u[t]])
            model["bi"][i[t]] += lr_bias * (e - lam_bias * model["bi"][i[t]])
    return model

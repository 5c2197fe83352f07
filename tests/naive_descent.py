"""Slow references of the descents on one or both sides: NumPy, float64; import nothing of mfviz.

A model is a dict of ``P, Q, bu, bi`` and ``mu``; each function copies it. Orders of visits are
positions of ratings, given by the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["asgd", "model_of"]

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

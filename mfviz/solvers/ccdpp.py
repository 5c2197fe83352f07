"""CCD++: one feature of all users and items at a time, with the best step for each number."""

from __future__ import annotations

import param

from mfviz.solvers.base import Card
from mfviz.solvers.featurewise import Featurewise

__all__ = ["CCDPP"]


class CCDPP(Featurewise):
    """Coordinate descent feature by feature, on a residual that is kept up to date.

    Pseudo-code: *for each feature t: add w h^T of feature t back to the residual; as often as
    ``inner`` says: for all items at once h_i = sum R w / (lam n_i + sum w^2); barrier; for all
    users at once w_u = sum R h / (lam n_u + sum h^2); barrier; take w h^T off again.*

    With ``biases`` an epoch begins with the best bias of each item, then of each user.

    The residual lies by user and by item. Float32 additions make it drift from r - P Q^T, so it is
    computed anew every ``refresh`` epochs; how far it was off is told as a measurement. A rating
    counts as visited when all features have passed over it: a pass counts for 1 / (f inner) of its
    ratings.

    Memory: 16 N + 8 (m + n + 2) for residual and indices, 4 (f + 1)(m + n) for the model,
    4 k (m + n) for the k features one by one, 8 m + 16 n for what a pass gathers and 64 (T + 1)
    for counters; with a stop rule 4 (m + n) for the gains, with biases as much for their steps.

    Reproducibility: exact, whatever the workers; a row has one writer.
    """

    key = "ccdpp"
    title = "CCD++"
    paper = (
        "Yu, Hsieh, Si, Dhillon: Scalable coordinate descent approaches to parallel matrix "
        "factorization for recommender systems, 2012"
    )
    equations = (
        r"\hat R = R + w h^\top,\quad "
        r"h_i = \frac{\sum_{u\in\Omega_i} \hat R_{ui} w_u}{\lambda n_i + \sum_u w_u^2},\quad "
        r"w_u = \frac{\sum_{i\in\Omega_u} \hat R_{ui} h_i}{\lambda n_u + \sum_i h_i^2},\quad "
        r"R = \hat R - w h^\top"
    )
    card = Card(
        brief="a feature at a time, 2 f barriers",
        parallel="All items of one feature, then all users of it; features come one by one.",
        synchronises="Two barriers for each feature and inner iteration: 2 f inner an epoch.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="About 16 f flops a rating with one inner iteration: linear in f, bound by gathers.",
        memory="16 N for the residual in both orders, and the factors twice.",
        kernel="kernels.ccdpp: one pass an order and feature; what it gathers lies side by side.",
    )

    stop_below = param.Number(
        0.0,
        bounds=(0.0, 1.0),
        doc="Leave a feature when a fit gains less than this share of the best one, and end the "
        "epoch after five such features (LIBPMF: 0.001; 0: never).",
    )
    refresh = param.Integer(
        10, bounds=(0, 10_000), doc="Epochs after which the residual is computed anew; 0: never."
    )

"""Exact alternating least squares, row by row (ALS and ALS-WR)."""

from __future__ import annotations

import param

from mfviz.data.problem import Problem
from mfviz.solvers.base import Card
from mfviz.solvers.device_systems import DeviceSystems

__all__ = ["ALS"]


class ALS(DeviceSystems):
    """Alternating least squares with an exact solution for every row.

    For fixed items the best features of a user are a small linear system of their own, so all
    users are solved side by side; then all items for those users::

        for each user u:  A = sum_i q_i q_i^T + lam c_u I;   p_u = A^-1 sum_i r_ui q_i
        barrier
        for each item i:  the same with users and items swapped

    with ``c_u`` the number of ratings of u (``weighted``, ALS-WR) or 1. A row without ratings
    becomes 0. By default ratings are used as they are, without centring, and factors start
    positive: with plain lambda the same ranks end at a clearly worse test error. With ``biases``
    the mean is taken off, and the biases of a side are fitted, exactly, before its features are:
    ``b_u = sum_i (r_ui - mu - b_i - p_u . q_i) / (n_u + lam_bias c_u)``. Small data gain by it.

    Notes
    -----
    Memory: ``16 N + 8 (m + n + 2)`` for the ratings in both orders, ``4 (f + 1)(m + n)`` for the
    model, and ``8 f^2 + 272 f`` a worker (``32 f`` with cg), with f padded to a multiple of 16;
    with biases ``4 N`` for what they leave of the ratings. On a GPU the kernels are those of
    cuMF_ALS in float32: ``4 f^2 + 4 f`` for each row of a batch instead, f a multiple of 8.

    Reproducibility: exact to the last bit, whatever the workers and chunks; a row has one writer
    and reads only the other side.

    Checkpoints lie at least one row apart: one row of 10^5 ratings at rank 256, or of a thousand
    at rank 1000, takes longer than the usual 50 ms. What happens to singular systems (``lam = 0``)
    is told in :mod:`mfviz.kernels.als`.
    """

    key = "als"
    title = "ALS (exact)"
    paper = (
        "Zhou, Wilkinson, Schreiber, Pan: Large-scale parallel collaborative filtering for the "
        "Netflix Prize, AAIM 2008"
    )
    equations = (
        r"p_u = \Big(\sum_{i\in\Omega_u} q_i q_i^\top + \lambda\, n_u I\Big)^{-1}"
        r"\sum_{i\in\Omega_u} r_{ui}\, q_i, \qquad "
        r"q_i = \Big(\sum_{u\in\Omega_i} p_u p_u^\top + \lambda\, n_i I\Big)^{-1}"
        r"\sum_{u\in\Omega_i} r_{ui}\, p_u"
    )
    card = Card(
        brief="exact rows, two barriers a sweep",
        parallel="Every row of a side is an independent job; workers take rows as they get free, "
        "and on a GPU a thread block has one.",
        synchronises="One barrier after the users and one after the items of each sweep.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="2 N f² + (m + n) f³ / 3 flops a sweep: quadratic in the rank, then cubic.",
        memory="Ratings twice (by user and by item), the factors, and one f × f matrix a worker; "
        "on a GPU one a row of a batch, 256 MiB in all.",
        kernel="Gram: 8 × 16 register tiles, float32; Cholesky in blocks and cg in rows, float64. "
        "On a GPU kernels.cuda.als, all in float32.",
    )

    simultaneous = param.Boolean(
        False, doc="Solve both sides from old values at once, to see why ALS must alternate."
    )

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or why not; a device keeps no second copy of a side."""
        if backend == "cuda" and self.simultaneous:
            return f"{self.title} takes sides in turn on CUDA: set simultaneous=false."
        return super().supports(problem, backend)

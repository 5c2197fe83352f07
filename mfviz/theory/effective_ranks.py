"""Effective ranks of a factor matrix: how many directions its rows really use.

For a covariance ``S`` with eigenvalues ``s_1 >= s_2 >= ...`` these are ``r_0`` and ``R_0`` of
Bartlett, Long, Lugosi and Tsigler, "Benign overfitting in linear regression" (PNAS 2020):

    r = tr S / s_1                R = (tr S)^2 / sum s_k^2

with ``1 <= r <= R <= min(r^2, f)``. Both are free of scale, so ``P^T P`` and its mean over the
rows give the same numbers. They bound from both sides the batch size up to which parallel SGD
gains.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["EffectiveRanks", "effective_ranks"]


class EffectiveRanks(NamedTuple):
    """The two effective ranks, ``r`` (operator norm) and ``R`` (Frobenius norm)."""

    r: float
    R: float


def effective_ranks(P: npt.NDArray[Any]) -> EffectiveRanks:
    """Compute r and R of ``P^T P``.

    Parameters
    ----------
    P : (m, f) array of float
        Rows are users or items; zero columns (padding) change nothing.

    Returns
    -------
    EffectiveRanks
        Both 0 for a matrix of zeros, which has no direction at all.
    """
    rows = P.astype(np.float64)
    largest = float(np.abs(rows).max(initial=0.0))
    if largest == 0.0:
        return EffectiveRanks(0.0, 0.0)
    rows /= largest  # squares of squares of small factors would underflow
    spectrum = np.linalg.eigvalsh(rows.T @ rows)
    trace = float(spectrum.sum())
    return EffectiveRanks(trace / float(spectrum[-1]), trace**2 / float((spectrum**2).sum()))

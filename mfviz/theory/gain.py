"""What a mini-batch gains over a single example, in closed form for least squares.

Examples ``x ~ N(0, S)`` have exact labels ``y = x . w*``; ``e = w - w*`` is the error of the
weights and ``g_b = mean over b examples of x (x . e)`` the gradient of a batch. With the step that
is best on average,

    D(b) = b (e'Se)^2 / [(b + 1) e'S^2 e + tr S e'Se]

is the expected decrease of ``|e|^2`` by one step of batch ``b``. Dividing by D(1) and averaging
over directions gives two curves that depend on the spectrum only through the effective ranks of
:mod:`mfviz.theory.effective_ranks`:

    isotropic e        b (R + 2) / (b + 1 + R)
    e = top direction  b (r + 2) / (b + 1 + r)      (the worst case)

Derived for mfviz and checked by simulation; the picture is that of the answer on parallel SGD and
ALS which this project illustrates. The linear-scaling regime and its end are those of Ma, Bassily
and Belkin, "The Power of Interpolation" (ICML 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["batch_decrease", "batch_gain", "best_step", "critical_batch"]

Float64 = npt.NDArray[np.float64]


def _moments(S: npt.NDArray[Any], e: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Return e'Se, e'S^2 e and tr S."""
    Se = S @ e
    return float(e @ Se), float(Se @ Se), float(np.trace(S))


def best_step(S: npt.NDArray[Any], e: npt.NDArray[Any], b: float) -> float:
    """Step that decreases ``|e|^2`` most on average, for batches of ``b``.

    Parameters
    ----------
    S : (f, f) array of float
        Covariance of the examples.
    e : (f,) array of float
        Error of the weights, not in the null space of ``S``.
    b : float
        Batch size, at least 1.
    """
    eSe, eSSe, trace = _moments(S, e)
    return b * eSe / ((b + 1) * eSSe + trace * eSe)


def batch_decrease(S: npt.NDArray[Any], e: npt.NDArray[Any], b: float) -> float:
    """Return the mean decrease of ``|e|^2`` by a step of batch ``b`` at :func:`best_step`.

    Parameters
    ----------
    S, e, b
        As for :func:`best_step`.
    """
    return best_step(S, e, b) * _moments(S, e)[0]


def batch_gain(b: npt.ArrayLike, effective_rank: float) -> Float64:
    """Decrease by one batch step, in units of that of a single example.

    Parameters
    ----------
    b : array_like of float
        Batch sizes, at least 1.
    effective_rank : float
        ``R`` for an error in no particular direction, ``r`` for the worst direction.

    Returns
    -------
    array of float64
        1 at ``b = 1``; it saturates at ``effective_rank + 2``.
    """
    size = np.asarray(b, dtype=np.float64)
    return size * (effective_rank + 2.0) / (size + 1.0 + effective_rank)


def critical_batch(effective_rank: float) -> float:
    """Batch size at which a batch is worth half of its examples: ``effective_rank + 3``."""
    return effective_rank + 3.0

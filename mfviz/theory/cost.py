"""Arithmetic and memory traffic of one epoch, by family of solver.

Counts are of the algorithm: a multiply-add is two flops, ratings are read as 12-byte triples
(8 bytes where the row is known from a pointer), features are float32, and nothing stays in a cache
except what the formula says. Measured kernels are compared with these numbers, never replaced by
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["FAMILIES", "Cost", "crossover_rank", "epoch_cost"]

# Solvers whose bytes and flops are known, and the family of each.
FAMILIES = {
    "als": "als",
    "apsgd": "two-phase",
    "asgd": "two-phase",
    "ccd": "ccd",
    "ccdpp": "ccdpp",
    "ds_sgd_c": "two-phase",
    "ds_sgd_d": "two-phase",
    "dsgd": "sgd",
    "fpsgd": "sgd",
    "gpusgd": "sgd",
    "hogwild": "sgd",
    "msgd": "two-phase",
    "sgd": "sgd",
    "strip_sgd": "sgd",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one epoch.

    Attributes
    ----------
    flops : float
        Floating-point operations.
    bytes : float
        Bytes between the cores and memory, without reuse across ratings.
    flops_formula, bytes_formula : str
        The same in m, n, N and f.
    gathers : float
        Numbers that are read one by one from places all over a vector; 0 where rows are read.
    """

    flops: float
    bytes: float
    flops_formula: str
    bytes_formula: str
    gathers: float = 0.0

    @property
    def intensity(self) -> float:
        """Flops a byte."""
        return self.flops / self.bytes


def _sgd(m: int, n: int, N: int, f: int) -> Cost:
    return Cost(8.0 * f * N, N * (12.0 + 16.0 * f), "8 f N", "N (12 + 16 f)")


def _two_phase(m: int, n: int, N: int, f: int) -> Cost:
    return Cost(10.0 * f * N, N * (24.0 + 8.0 * f), "10 f N", "N (24 + 8 f)")


def _als(m: int, n: int, N: int, f: int) -> Cost:
    flops = 2.0 * N * f**2 + 4.0 * N * f + (m + n) * f**3 / 3.0
    size = N * (16.0 + 8.0 * f) + 4.0 * f * (m + n)
    return Cost(flops, size, "2 N f^2 + 4 N f + (m + n) f^3 / 3", "N (16 + 8 f) + 4 f (m + n)")


def _ccd(m: int, n: int, N: int, f: int) -> Cost:
    # Each side computes its residuals by dot products (2 flops a feature), then a pass a feature
    # takes the step before off and sums two products. A pass: index, residual twice, one feature.
    return Cost(16.0 * f * N, N * (24.0 + 40.0 * f), "16 f N", "N (24 + 40 f)")


def _ccdpp(m: int, n: int, N: int, f: int) -> Cost:
    # One inner iteration: the residual is added back and subtracted in both orders (2 flops each),
    # and each side's update takes two multiply-adds a rating. Residual and index: 8 bytes a pass.
    # The fused pass over the items gathers two vectors, that over the users three.
    return Cost(16.0 * f * N, N * f * (4 * 12.0 + 2 * 12.0), "16 f N", "72 f N", 5.0 * f * N)


_FAMILIES: dict[str, Callable[[int, int, int, int], Cost]] = {
    "sgd": _sgd,
    "two-phase": _two_phase,
    "als": _als,
    "ccd": _ccd,
    "ccdpp": _ccdpp,
}


def epoch_cost(family: str, n_users: int, n_items: int, nnz: int, rank: int) -> Cost:
    """Cost of one epoch.

    Parameters
    ----------
    family : str
        "sgd" (both rows at each rating: sgd, hogwild, dsgd, fpsgd), "two-phase" (one side at a
        time: asgd, msgd, DS-SGD), "als" (exact, symmetric Gram and Cholesky), "ccd" (row by
        row) or "ccdpp" (one inner iteration).
    n_users, n_items, nnz, rank : int
        Shape of the problem and number of features.

    Returns
    -------
    Cost

    Raises
    ------
    KeyError
        For an unknown family.
    """
    return _FAMILIES[family](n_users, n_items, nnz, rank)


def crossover_rank(n_users: int, n_items: int, nnz: int) -> float:
    """Rank from which the solves of ALS cost more than its Gram matrices: 6 N / (m + n)."""
    return 6.0 * nnz / (n_users + n_items)

"""Arithmetic and memory traffic of one epoch, by family of solver.

Counts are of the algorithm: a multiply-add is two flops, ratings are read as 12-byte triples
(8 bytes where the row is known from a pointer), features are float32, and nothing stays in a cache
except what the formula says. Measured kernels are compared with these numbers, never replaced by
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FAMILIES", "Cost", "crossover_rank", "epoch_cost", "family_of"]

# Solvers whose bytes and flops are known, and the family of each.
FAMILIES = {
    "als": "als",
    "apsgd": "two-phase",
    "asgd": "two-phase",
    "averaged_sgd": "averaged",
    "ccd": "ccd",
    "ccdpp": "ccdpp",
    "cumf_als": "als",
    "cumf_ccd": "ccdpp",
    "cumf_sgd": "halves",
    "ds_sgd_c": "two-phase",
    "ds_sgd_d": "two-phase",
    "dsgd": "sgd",
    "fampsgd": "fractional",
    "fpsgd": "sgd",
    "gpusgd": "sgd",
    "hogwild": "sgd",
    "minibatch_sgd": "minibatch",
    "msgd": "two-phase",
    "preconditioned_sgd": "whitened",
    "sgd": "sgd",
    "strip_sgd": "sgd",
}
STRETCHED = {"none": "sgd", "kaczmarz": "normalised"}  # of preconditioned_sgd, by precondition
ON_DEVICES = {"cumf_ccd": "fused"}  # whose kernels do something else than those of the CPU


def family_of(
    solver: str, backend: str = "cpu", params: Mapping[str, Any] | None = None
) -> str | None:
    """Family of a solver, for :func:`epoch_cost`; None where no formula is known.

    Parameters
    ----------
    solver : str
        Key.
    backend : str
    params : mapping, optional
        Settings: systems that are solved by conjugate gradients, and models that are averaged
        more than once an epoch, have no formula here.
    """
    if params is not None and (params.get("solve") == "cg" or params.get("period")):
        return None
    if params is not None and solver == "preconditioned_sgd":
        return STRETCHED.get(params.get("precondition", ""), FAMILIES[solver])
    found = FAMILIES.get(solver)
    return found if backend == "cpu" else ON_DEVICES.get(solver, found)


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
        The same in m, n, N, f and, where it matters, the number of workers T.
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


def _averaged(m: int, n: int, N: int, f: int, T: int) -> Cost:
    # Each rating is read once more to count the visits of rows. One average: T copies are read,
    # and they and the model are written.
    return Cost(
        8.0 * f * N + 2.0 * f * T * (m + n),
        N * (24.0 + 16.0 * f) + 4.0 * f * (2 * T + 1) * (m + n),
        "8 f N + 2 f T (m + n)",
        "N (24 + 16 f) + 4 f (2 T + 1) (m + n)",
    )


def _minibatch(m: int, n: int, N: int, f: int) -> Cost:
    # Errors read both rows; sums read a row and one of the other side and write a new row, for
    # both sides; steps read the new rows and write them to their places. The ratings are read
    # four times, errors written and read. Rows that a batch hits more often cost less.
    return Cost(8.0 * f * N, N * (56.0 + 48.0 * f), "8 f N", "N (56 + 48 f)")


def _whitened(m: int, n: int, N: int, f: int) -> Cost:
    # Two gradients, and each times an f x f inverse, which stays in cache as the gradients do.
    # Once an epoch both factors are read for their covariances, which are inverted.
    return Cost(
        N * (12.0 * f + 4.0 * f**2) + 2.0 * (m + n) * f**2 + 4.0 * f**3,
        N * (12.0 + 16.0 * f) + 4.0 * f * (m + n),
        "N (12 f + 4 f^2) + 2 (m + n) f^2 + 4 f^3",
        "N (12 + 16 f) + 4 f (m + n)",
    )


def _normalised(m: int, n: int, N: int, f: int) -> Cost:
    # The squared lengths of both rows beside what sgd does.
    return Cost(12.0 * f * N, N * (12.0 + 16.0 * f), "12 f N", "N (12 + 16 f)")


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


def _halves(m: int, n: int, N: int, f: int) -> Cost:
    return Cost(8.0 * f * N, N * (12.0 + 8.0 * f), "8 f N", "N (12 + 8 f)")


def _fractional(m: int, n: int, N: int, f: int) -> Cost:
    # Two phases; a feature takes a root and four operations more, a rating its sum of errors.
    return Cost(20.0 * f * N, N * (40.0 + 8.0 * f), "20 f N", "N (40 + 8 f)")


def _fused(m: int, n: int, N: int, f: int) -> Cost:
    # A pass a side: index, residual twice; it gathers two vectors for the items, three for users.
    return Cost(16.0 * f * N, 44.0 * f * N, "16 f N", "44 f N", 5.0 * f * N)


_FAMILIES: dict[str, Callable[[int, int, int, int], Cost]] = {
    "sgd": _sgd,
    "two-phase": _two_phase,
    "als": _als,
    "ccd": _ccd,
    "ccdpp": _ccdpp,
    "fractional": _fractional,
    "fused": _fused,
    "halves": _halves,
    "minibatch": _minibatch,
    "normalised": _normalised,
    "whitened": _whitened,
}


def epoch_cost(
    family: str, n_users: int, n_items: int, nnz: int, rank: int, *, workers: int = 1
) -> Cost:
    """Cost of one epoch.

    Parameters
    ----------
    family : str
        "sgd" (both rows at each rating: sgd, hogwild, dsgd, fpsgd), "two-phase" (one side at a
        time: asgd, msgd, DS-SGD), "als" (exact, symmetric Gram and Cholesky), "ccd" (row by
        row), "ccdpp" (one inner iteration), "fused" (the same in two passes), "halves" (both rows
        at each rating, in float16), "fractional" (two phases with fractional steps), "minibatch"
        (three phases, rows hit once a batch), "averaged" (sgd on a copy a worker, one average),
        "whitened" or "normalised" (preconditioned sgd).
    n_users, n_items, nnz, rank : int
        Shape of the problem and number of features.
    workers : int
        Copies of the model, where they are averaged.

    Returns
    -------
    Cost

    Raises
    ------
    KeyError
        For an unknown family.
    """
    if family == "averaged":
        return _averaged(n_users, n_items, nnz, rank, workers)
    return _FAMILIES[family](n_users, n_items, nnz, rank)


def crossover_rank(n_users: int, n_items: int, nnz: int) -> float:
    """Rank from which the solves of ALS cost more than its Gram matrices: 6 N / (m + n)."""
    return 6.0 * nnz / (n_users + n_items)

"""The formulas of ``mfviz.theory`` against the published table, simulation and each other."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mfviz.solvers.preconditioned_sgd import KINDS
from mfviz.theory import memory
from mfviz.theory.cost import FAMILIES, crossover_rank, epoch_cost, family_of
from mfviz.theory.effective_ranks import effective_ranks
from mfviz.theory.gain import batch_decrease, batch_gain, best_step, critical_batch
from mfviz.theory.memory import device_mib, rounding_bytes, table_s1, two_copies

# Table S1 of the DS-SGD supplement, rows MSGD and DS-SGD-C, in MiB.
TABLE_S1 = {
    "ML25M": (162_541, 59_047, 25_000_095, 900),
    "ML32M": (200_948, 84_432, 32_000_204, 1038),
    "Netflix": (480_189, 17_770, 100_480_507, 2324),
}


@pytest.mark.parametrize("name", TABLE_S1)
def test_the_memory_law_reproduces_table_s1(name: str) -> None:
    m, n, nnz, shown = TABLE_S1[name]
    assert device_mib(two_copies(m, n, nnz).values()) == shown
    resident = two_copies(m, n, nnz, split=(0.7, 0.1, 0.2), test_resident=True)
    assert device_mib(resident.values()) == shown + 2


def test_published_values_are_found_by_shape() -> None:
    for name, (m, n, nnz, shown) in TABLE_S1.items():
        assert table_s1(m, n, nnz) == name
        published = memory.TABLE_S1[name].mib
        assert published["msgd"] == published["ds_sgd_c"] == shown
        assert published["ds_sgd_d"] < shown < published["cumf_ccd"] < published["fampsgd"]
    assert table_s1(6040, 3706, 1_000_209) == ""


def test_small_arrays_share_granules() -> None:
    mib = memory.MIB
    assert rounding_bytes([3 * mib]) == mib
    assert rounding_bytes([100, 200, 300]) == 2 * mib - 600
    assert rounding_bytes([2 * mib, 4 * mib]) == 0
    assert rounding_bytes([]) == 0


def test_the_memory_law_is_sensitive_to_layout() -> None:
    m, n, nnz, shown = TABLE_S1["ML25M"]
    assert device_mib(two_copies(m, n, nnz, rank=64).values()) != shown
    assert device_mib(two_copies(m, n, nnz).values(), context_mib=300) == shown - 104


def test_effective_ranks_of_known_spectra() -> None:
    assert effective_ranks(np.eye(7)) == pytest.approx((7.0, 7.0))
    assert effective_ranks(np.ones((5, 3))) == pytest.approx((1.0, 1.0))
    assert effective_ranks(np.zeros((4, 3))) == (0.0, 0.0)
    two = np.diag([2.0, 1.0])  # eigenvalues 4 and 1
    assert effective_ranks(two) == pytest.approx((5 / 4, 25 / 17))


@pytest.mark.parametrize("seed", range(5))
def test_effective_ranks_are_ordered_and_free_of_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    P = (rng.normal(size=(40, 9)) * rng.exponential(size=9)).astype(np.float32)
    r, R = effective_ranks(P)
    assert 1 <= r <= R <= min(r**2, 9) + 1e-9
    assert effective_ranks(P * np.float32(1e-20)) == pytest.approx((r, R), rel=1e-5)
    padded = np.hstack([P, np.zeros((40, 7), np.float32)])
    assert effective_ranks(padded) == pytest.approx((r, R))


def simulated_decrease(S: np.ndarray, e: np.ndarray, b: int, rng: np.random.Generator) -> float:
    """Best average decrease over drawn batches, with one common step for all of them."""
    x = rng.multivariate_normal(np.zeros(len(e)), S, size=(40_000, b))
    g = np.einsum("tbf,tb->tf", x, x @ e) / b
    return float((g @ e).mean() ** 2 / (g**2).sum(axis=1).mean())


@pytest.mark.parametrize("b", [1, 4, 16])
def test_the_gain_curve_against_simulation(b: int) -> None:
    rng = np.random.default_rng(3)
    S = np.diag(np.arange(6, 0, -1) / 6.0)
    e = rng.normal(size=6)
    assert simulated_decrease(S, e, b, rng) == pytest.approx(batch_decrease(S, e, b), rel=0.03)


def test_the_worst_direction_follows_r() -> None:
    S = np.diag([3.0, 2.0, 1.0])
    top = np.array([1.0, 0.0, 0.0])
    r = effective_ranks(np.sqrt(S)).r
    for b in (1, 2, 7, 100):
        exact = batch_decrease(S, top, b) / batch_decrease(S, top, 1)
        assert float(batch_gain(b, r)) == pytest.approx(exact)
    assert best_step(S, top, 1e9) == pytest.approx(1 / 3.0)


def test_the_isotropic_direction_follows_R() -> None:
    """Averages over e of the numerator's and denominator's forms give the curve in R."""
    S = np.diag([3.0, 2.0, 1.0])
    directions = [np.sqrt(3.0) * axis for axis in np.eye(3)]
    R = effective_ranks(np.sqrt(S)).R

    def decrease(b: int) -> float:
        eSe = np.mean([e @ S @ e for e in directions])
        eSSe = np.mean([e @ S @ S @ e for e in directions])
        return float(b * eSe**2 / ((b + 1) * eSSe + np.trace(S) * eSe))

    for b in (2, 9):
        assert float(batch_gain(b, R)) == pytest.approx(decrease(b) / decrease(1))


def test_the_gain_saturates_and_crosses_half() -> None:
    assert float(batch_gain(1, 5.0)) == 1.0
    assert float(batch_gain(1e12, 5.0)) == pytest.approx(7.0)
    b = critical_batch(5.0)
    assert float(batch_gain(b, 5.0)) == pytest.approx(b / 2)


def test_costs_scale_as_their_formulas() -> None:
    shape = (1000, 500, 100_000)
    assert epoch_cost("sgd", *shape, 64).flops == 8 * 64 * 100_000
    assert epoch_cost("sgd", *shape, 64).bytes == 100_000 * (12 + 16 * 64)
    assert epoch_cost("two-phase", *shape, 64).flops == 10 * 64 * 100_000
    assert epoch_cost("als", *shape, 64).intensity > epoch_cost("sgd", *shape, 64).intensity
    assert epoch_cost("ccdpp", *shape, 20).flops == 2 * epoch_cost("ccdpp", *shape, 10).flops


def test_the_solves_overtake_the_gram_at_the_crossover() -> None:
    m, n, nnz = 480_189, 17_770, 100_480_507  # Netflix: about 1200
    f = crossover_rank(m, n, nnz)
    assert f == pytest.approx(1211, abs=1)
    assert (m + n) * f**3 / 3 == pytest.approx(2 * nnz * f**2)


def test_every_family_has_its_formulas_and_devices_their_own() -> None:
    N, f = 1000, 8
    for family in {*FAMILIES.values(), "fused", "normalised"}:
        cost = epoch_cost(family, 60, 40, N, f, workers=3)
        names = {"m": 60, "n": 40, "N": N, "f": f, "T": 3}
        for formula, value in ((cost.bytes_formula, cost.bytes), (cost.flops_formula, cost.flops)):
            python = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula).replace("^", "**")
            assert eval(python, {}, names) == pytest.approx(value), formula
    assert family_of("cumf_ccd") == "ccdpp"
    assert family_of("cumf_ccd", "cuda") == "fused"
    assert family_of("msgd", "cuda", {"rank": 8}) == family_of("msgd") == "two-phase"
    assert family_of("cumf_als", "cuda", {"solve": "cg"}) is None
    assert family_of("averaged_sgd", "cpu", {"period": 0}) == "averaged"
    assert family_of("averaged_sgd", "cpu", {"period": 100}) is None
    stretched = [family_of("preconditioned_sgd", "cpu", {"precondition": k}) for k in KINDS]
    assert stretched == ["sgd", "whitened", "normalised"]


def test_what_batches_averages_and_whitening_add_to_sgd() -> None:
    m, n, N, f = 60, 40, 1000, 8
    shape = (m, n, N, f)
    sgd, batch = epoch_cost("sgd", *shape), epoch_cost("minibatch", *shape)
    assert batch.flops == sgd.flops
    assert batch.bytes == pytest.approx(3 * sgd.bytes + 20 * N)  # twelve rows instead of four
    one, two = (epoch_cost("averaged", *shape, workers=w) for w in (1, 2))
    assert two.bytes - one.bytes == 2 * 4 * f * (m + n)  # a copy, read and written
    assert two.flops - one.flops == 2 * f * (m + n)
    whitened = epoch_cost("whitened", *shape)
    assert whitened.bytes - sgd.bytes == 4 * f * (m + n)
    assert whitened.flops > 4 * f * f * N

"""Every kernel as it is on other CPUs: compiled for AVX2, and for x86-64 without extensions.

Numba is told for which CPU to compile; both kinds of code run on any newer one. The code itself
is looked at too, where full vectors are promised.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from tests.kernels import every_kernel

ROOT = Path(__file__).resolve().parents[2]
# Names and features of Numba's NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
CPUS = {
    "this one": {},
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+f16c"},
    "plain": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""},
}
CASES = [name for name, _ in every_kernel.cases()]
WORDS = ("simd", "quads", "gather", "halves", "als_kernels")  # tests of the vocabulary itself

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # all kernels are compiled anew for each CPU
    pytest.mark.skipif(
        platform.machine() not in ("x86_64", "AMD64"), reason="forces members of x86-64 only"
    ),
]


def has(feature: str) -> bool:
    return bool(llvm.get_host_cpu_features().get(feature, False))


def environment(cpu: str, folder: Path) -> dict[str, str]:
    if cpu == "avx2" and not (has("avx2") and has("fma") and has("f16c")):
        pytest.skip("this CPU has no AVX2")
    return {
        **os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder), **CPUS[cpu]
    }  # fmt: skip


def found(cpu: str, cache: Path | None, target: Path, *wanted: str) -> dict[str, np.ndarray]:
    """What a process of its own finds on a CPU; without ``cache`` it takes compiled kernels."""
    settings = environment(cpu, cache) if cache else {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, every_kernel.__file__, str(target), *wanted]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(target))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the kernels of each CPU are kept, so that they are compiled once."""
    return {cpu: tmp_path_factory.mktemp("cpu") for cpu in CPUS}


@pytest.fixture(scope="module")
def trained(folders: dict[str, Path]):
    """Factors of every training and registers of the hot loops, by CPU; made when asked for."""
    made: dict[str, dict[str, np.ndarray]] = {}

    def get(cpu: str) -> Mapping[str, np.ndarray]:
        if cpu not in made:
            cache = None if cpu == "this one" else folders[cpu]
            made[cpu] = found(cpu, cache, folders[cpu] / "found.npz", "factors", "registers")
        return made[cpu]

    return get


@pytest.mark.parametrize("case", CASES)
def test_narrower_registers_give_the_same_bits(case: str, trained) -> None:
    if not has("fma"):
        pytest.skip("this CPU rounds products and sums apart")
    np.testing.assert_array_equal(trained("avx2")[case], trained("this one")[case])


@pytest.mark.parametrize("case", CASES)
def test_a_cpu_without_wide_vectors_gives_the_same_but_for_rounding(case: str, trained) -> None:
    # halves round to the neighbour where a sum in another order crosses the middle
    atol = 1e-2 if case == "cumf_sgd" else 2e-5
    np.testing.assert_allclose(trained("plain")[case], trained("this one")[case], atol=atol)


@pytest.mark.parametrize("key", every_kernel.HOT)
def test_hot_loops_multiply_and_add_in_the_widest_registers(key: str, trained) -> None:
    """An inner loop with packed fused multiply-adds, no single one and no call."""
    widest = "zmm" if has("avx512f") else "ymm" if has("avx2") and has("fma") else "none"
    for cpu, wanted in (("this one", widest), ("avx2", "ymm"), ("plain", "none")):
        assert f"{key} {wanted}" in trained(cpu)["registers"], cpu


@pytest.mark.parametrize("cpu", [name for name in CPUS if name != "this one"])
def test_the_vocabulary_keeps_its_promises(cpu: str, folders: dict[str, Path]) -> None:
    """Arithmetic, sums, prefetches, halves, gathers, tiles, clock and atomics between threads."""
    files = [str(ROOT / "tests" / "kernels" / f"test_{word}.py") for word in WORDS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    command += ["-k", "not full_registers and not one_packed"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(cpu, folders[cpu]), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passed" in done.stdout

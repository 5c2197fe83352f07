"""Every registered kernel compiles for each compute capability, without a driver."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
from types import SimpleNamespace

import numpy as np
import pytest

from mfviz.kernels import cuda as package
from mfviz.kernels.cuda import als, ccd, chunks, rows, strips, target, triad
from mfviz.kernels.cuda.target import KERNELS, cuda, dispatcher, ptx
from mfviz.kernels.cuda.vectors import lanes_of
from mfviz.solvers.base import registry
from tests.cuda.compiling import (
    FRONT,
    Capability,
    assembled,
    compiled,
    feature,
    is_demanded,
    knows,
    registers,
    why_not,
    without_names,
)

for found in pkgutil.iter_modules(package.__path__):  # each registers its kernels
    importlib.import_module(f"{package.__name__}.{found.name}")

CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]
CUDA12 = [(7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)]
REGISTERS = 128  # of a thread, at most
ALIKE = ("gram", "visit_chunks", "visit_rows")  # in which the front end is watched


@pytest.fixture
def compiler() -> None:
    if why_not():
        pytest.fail(why_not()) if is_demanded() else pytest.skip(why_not())


def capabilities() -> list[Capability]:
    """Those that are promised with the installed toolkit: CUDA 13 knows 7.0 no more."""
    return CUDA12 if not why_not() and knows((7, 0)) else CAPABILITIES


def cases(name: str) -> list[tuple[int, Capability]]:
    """Widths and capabilities: each capability with the widest rows, and two of them with all.

    With CUDA 12, which is there for 7.0, the narrowest rows stand for all that are not the widest.
    """
    widths, known = KERNELS[name].widths, capabilities()
    others = (min(widths),) if known == CUDA12 else widths
    return [
        (width, cc)
        for width, cc in itertools.product(widths, known)
        if width == max(widths) or (width in others and cc in (FRONT, known[-1]))
    ]


# Tests of one kernel stay with one worker, where it is compiled once.
NAMES = [
    pytest.param(name, marks=pytest.mark.xdist_group(name), id=name) for name in sorted(KERNELS)
]


def test_kernels_are_registered() -> None:
    assert {"visit_rows", "visit_chunks", "visit_strata", "gram", "fit_feature"} <= set(KERNELS)
    assert als.solver_threads(40, shuffle=True) == 64
    assert rows.width_of(1) == 8
    assert [lanes_of(width) for width in (8, 16, 40, 64, 128, 256)] == [2, 4, 16, 16, 32, 32]
    halves = [lanes_of(width, chunks.HALVES) for width in (8, 40, 64, 128, 256)]
    assert halves == [2, 8, 8, 16, 32]


def test_the_largest_blocks_have_registers_for_all_threads() -> None:
    """Else a launch fails, and only on a device."""
    settings = registry()
    most = [
        *(als.gram_shape(width, shuffle=True)[1] for width in range(8, 257, 8)),
        als.solver_threads(rows.WIDEST, shuffle=True),
        strips.strip_threads(settings["strip_sgd"].param.warps.bounds[1], shuffle=True),
        settings["gpusgd"].param.threads_a_block.bounds[1],
        max(ccd.THREADS), triad.THREADS, target.BLOCK,
    ]  # fmt: skip
    assert max(most) == 512
    assert max(most) * REGISTERS <= 65_536


def test_grids_hold_every_row() -> None:
    for count in (1, 31, 32, 33, 1000):
        for width in (8, 40, 256):
            for shuffle in (True, False):
                blocks, threads = rows.grid(count, width, shuffle=shuffle)
                assert blocks * threads >= count * lanes_of(width)
                assert (blocks - 1) * threads < count * lanes_of(width)
                assert shuffle or threads == lanes_of(width)


@pytest.mark.skipif(target.installed, reason="compiled, it cannot be called here")
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("width", [8, 24, 40, 136, 256])
def test_a_block_stages_every_number_of_its_rows_once(width: int, shuffle: bool) -> None:
    """Also where the threads of the block are no whole number of rows."""
    _, threads = als.gram_shape(width, shuffle=shuffle)
    rng = np.random.default_rng(0)
    count = min(als.STAGED, threads) - 1
    Y, index = rng.random((50, width), np.float32), rng.integers(0, 50, count + 3)
    staged, run = np.zeros((threads, count + 1, width), np.float32), np.zeros(4, np.float32)
    for thread in range(threads):
        als._stage(Y, index, 3, count, thread, threads, width, staged[thread], run)
    found = staged.sum(axis=0)  # each number from the one thread that has it
    np.testing.assert_array_equal(found[:count], Y[index[3:]])
    assert not found[count].any()


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("name", NAMES)
def test_compiles_in_both_forms(name: str) -> None:
    """The shared form is the simulator's; that it compiles at all, once, is enough."""
    widest = max(KERNELS[name].widths)
    texts = {(*case, True): compiled(name, *case) for case in cases(name)}
    if capabilities() != CUDA12:
        texts[widest, FRONT, False] = compiled(name, widest, FRONT, False)
    for told, text in texts.items():
        assert ".entry" in text, told
        assert ".local" not in text, f"{told}: a row does not fit the registers"
        assert "call" not in re.sub(r"//.*", "", text), f"{told}: something was not inlined"
        assert ".f64" not in text, f"{told}: doubles slipped in"
        if told[2]:
            assert ("bar.sync" in text) == (0 < KERNELS[name].meets <= told[0]), told


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("name", [param for param in NAMES if param.id in ALIKE])
def test_the_front_end_makes_the_same_for_each_capability(name: str) -> None:
    width = min(KERNELS[name].widths)
    for capability in (capabilities()[0], capabilities()[-1]):
        wanted = ptx(name, width, (*capability, feature(capability)))
        found = compiled(name, width, capability)
        same = without_names(found) == without_names(wanted)  # a diff of both would take minutes
        assert same, capability


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_a_launch_takes_the_code_that_is_looked_at_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba's own way to a device of capability 9.0 leads to the same machine code."""
    from numba.cuda import dispatcher as numba_dispatcher
    from numba.cuda.cudadrv import devices

    device = SimpleNamespace(compute_capability=FRONT)
    monkeypatch.setattr(numba_dispatcher, "get_current_device", lambda: device)
    monkeypatch.setattr(devices, "get_context", lambda: SimpleNamespace(device=device))
    made, signature = dispatcher("triad", 4, True), KERNELS["triad"].signature()
    kernel = numba_dispatcher._Kernel(made.py_func, signature.args, **made.targetoptions)
    (taken,) = kernel.library.get_asm_strs()
    text = compiled("triad", 4, FRONT)
    assert f".target sm_90{feature(FRONT)}" in taken
    assert without_names(taken) == without_names(text)
    assert len(kernel.library.get_cubin().code) == len(assembled(taken, FRONT))


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("width", [8, 40, 64, 256])
def test_rows_are_read_and_written_sixteen_bytes_at_a_time(width: int) -> None:
    text = compiled("visit_rows", width, (9, 0))
    assert text.count("ld.global.v4") >= 3  # own row, first and next row of the other side
    assert text.count("st.global.v4") >= 1
    assert "shfl.sync.bfly" in text
    assert "bar.sync" in compiled("visit_rows", width, (9, 0), False)


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("name", NAMES)
def test_assembles_within_its_registers(name: str) -> None:
    for width, capability in cases(name):
        used = registers(assembled(compiled(name, width, capability), capability))
        assert used <= REGISTERS, f"{name} at width {width}, {capability}, takes {used} registers"


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("name", ["visit_chunks", "visit_wavefront"])
def test_halves_are_read_and_written_eight_at_a_time(name: str) -> None:
    """Both rows of 128, eight halves a lane, are one load and one store of 16 bytes each."""
    text = compiled(name, 128, (9, 0))
    assert text.count("ld.global.v4") == text.count("st.global.v4") == 2
    assert not re.findall(r"(?:ld|st)\.global\S*[bu]16", text), "a load of eight halves was cut"
    assert "cvt.f32.f16" in text
    assert "cvt.rn.f16.f32" in text or "cvt.rn.f16x2.f32" in text


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_a_lock_is_taken_before_and_given_back_after_the_rows_are_touched() -> None:
    """Fences keep loads behind the taking and stores before the giving back."""
    text = compiled("visit_wavefront", 128, (9, 0))
    order = [text.index(word) for word in ("atom.global.cas", "membar.gl", "ld.global.v4")]
    assert order == sorted(order)
    order = [text.rindex(word) for word in ("st.global.v4", "membar.gl", "atom.global.exch")]
    assert order == sorted(order)


def test_a_kernel_that_cannot_compile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the compiler becomes a sentence with what to do."""
    from numba.core.errors import TypingError

    from mfviz.backends.cuda import CudaDriver, Found
    from mfviz.errors import DeviceError

    class Broken:
        def __getitem__(self, where: object) -> Broken:
            return self

        def __call__(self, *args: object) -> None:
            raise TypingError("no such type")

        def compile(self, types: object) -> None:
            raise TypingError("no such type")

    monkeypatch.setattr(target, "dispatcher", lambda *args: Broken())
    monkeypatch.setattr(cuda, "select_device", lambda index: None)
    driver, words = CudaDriver(Found(0, "GPU", (5, 0), 1 << 30)), r"for GPU.*5\.0.*cuda12"
    with pytest.raises(DeviceError, match=f"visit_rows cannot be compiled {words}"):
        driver.launch("visit_rows", 8, 1, 32, None, ())
    with pytest.raises(DeviceError, match=f"visit_rows cannot be compiled {words}"):
        driver.prepare("visit_rows", 8)

"""Kernels as PTX and as machine code, without a device; Numba's part of the work is done once.

Numba's front end takes most of the time. What it makes depends neither on the capability nor on
the wheels, so it is kept in ``.ptx``: both environments of ``make test-ptx`` and ``make
test-ptx12`` read it there, as long as kernels and versions are the same.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

from mfviz.kernels import cuda as package
from mfviz.kernels.cuda import target
from mfviz.kernels.cuda.target import ptx

ROOT = Path(__file__).resolve().parent.parent.parent
FRONT = (9, 0)  # what Numba's front end is told

Capability = tuple[int, int]


@functools.cache
def why_not() -> str:
    """Why nothing can be compiled here, or ""."""
    if not target.installed:
        return "numba-cuda is not installed"
    from numba.cuda.cudadrv import nvvm

    try:
        nvvm.NVVM()
    except Exception as error:
        return f"NVVM cannot be loaded: {error}"
    return ""


def is_demanded() -> bool:
    """Whether tests that compile have to run: so they do where make made the environment."""
    return bool(os.environ.get("MFVIZ_COMPILES"))


@functools.cache
def knows(capability: Capability) -> bool:
    """Whether the wheels compile for a capability; CUDA 13 has lost 7.0."""
    from numba.cuda.cudadrv import nvrtc

    return capability in {tuple(cc) for cc in nvrtc.get_supported_ccs()}


@functools.cache
def store() -> Path:
    """Folder of what the front end made of these kernels with these versions."""
    from numba.cuda.cudadrv import nvvm

    told = [sys.version, str(nvvm.NVVM().get_ir_version()), str(FRONT)]
    told += [version(name) for name in ("numba", "numba-cuda", "llvmlite", "numpy")]
    sources = sorted(Path(package.__path__[0]).glob("*.py"))
    key = hashlib.sha256("\n".join(told).encode() + b"".join(p.read_bytes() for p in sources))
    folder = ROOT / ".ptx" / key.hexdigest()[:16]
    if not folder.is_dir():
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def without_collections() -> Iterator[None]:
    """Leave garbage lying: to look for it takes a fifth of the front end's time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@functools.cache
def intermediate(name: str, width: int, shuffle: bool) -> tuple[list[str], dict[str, Any]]:
    """What Numba's front end makes of a kernel, and the options that NVVM is given with it."""
    from numba.cuda.cudadrv import nvvm

    path = store() / f"{name}-{width}-{'shuffle' if shuffle else 'shared'}.json"
    if path.exists():
        irs, options = json.loads(path.read_text(encoding="utf-8"))
        return irs, options
    with mock.patch.object(nvvm, "compile_ir", wraps=nvvm.compile_ir) as watched:
        with without_collections():
            ptx(name, width, FRONT, shuffle=shuffle)
    (irs,), options = watched.call_args
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps([irs, options]), encoding="utf-8")
    part.replace(path)
    return irs, options


def feature(capability: Capability) -> str:
    """What Numba adds to the number of a device's architecture when it compiles for it."""
    return "a" if capability >= (9, 0) else ""


@functools.cache
def compiled(name: str, width: int, capability: Capability, shuffle: bool = True) -> str:
    """PTX of a kernel for a capability."""
    from numba.cuda.cudadrv import nvrtc, nvvm

    irs, options = intermediate(name, width, shuffle)
    arch = nvrtc.get_arch_option(*capability, feature(capability))
    text: bytes = nvvm.compile_ir(irs, **{**options, "arch": arch})
    return text.decode().strip("\x00").strip()


def assembled(text: str, capability: Capability) -> bytes:
    """Machine code of PTX."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    major, minor = capability
    options = LinkerOptions(arch=f"sm_{major}{minor}{feature(capability)}")
    return bytes(Linker(ObjectCode.from_ptx(text.encode()), options=options).link("cubin").code)


def registers(cubin: bytes) -> int:
    """Most registers that an attribute EIATTR_REGCOUNT of a cubin tells.

    ``04 2f 08 00`` begins each; the symbol's number and the count follow, 4 bytes each. Code may
    hold these bytes, too, but a thread has no more than 255 registers.
    """
    found = re.finditer(re.escape(b"\x04\x2f\x08\x00"), cubin)
    counts = [int.from_bytes(cubin[at.start() + 8 : at.start() + 12], "little") for at in found]
    return max(count for count in counts if count <= 255)


def without_names(text: str) -> str:
    """PTX without names that count what was compiled before: functions, and shared arrays."""
    return re.sub(r"_Z\w+|smem_\d+", "", text)

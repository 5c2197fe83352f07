"""How kernels are compiled: :func:`kernel` for Python to call, :func:`part` for other kernels.

Numba wraps a function twice, for callers in Python and in C, and compiles, emits and keeps all
three. Nobody calls kernels from C, and a part is called by kernels only: it needs no wrapper, and
no place in the cache either, as what a kernel calls is kept with the kernel. Of the time that it
takes to compile all kernels, wrappers and files of parts were a tenth.
"""

from __future__ import annotations

from functools import partial

import numba

__all__ = ["PART", "kernel", "part"]

PART = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # options of parts, for overloads
part = partial(numba.njit, **PART)
kernel = partial(numba.njit, nogil=True, cache=True, no_cfunc_wrapper=True)

"""Waiting inside a kernel: for a counter, for a lock, for a while.

A worker that waits in Python gives the interpreter's lock away and gets it back up to 5 ms later;
these waits never leave the kernel.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mfviz.kernels import simd
from mfviz.kernels.compiling import kernel, part

__all__ = ["lock", "relax", "unlock", "wait_for"]

_INT32 = ir.IntType(32)
_SPINS, _YIELDS = 200, 1000  # looks at what is waited for: at once, then after a system call


@intrinsic
def _nap(typingctx):
    """Sleep for some 50 microseconds: for waits that have lasted longer than that already."""

    def codegen(context, builder, signature, args):
        length = ir.Constant(_INT32, 10)  # microseconds; the timer's slack comes on top
        kind = ir.FunctionType(_INT32, [_INT32])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "usleep"), [length])
        return context.get_dummy_value()

    return types.void(), codegen


@part
def relax(tries):
    """Wait a little in a loop that has looked in vain ``tries`` times.

    Spinning answers fastest, but whoever is waited for may have lost its core to another process:
    then a waiter that sleeps leaves it its own.
    """
    if tries < _SPINS:
        simd.pause()
    elif tries < _YIELDS:
        simd.yield_cpu()
    else:
        _nap()


@kernel
def wait_for(a, index, value):
    """Spin until ``a[index] >= value``, giving the core away after a short while.

    Parameters
    ----------
    a : (n,) int64
        Set by other threads with :func:`mfviz.kernels.simd.atomic_store` or ``atomic_add``.
    index, value : int
    """
    tries = 0
    while simd.atomic_load(a, index) < value:
        tries += 1
        relax(tries)


@kernel
def lock(a, index):
    """Take the spin lock ``a[index]`` (0: free, 1: taken)."""
    tries = 0
    while not simd.compare_and_swap(a, index, np.int64(0), np.int64(1)):
        tries += 1
        relax(tries)


@kernel
def unlock(a, index):
    """Give the spin lock ``a[index]`` back."""
    simd.atomic_store(a, index, np.int64(0))

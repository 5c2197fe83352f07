"""Fixed-width float vectors, clock and atomics for Numba kernels: a small vocabulary.

A vector is sixteen ``float32`` lanes, one 512-bit register where the CPU has them; LLVM splits it
into two or four registers elsewhere, so every kernel runs on every CPU. Writing the vectors out
has two reasons: the automatic vectoriser neither reorders a dot product nor uses 512 bits by
itself, and it may choose differently in two kernels. What is written with these functions is the
same arithmetic wherever it is inlined, which the bitwise tests between solvers rest on.

Matrices are C-order ``float32`` whose rows are a multiple of 16 wide (``Factors.width``), so a row
is a whole number of vectors. No index is checked here: see ``Problem`` for where that is done.

Notes
-----
``cache=True`` works, but Numba notices changes only in the file of the kernel itself: after an
edit of this file remove ``mfviz/kernels/__pycache__``.
"""

from __future__ import annotations

import platform
import sys
import time
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

__all__ = [
    "LANES",
    "add",
    "atomic_add",
    "atomic_load",
    "atomic_store",
    "clock_ns",
    "compare_and_swap",
    "fma",
    "high_sum",
    "load",
    "low_sum",
    "mul",
    "pause",
    "prefetch",
    "prefetch_item",
    "prefetch_to_read",
    "splat",
    "splat_halves",
    "store",
    "sub",
    "total",
    "vector",
    "whole_vectors",
    "yield_cpu",
]

LANES = 16

_FLOAT = ir.FloatType()
_INT64 = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_TO_READ = [ir.Constant(ir.IntType(32), hint) for hint in (0, 2, 1)]  # read, second level, data
_TO_WRITE = [ir.Constant(ir.IntType(32), hint) for hint in (1, 3, 1)]  # write, keep it, data


class Vector(types.Type):
    """Numba's type of sixteen float32 lanes; it lives in registers and never reaches Python."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


vector = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _pointer(context: Any, builder: Any, kind: Any, value: Any, index: list[Any]) -> Any:
    """Pointer to ``array[index]``; negative indices are not wrapped."""
    array = context.make_array(kind)(context, builder, value)
    return cgutils.get_item_pointer(context, builder, kind, array, index, wraparound=False)


def _call(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    kinds = [arg.type for arg in args]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, kinds), name)
    return builder.call(function, args)


def _bytes_at(builder: Any, at: Any) -> Any:
    return builder.bitcast(at, ir.IntType(8).as_pointer())


def _lanes(*positions: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(positions)), list(positions))


def _tree_sum(builder: Any, value: Any, first: int, count: int) -> Any:
    """Sum lanes ``first : first + count`` as a tree: halves are added until one is left."""
    while count > 1:
        half = count // 2
        low = builder.shuffle_vector(value, value, _lanes(*range(first, first + half)))
        high = builder.shuffle_vector(value, value, _lanes(*range(first + half, first + count)))
        value, first, count = builder.fadd(low, high), 0, half
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


# --- vectors ------------------------------------------------------------------------------------


@intrinsic
def load(typingctx, A, row, col):
    """Return lanes ``A[row, col : col + 16]`` of a float32 matrix."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], list(args[1:]))
        return builder.load(builder.bitcast(at, _VECTOR.as_pointer()), align=4)

    return vector(A, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, A, row, col, value):
    """Write a vector to ``A[row, col : col + 16]`` of a float32 matrix."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], list(args[1:3]))
        builder.store(args[3], builder.bitcast(at, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, vector), codegen


@intrinsic
def splat(typingctx, x):
    """Return a vector whose sixteen lanes are the float32 ``x``."""

    def codegen(context, builder, signature, args):
        seed = builder.insert_element(
            ir.Constant(_VECTOR, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0)
        )
        return builder.shuffle_vector(seed, seed, _lanes(*[0] * LANES))

    return vector(types.float32), codegen


@intrinsic
def splat_halves(typingctx, low, high):
    """Return a vector with ``low`` in lanes 0 to 7 and ``high`` in lanes 8 to 15."""

    def codegen(context, builder, signature, args):
        seed = ir.Constant(_VECTOR, ir.Undefined)
        for lane, value in enumerate(args):
            seed = builder.insert_element(seed, value, ir.Constant(ir.IntType(32), lane))
        return builder.shuffle_vector(seed, seed, _lanes(*[0] * 8, *[1] * 8))

    return vector(types.float32, types.float32), codegen


@intrinsic
def add(typingctx, a, b):
    """Return ``a + b``."""

    def codegen(context, builder, signature, args):
        return builder.fadd(*args)

    return vector(vector, vector), codegen


@intrinsic
def sub(typingctx, a, b):
    """Return ``a - b``."""

    def codegen(context, builder, signature, args):
        return builder.fsub(*args)

    return vector(vector, vector), codegen


@intrinsic
def mul(typingctx, a, b):
    """Return ``a * b``."""

    def codegen(context, builder, signature, args):
        return builder.fmul(*args)

    return vector(vector, vector), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Return ``a * b + c``, rounded once where the CPU has fused multiply-add."""

    def codegen(context, builder, signature, args):
        return _call(builder, f"llvm.fmuladd.v{LANES}f32", _VECTOR, list(args))

    return vector(vector, vector, vector), codegen


@intrinsic
def total(typingctx, a):
    """Return the sum of the sixteen lanes, always added in the same order."""

    def codegen(context, builder, signature, args):
        return _tree_sum(builder, args[0], 0, LANES)

    return types.float32(vector), codegen


@intrinsic
def low_sum(typingctx, a):
    """Return the sum of lanes 0 to 7."""

    def codegen(context, builder, signature, args):
        return _tree_sum(builder, args[0], 0, LANES // 2)

    return types.float32(vector), codegen


@intrinsic
def high_sum(typingctx, a):
    """Return the sum of lanes 8 to 15."""

    def codegen(context, builder, signature, args):
        return _tree_sum(builder, args[0], LANES // 2, LANES // 2)

    return types.float32(vector), codegen


@intrinsic
def whole_vectors(typingctx):
    """Return whether a vector is one register of the CPU that is compiled for (a constant)."""

    def codegen(context, builder, signature, args):
        features = context.codegen().magic_tuple()[2]
        return ir.Constant(ir.IntType(1), int("+avx512f" in features.split(",")))

    return types.boolean(), codegen


@intrinsic
def prefetch(typingctx, A, row, col):
    """Ask for the cache line of ``A[row, col]``, to be written soon."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], list(args[1:]))
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [_bytes_at(builder, at), *_TO_WRITE])
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp), codegen


@intrinsic
def prefetch_to_read(typingctx, A, row, col):
    """Ask for the cache line of ``A[row, col]``, to be read later; other cores keep it too."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], list(args[1:]))
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [_bytes_at(builder, at), *_TO_READ])
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp), codegen


@intrinsic
def prefetch_item(typingctx, a, index):
    """Ask for the cache line of ``a[index]`` of a one-dimensional array, to be written soon."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], [args[1]])
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [_bytes_at(builder, at), *_TO_WRITE])
        return context.get_dummy_value()

    return types.void(a, types.intp), codegen


# --- clock --------------------------------------------------------------------------------------

# The clock of time.monotonic_ns, which is another one on a Mac.
_CLOCK = getattr(time, "CLOCK_UPTIME_RAW", 8) if sys.platform == "darwin" else time.CLOCK_MONOTONIC


@intrinsic
def clock_ns(typingctx):
    """Return nanoseconds (int64) of the clock of :func:`time.monotonic_ns`."""

    def codegen(context, builder, signature, args):
        spec = cgutils.alloca_once(builder, ir.ArrayType(_INT64, 2))
        which = ir.Constant(ir.IntType(32), _CLOCK)
        _call(builder, "clock_gettime", ir.IntType(32), [which, spec])
        seconds = builder.load(cgutils.gep_inbounds(builder, spec, 0, 0))
        rest = builder.load(cgutils.gep_inbounds(builder, spec, 0, 1))
        return builder.add(builder.mul(seconds, ir.Constant(_INT64, 1_000_000_000)), rest)

    return types.int64(), codegen


# --- atomics on int64 arrays --------------------------------------------------------------------


@intrinsic
def atomic_load(typingctx, a, index):
    """Return ``a[index]`` of an int64 vector; later reads are not moved before it (acquire)."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], [args[1]])
        return builder.load_atomic(at, "acquire", 8)

    return types.int64(a, types.intp), codegen


@intrinsic
def atomic_store(typingctx, a, index, value):
    """Set ``a[index]``; earlier writes are seen by whoever reads the value (release)."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], [args[1]])
        builder.store_atomic(args[2], at, "release", 8)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.int64), codegen


@intrinsic
def atomic_add(typingctx, a, index, value):
    """Add to ``a[index]`` in one step and return what was there before."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], [args[1]])
        return builder.atomic_rmw("add", at, args[2], "acq_rel")

    return types.int64(a, types.intp, types.int64), codegen


@intrinsic
def compare_and_swap(typingctx, a, index, expected, value):
    """Set ``a[index]`` to ``value`` if it is ``expected``; return whether it was."""

    def codegen(context, builder, signature, args):
        at = _pointer(context, builder, signature.args[0], args[0], [args[1]])
        answer = builder.cmpxchg(at, args[2], args[3], "acq_rel", "monotonic")
        return builder.extract_value(answer, 1)

    return types.boolean(a, types.intp, types.int64, types.int64), codegen


@intrinsic
def yield_cpu(typingctx):
    """Let another thread run: for waits that may last longer than a microsecond."""

    def codegen(context, builder, signature, args):
        _call(builder, "sched_yield", ir.IntType(32), [])
        return context.get_dummy_value()

    return types.void(), codegen


_IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@intrinsic
def pause(typingctx):
    """Tell the core that this is a spin loop (nothing where the CPU has no such hint)."""

    def codegen(context, builder, signature, args):
        if _IS_X86:
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        return context.get_dummy_value()

    return types.void(), codegen

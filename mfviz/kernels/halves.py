"""Half precision: sixteen float16 numbers loaded as, and stored from, a float32 vector.

Numba has no float16 arrays on the CPU, so matrices are ``uint16`` views of NumPy's float16. CPUs
that convert do so in one instruction; elsewhere LLVM would call a library that a compiled kernel
does not have, so the bits are moved by hand, with the same results (round to nearest, ties to
even; numbers below the normal range and infinities included).
"""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from mfviz.kernels.simd import LANES, vector

__all__ = ["load_half", "store_half"]

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_HALVES = ir.VectorType(ir.HalfType(), LANES)
_SHORTS = ir.VectorType(ir.IntType(16), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)


def converts() -> bool:
    """Whether the CPU that is compiled for has an instruction; a forced one must name it."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    if config.CPU_NAME or config.CPU_FEATURES is not None:
        return "+f16c" in (config.CPU_FEATURES or "")
    return bool(llvm.get_host_cpu_features().get("f16c", False))


def _all(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [value] * LANES)


def _widen(builder: Any, halves: Any) -> Any:
    """Float32 vector of 16 x i16: the exponent moves by a multiplication by 2^112."""
    bits = builder.zext(halves, _INTS)
    moved = builder.shl(builder.and_(bits, _all(0x7FFF)), _all(13))
    scaled = builder.fmul(
        builder.bitcast(moved, _FLOATS), ir.Constant(_FLOATS, [float(2**112)] * LANES)
    )
    beyond = builder.icmp_unsigned(">=", moved, _all(0x7C00 << 13))  # infinite, or no number
    found = builder.select(
        beyond, builder.or_(moved, _all(0x7F800000)), builder.bitcast(scaled, _INTS)
    )
    sign = builder.shl(builder.and_(bits, _all(0x8000)), _all(16))
    return builder.bitcast(builder.or_(found, sign), _FLOATS)


def _narrow(builder: Any, floats: Any) -> Any:
    """16 x i16 of a float32 vector."""
    bits = builder.bitcast(floats, _INTS)
    size = builder.and_(bits, _all(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(size, _all(13)), _all(1))
    rounded = builder.add(builder.add(size, odd), _all(0xFFF - (112 << 23)))
    normal = builder.lshr(rounded, _all(13))
    magic = _all(126 << 23)  # adding 1/2 lets the adder do the rounding of small numbers
    shifted = builder.fadd(builder.bitcast(size, _FLOATS), builder.bitcast(magic, _FLOATS))
    small = builder.sub(builder.bitcast(shifted, _INTS), magic)
    found = builder.select(builder.icmp_unsigned("<", size, _all(113 << 23)), small, normal)
    no_number = builder.icmp_unsigned(">", size, _all(0x7F800000))
    beyond = builder.select(no_number, _all(0x7E00), _all(0x7C00))
    found = builder.select(builder.icmp_unsigned(">=", size, _all(143 << 23)), beyond, found)
    sign = builder.lshr(builder.and_(bits, _all(0x80000000)), _all(16))
    return builder.trunc(builder.or_(found, sign), _SHORTS)


def _at(context: Any, builder: Any, kind: Any, value: Any, index: list[Any], to: Any) -> Any:
    array = context.make_array(kind)(context, builder, value)
    at = cgutils.get_item_pointer(context, builder, kind, array, index, wraparound=False)
    return builder.bitcast(at, to.as_pointer())


@intrinsic
def load_half(typingctx, A, row, col):
    """Return lanes ``A[row, col : col + 16]`` of float16 numbers in a uint16 matrix."""

    def codegen(context, builder, signature, args):
        kind = _HALVES if converts() else _SHORTS
        at = _at(context, builder, signature.args[0], args[0], list(args[1:]), kind)
        found = builder.load(at, align=2)
        return builder.fpext(found, _FLOATS) if converts() else _widen(builder, found)

    return vector(A, types.intp, types.intp), codegen


@intrinsic
def store_half(typingctx, A, row, col, value):
    """Write a vector, rounded to float16, to ``A[row, col : col + 16]`` of a uint16 matrix."""

    def codegen(context, builder, signature, args):
        kind = _HALVES if converts() else _SHORTS
        at = _at(context, builder, signature.args[0], args[0], list(args[1:3]), kind)
        narrow = builder.fptrunc(args[3], _HALVES) if converts() else _narrow(builder, args[3])
        builder.store(narrow, at, align=2)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, vector), codegen

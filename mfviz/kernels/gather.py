"""Sixteen elements at a time from vectors and columns: what coordinate descent is made of.

The companions of :mod:`mfviz.kernels.simd` for one-dimensional arrays. A gather becomes the CPU's
own where that is the faster way, and sixteen loads elsewhere: LLVM decides.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mfviz.kernels.simd import LANES, vector

__all__ = ["gather", "gather_column", "load_run", "store_run"]

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INDICES = ir.VectorType(ir.IntType(32), LANES)
_WIDE = ir.VectorType(ir.IntType(64), LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


def _item(context: Any, builder: Any, kind: Any, value: Any, index: Any) -> Any:
    array = context.make_array(kind)(context, builder, value)
    return cgutils.get_item_pointer(context, builder, kind, array, [index], wraparound=False)


def _gather(builder: Any, base: Any, places: Any) -> Any:
    """Load the floats that lie ``places`` (16 x int64) floats after ``base``."""
    at = builder.gep(base, [places], source_etype=ir.FloatType())
    at.type = ir.VectorType(ir.PointerType(), LANES)
    kinds = [at.type, ir.IntType(32), _MASK, _FLOATS]
    name = f"llvm.masked.gather.v{LANES}f32.v{LANES}p0"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_FLOATS, kinds), name
    )
    everyone = ir.Constant(_MASK, [1] * LANES)
    nothing = ir.Constant(_FLOATS, ir.Undefined)
    return builder.call(function, [at, ir.Constant(ir.IntType(32), 4), everyone, nothing])


def _indices(context: Any, builder: Any, kind: Any, value: Any, first: Any) -> Any:
    at = _item(context, builder, kind, value, first)
    loaded = builder.load(builder.bitcast(at, _INDICES.as_pointer()), align=4)
    return builder.sext(loaded, _WIDE)


@intrinsic
def load_run(typingctx, a, first):
    """Return lanes ``a[first : first + 16]`` of a float32 vector."""

    def codegen(context, builder, signature, args):
        at = _item(context, builder, signature.args[0], *args)
        return builder.load(builder.bitcast(at, _FLOATS.as_pointer()), align=4)

    return vector(a, types.intp), codegen


@intrinsic
def store_run(typingctx, a, first, value):
    """Write a vector to ``a[first : first + 16]`` of a float32 vector."""

    def codegen(context, builder, signature, args):
        at = _item(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(at, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(a, types.intp, vector), codegen


@intrinsic
def gather(typingctx, a, index, first):
    """Return ``a[index[first : first + 16]]`` of a float32 vector and an int32 one."""

    def codegen(context, builder, signature, args):
        places = _indices(context, builder, signature.args[1], *args[1:])
        zero = ir.Constant(ir.IntType(64), 0)
        base = _item(context, builder, signature.args[0], args[0], zero)
        return _gather(builder, base, places)

    return vector(a, index, types.intp), codegen


@intrinsic
def gather_column(typingctx, A, col, index, first):
    """Return ``A[index[first : first + 16], col]`` of a float32 matrix in C-order."""

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        places = _indices(context, builder, signature.args[2], *args[2:])
        array = context.make_array(kind)(context, builder, args[0])
        width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        seed = builder.insert_element(
            ir.Constant(_WIDE, ir.Undefined), width, ir.Constant(ir.IntType(32), 0)
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        widths = builder.shuffle_vector(seed, seed, zeros)
        zero = ir.Constant(ir.IntType(64), 0)
        base = cgutils.get_item_pointer(
            context, builder, kind, array, [zero, args[1]], wraparound=False
        )
        return _gather(builder, base, builder.mul(places, widths))

    return vector(A, types.intp, index, types.intp), codegen

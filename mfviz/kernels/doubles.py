"""Rows of float64 numbers in registers: for sums that must keep their digits.

As :mod:`mfviz.kernels.registers`, whose ``parts_of`` tells the width, but eight float64 lanes a
vector. Rows of float32 matrices are widened when they are loaded.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

__all__ = ["DoubleRow", "add_scaled", "dot", "load_doubles", "store_doubles", "widen_row"]

_INT32 = ir.IntType(32)
_EIGHT = ir.VectorType(ir.DoubleType(), 8)
_NARROW = ir.VectorType(ir.FloatType(), 8)


class DoubleRow(types.Type):
    """Numba's type of a row of ``count`` vectors of eight float64 numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"float64row{8 * count}")


@register_model(DoubleRow)
class _DoubleRowModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, ir.ArrayType(_EIGHT, kind.count))


def _vectors(builder, kind, row):
    return [builder.extract_value(row, at) for at in range(kind.count)]


def _row(builder, vectors):
    row = ir.Constant(ir.ArrayType(_EIGHT, len(vectors)), ir.Undefined)
    for at, vector in enumerate(vectors):
        row = builder.insert_value(row, vector, at)
    return row


def _pointers(context, builder, kind, value, index, lanes, count):
    """Return a pointer to each of ``count`` vectors from ``array[index]`` on."""
    array = context.make_array(kind)(context, builder, value)
    first = cgutils.get_item_pointer(context, builder, kind, array, index, wraparound=False)
    base = builder.bitcast(first, lanes.as_pointer())
    return [builder.gep(base, [ir.Constant(_INT32, at)], inbounds=True) for at in range(count)]


def _fma(builder, a, b, c):
    kind = ir.FunctionType(_EIGHT, [_EIGHT] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v8f64")
    return builder.call(function, (a, b, c))


def _shuffle(builder, a, lanes):
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes))
    return builder.shuffle_vector(a, a, mask)


@intrinsic
def load_doubles(typingctx, a, parts):
    """Return the first 16 times ``len(parts)`` numbers of a float64 vector."""
    kind = DoubleRow(2 * len(parts))

    def codegen(context, builder, signature, args):
        zero = [ir.Constant(ir.IntType(64), 0)]
        at = _pointers(context, builder, signature.args[0], args[0], zero, _EIGHT, kind.count)
        return _row(builder, [builder.load(one, align=8) for one in at])

    return kind(a, parts), codegen


@intrinsic
def store_doubles(typingctx, a, value):
    """Write a row to the beginning of a float64 vector."""

    def codegen(context, builder, signature, args):
        zero = [ir.Constant(ir.IntType(64), 0)]
        at = _pointers(context, builder, signature.args[0], args[0], zero, _EIGHT, value.count)
        for one, vector in zip(at, _vectors(builder, value, args[1]), strict=True):
            builder.store(vector, one, align=8)
        return context.get_dummy_value()

    return types.void(a, value), codegen


@intrinsic
def widen_row(typingctx, A, row, parts):
    """Return ``A[row]`` of a float32 matrix of 16 times ``len(parts)`` columns."""
    kind = DoubleRow(2 * len(parts))

    def codegen(context, builder, signature, args):
        index = [args[1], ir.Constant(args[1].type, 0)]
        at = _pointers(context, builder, signature.args[0], args[0], index, _NARROW, kind.count)
        return _row(builder, [builder.fpext(builder.load(one, align=4), _EIGHT) for one in at])

    return kind(A, types.intp, parts), codegen


@intrinsic
def dot(typingctx, a, b):
    """Return the dot product of two rows, always added in the same order."""

    def codegen(context, builder, signature, args):
        sums: list = []
        pairs = zip(_vectors(builder, a, args[0]), _vectors(builder, b, args[1]), strict=True)
        for at, (x, y) in enumerate(pairs):  # four sums, which do not wait for each other
            if at < 4:
                sums.append(builder.fmul(x, y))
            else:
                sums[at % 4] = _fma(builder, x, y, sums[at % 4])
        while len(sums) > 1:
            sums = [
                builder.fadd(sums[at], sums[at + 1]) if at + 1 < len(sums) else sums[at]
                for at in range(0, len(sums), 2)
            ]
        value = sums[0]
        for count in (4, 2, 1):
            low, high = range(count), range(count, 2 * count)
            value = builder.fadd(_shuffle(builder, value, low), _shuffle(builder, value, high))
        return builder.extract_element(value, ir.Constant(_INT32, 0))

    return types.float64(a, a), codegen


@intrinsic
def add_scaled(typingctx, factor, a, b):
    """Return ``factor * a + b``."""

    def codegen(context, builder, signature, args):
        seed = ir.Constant(_EIGHT, ir.Undefined)
        seed = builder.insert_element(seed, args[0], ir.Constant(_INT32, 0))
        factors = _shuffle(builder, seed, [0] * 8)
        pairs = zip(_vectors(builder, a, args[1]), _vectors(builder, b, args[2]), strict=True)
        return _row(builder, [_fma(builder, factors, x, y) for x, y in pairs])

    return a(types.float64, a, a), codegen

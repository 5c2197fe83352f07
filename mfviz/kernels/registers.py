"""Whole rows as vectors: a row of a factor matrix that stays in registers while it is used.

A *row* has a width that is known when a kernel is compiled, so it needs neither loop nor memory.
The width travels as the type of an argument: ``parts`` is a tuple of as many numbers as the row
has vectors (:func:`parts_of`), and Numba compiles a kernel anew for each length of it. Rows of up
to 128 numbers fit in the registers of AVX-512 beside a second one; wider ones, and all on narrower
CPUs, work too but are spilled.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from mfviz.kernels.simd import LANES, vector

__all__ = ["Row", "add_scaled", "load_row", "parts_of", "products", "scaled", "store_row"]

_INT32 = ir.IntType(32)
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


class Row(types.Type):
    """Numba's type of a row of ``parts`` vectors in registers."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        super().__init__(name=f"float32row{LANES * parts}")


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, ir.ArrayType(_VECTOR, kind.parts))


def _parts(builder, kind, row):
    return [builder.extract_value(row, at) for at in range(kind.parts)]


def _row(builder, kind, parts):
    row = ir.Constant(ir.ArrayType(_VECTOR, kind.parts), ir.Undefined)
    for at, part in enumerate(parts):
        row = builder.insert_value(row, part, at)
    return row


def _pointers(context, builder, array_kind, value, row, parts):
    """Return a pointer to each vector of a row of a C-order float32 matrix."""
    array = context.make_array(array_kind)(context, builder, value)
    first = cgutils.get_item_pointer(
        context, builder, array_kind, array, [row, ir.Constant(row.type, 0)], wraparound=False
    )
    base = builder.bitcast(first, _VECTOR.as_pointer())
    return [builder.gep(base, [ir.Constant(_INT32, at)], inbounds=True) for at in range(parts)]


def _fma(builder, a, b, c):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    name = f"llvm.fmuladd.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), (a, b, c))


def parts_of(width: int) -> tuple[int, ...]:
    """Return what tells a kernel the width of its rows, a multiple of 16."""
    return (0,) * (width // LANES)


@intrinsic
def load_row(typingctx, A, row, parts):
    """Return ``A[row]`` of a float32 matrix of 16 times ``len(parts)`` columns."""
    kind = Row(len(parts))

    def codegen(context, builder, signature, args):
        at = _pointers(context, builder, signature.args[0], args[0], args[1], kind.parts)
        return _row(builder, kind, [builder.load(one, align=4) for one in at])

    return kind(A, types.intp, parts), codegen


@intrinsic
def store_row(typingctx, A, row, value):
    """Write a row to ``A[row]`` of a float32 matrix."""

    def codegen(context, builder, signature, args):
        at = _pointers(context, builder, signature.args[0], args[0], args[1], value.parts)
        for one, part in zip(at, _parts(builder, value, args[2]), strict=True):
            builder.store(part, one, align=4)
        return context.get_dummy_value()

    return types.void(A, types.intp, value), codegen


@intrinsic
def products(typingctx, a, b):
    """Return the vector whose lane ``l`` is the sum of ``a[k] * b[k]`` over ``k % 16 == l``.

    Its :func:`mfviz.kernels.simd.total` is the dot product, to the bits of a loop over vectors.
    """

    def codegen(context, builder, signature, args):
        found = ir.Constant(_VECTOR, [0.0] * LANES)
        for x, y in zip(_parts(builder, a, args[0]), _parts(builder, b, args[1]), strict=True):
            found = _fma(builder, x, y, found)
        return found

    return vector(a, b), codegen


@intrinsic
def scaled(typingctx, factor, a):
    """Return ``factor * a``, the factor being a vector of equal lanes."""

    def codegen(context, builder, signature, args):
        parts = _parts(builder, a, args[1])
        return _row(builder, a, [builder.fmul(args[0], part) for part in parts])

    return a(vector, a), codegen


@intrinsic
def add_scaled(typingctx, factor, a, b):
    """Return ``factor * a + b``, the factor being a vector of equal lanes."""

    def codegen(context, builder, signature, args):
        pairs = zip(_parts(builder, a, args[1]), _parts(builder, b, args[2]), strict=True)
        return _row(builder, a, [_fma(builder, args[0], x, y) for x, y in pairs])

    return a(vector, a, a), codegen

"""The register tiles under exact ALS: sums of outer products, kept in registers to the end.

Both halves of a row's work are one loop. The Gram matrix of a row's items is a sum of outer
products of the items' features; a blocked Cholesky factorisation subtracts from each panel the
outer products of the finished rows above it. Eight accumulators, of sixteen float32 or eight
float64 lanes, hold the sum; LLVM splits them where the CPU's vectors are narrower.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["COLS_F32", "TILE", "add_outer", "factor_tile", "finish_tile"]

TILE = 8  # rows of every tile, and columns of a float64 one
COLS_F32 = 16

_INT = ir.IntType(64)
_LANE = ir.IntType(32)
_DOUBLE8 = ir.VectorType(ir.DoubleType(), TILE)


def _call(builder: Any, name: str, args: list[Any]) -> Any:
    """Call an LLVM function of one type, scalar or vector."""
    kind = args[0].type
    suffix = "f64" if "double" in str(kind) else "f32"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(args)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, args)


def _splat(builder: Any, scalar: Any, count: int) -> Any:
    """Return a vector of ``count`` lanes with one value."""
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    seed = builder.insert_element(empty, scalar, ir.Constant(_LANE, 0))
    zeros = ir.Constant(ir.VectorType(_LANE, count), [0] * count)
    return builder.shuffle_vector(seed, empty, zeros)


def _data(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Any:
    """Pointer to the elements of array argument ``at``."""
    return context.make_array(signature.args[at])(context, builder, args[at]).data


def _vector_at(builder: Any, data: Any, offset: Any, kind: ir.VectorType) -> Any:
    """Pointer to the vector that starts at ``data[offset]``."""
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def _tile_rows(builder: Any, data: Any, start: Any, stride: Any, kind: ir.VectorType) -> list[Any]:
    """Pointers to the eight rows of the tile that starts at ``data[start]``."""
    return [
        _vector_at(builder, data, builder.add(start, builder.mul(stride, _INT(a))), kind)
        for a in range(TILE)
    ]


def _outer_sums(builder: Any, data: Any, cols: int, left: Any, right: Any, rest: Any) -> list[Any]:
    """Emit the loop over k; return eight vectors ``sum_k X[k, left + a] * X[k, right:]``."""
    stride, count = rest
    element = data.type.pointee
    kind = ir.VectorType(element, cols)
    size = 4 if isinstance(element, ir.FloatType) else 8
    zero = ir.Constant(kind, [0.0] * cols)
    sums = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE)]
    with cgutils.for_range(builder, count, intp=_INT) as loop:
        row = builder.mul(loop.index, stride)
        b = builder.load(_vector_at(builder, data, builder.add(row, right), kind), align=size)
        first = builder.add(row, left)
        for a, total in enumerate(sums):
            x = builder.load(builder.gep(data, [builder.add(first, _INT(a))]), align=size)
            new = _call(builder, "fmuladd", [_splat(builder, x, cols), b, builder.load(total)])
            builder.store(new, total)
    return [builder.load(total) for total in sums]


@intrinsic
def add_outer(typingctx, C, start, stride, X, left, right, x_stride, count):
    """Add to an 8 x 16 tile of C a sum of outer products that is accumulated in float32.

    Parameters
    ----------
    C : 1-D float64
        ``C[start + a stride + b] += sum_k X[k, left + a] X[k, right + b]``.
    start, stride : int64
    X : 1-D float32
        Element ``(k, j)`` at ``k x_stride + j``.
    left, right, x_stride, count : int64
        First columns, length of a row of X, and number of rows k.
    """

    def emit(context, builder, signature, args):
        data = _data(context, builder, signature, args, 3)
        sums = _outer_sums(builder, data, COLS_F32, args[4], args[5], args[6:8])
        kind = ir.VectorType(ir.DoubleType(), COLS_F32)
        tile = _data(context, builder, signature, args, 0)
        for at, total in zip(_tile_rows(builder, tile, args[1], args[2], kind), sums, strict=True):
            new = builder.fadd(builder.load(at, align=8), builder.fpext(total, kind))
            builder.store(new, at, align=8)
        return context.get_dummy_value()

    integers = [types.int64] * 4
    return types.void(C, types.int64, types.int64, X, *integers), emit


def _reduced_rows(context, builder, signature, args):
    """Emit ``A[left:left + 8, right:right + 8] - sum over the rows above``; pointers and rows."""
    stride, left, right = args[1:4]
    data = _data(context, builder, signature, args, 0)
    sums = _outer_sums(builder, data, TILE, left, right, (stride, left))
    start = builder.add(builder.mul(left, stride), right)
    places = _tile_rows(builder, data, start, stride, _DOUBLE8)
    rows = [
        builder.fsub(builder.load(at, align=8), total)
        for at, total in zip(places, sums, strict=True)
    ]
    return places, rows


@intrinsic
def factor_tile(typingctx, A, stride, top, floors):
    """Factor the diagonal tile of a panel, given the finished rows above it.

    Parameters
    ----------
    A : 1-D float64
        Upper triangle of a symmetric matrix with rows of ``stride``; the tile at ``(top, top)``
        becomes that of U with U^T U = A, and its diagonal holds the *reciprocals* of U's.
    stride, top : int64
    floors : 1-D float64
        A pivot that is not above this is no pivot: its row of U, and with it the row's unknown,
        becomes 0.
    """

    def emit(context, builder, signature, args):
        places, rows = _reduced_rows(context, builder, signature, [*args[:3], args[2]])
        floors = _data(context, builder, signature, args, 3)
        for k in range(TILE):
            lane = ir.Constant(_LANE, k)
            floor = builder.load(builder.gep(floors, [builder.add(args[2], _INT(k))]))
            pivot = builder.extract_element(rows[k], lane)
            one, zero = ir.Constant(ir.DoubleType(), 1.0), ir.Constant(ir.DoubleType(), 0.0)
            scale = builder.fdiv(one, _call(builder, "sqrt", [pivot]))
            scale = builder.select(builder.fcmp_ordered(">", pivot, floor), scale, zero)
            rows[k] = builder.fmul(rows[k], _splat(builder, scale, TILE))
            for i in range(k + 1, TILE):
                factor = builder.extract_element(rows[k], ir.Constant(_LANE, i))
                less = builder.fmul(rows[k], _splat(builder, factor, TILE))
                rows[i] = builder.fsub(rows[i], less)
            rows[k] = builder.insert_element(rows[k], scale, lane)
        for at, row in zip(places, rows, strict=True):
            builder.store(row, at, align=8)
        return context.get_dummy_value()

    return types.void(A, types.int64, types.int64, floors), emit


@intrinsic
def finish_tile(typingctx, A, stride, top, right):
    """Finish the tile at ``(top, right)`` of a panel whose diagonal tile is factored.

    Parameters as of :func:`factor_tile`; ``right`` is the tile's first column, beyond the diagonal
    tile.
    """

    def emit(context, builder, signature, args):
        stride, top = args[1:3]
        places, rows = _reduced_rows(context, builder, signature, args)
        data = _data(context, builder, signature, args, 0)
        for k in range(TILE):
            base = builder.add(builder.mul(builder.add(top, _INT(k)), stride), top)
            for i in range(k, TILE):
                x = builder.load(builder.gep(data, [builder.add(base, _INT(i))]), align=8)
                product = builder.fmul(rows[k], _splat(builder, x, TILE))
                rows[i] = product if i == k else builder.fsub(rows[i], product)
        for at, row in zip(places, rows, strict=True):
            builder.store(row, at, align=8)
        return context.get_dummy_value()

    return types.void(A, types.int64, types.int64, types.int64), emit

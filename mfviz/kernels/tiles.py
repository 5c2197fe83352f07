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

__all__ = [
    "COLS_F32",
    "TILE",
    "add_corner",
    "add_outer",
    "add_weighted",
    "factor_tile",
    "finish_tile",
    "transpose",
]

TILE = 8  # rows of every tile, and columns of a float64 one
COLS_F32 = 16

_INT = ir.IntType(64)
_LANE = ir.IntType(32)
_DOUBLE8 = ir.VectorType(ir.DoubleType(), TILE)


def call(builder: Any, name: str, args: list[Any]) -> Any:
    """Call an LLVM function of one type, scalar or vector."""
    kind = args[0].type
    suffix = "f64" if "double" in str(kind) else "f32"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(args)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, args)


def splat(builder: Any, scalar: Any, count: int) -> Any:
    """Return a vector of ``count`` lanes with one value."""
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    seed = builder.insert_element(empty, scalar, ir.Constant(_LANE, 0))
    zeros = ir.Constant(ir.VectorType(_LANE, count), [0] * count)
    return builder.shuffle_vector(seed, empty, zeros)


def data_of(context: Any, builder: Any, signature: Any, args: Any, at: int) -> Any:
    """Pointer to the elements of array argument ``at``."""
    return context.make_array(signature.args[at])(context, builder, args[at]).data


def vector_at(builder: Any, data: Any, offset: Any, kind: ir.VectorType) -> Any:
    """Pointer to the vector that starts at ``data[offset]``."""
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def tile_rows(builder: Any, data: Any, start: Any, stride: Any, kind: ir.VectorType) -> list[Any]:
    """Pointers to the eight rows of the tile that starts at ``data[start]``."""
    return [
        vector_at(builder, data, builder.add(start, builder.mul(stride, _INT(a))), kind)
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
        b = builder.load(vector_at(builder, data, builder.add(row, right), kind), align=size)
        first = builder.add(row, left)
        for a, total in enumerate(sums):
            x = builder.load(builder.gep(data, [builder.add(first, _INT(a))]), align=size)
            new = call(builder, "fmuladd", [splat(builder, x, cols), b, builder.load(total)])
            builder.store(new, total)
    return [builder.load(total) for total in sums]


def less(builder: Any, c: Any, a: Any, b: Any) -> Any:
    """Return ``c - a b``."""
    return call(builder, "fmuladd", [builder.fneg(a), b, c])


def _add_to(builder: Any, at: Any, total: Any, fresh: Any) -> None:
    """Add a float32 vector to the float64 one at a pointer, or write it there if ``fresh``."""
    kind = ir.VectorType(ir.DoubleType(), total.type.count)
    zero = ir.Constant(kind, [0.0] * kind.count)
    old = builder.select(fresh, zero, builder.load(at, align=8))
    builder.store(builder.fadd(old, builder.fpext(total, kind)), at, align=8)


def _outer_adder(cols: int) -> Any:
    """Return what types and emits the sum of outer products in a tile of so many columns."""

    def typed(C: Any, X: Any) -> tuple[Any, Any]:
        def emit(context, builder, signature, args):
            data = data_of(context, builder, signature, args, 3)
            sums = _outer_sums(builder, data, cols, args[4], args[5], args[6:8])
            kind = ir.VectorType(ir.DoubleType(), cols)
            tile = data_of(context, builder, signature, args, 0)
            places = tile_rows(builder, tile, args[1], args[2], kind)
            for at, total in zip(places, sums, strict=True):
                _add_to(builder, at, total, args[8])
            return context.get_dummy_value()

        integers = [types.int64] * 4
        return types.void(C, types.int64, types.int64, X, *integers, types.boolean), emit

    return typed


@intrinsic
def add_outer(typingctx, C, start, stride, X, left, right, x_stride, count, fresh):
    """Add to an 8 x 16 tile of C a sum of outer products that is accumulated in float32.

    Parameters
    ----------
    C : float64
        ``C[start + a stride + b] += sum_k X[k, left + a] X[k, right + b]``.
    start, stride : int64
    X : float32
        Element ``(k, j)`` at ``k x_stride + j``.
    left, right, x_stride, count : int64
        First columns, length of a row of X, and number of rows k.
    fresh : bool
        Whether the sum is written over what C holds.
    """
    return _outer_adder(COLS_F32)(C, X)


@intrinsic
def add_corner(typingctx, C, start, stride, X, left, right, x_stride, count, fresh):
    """Do what :func:`add_outer` does for a tile of 8 x 8, half of which is below a diagonal."""
    return _outer_adder(TILE)(C, X)


@intrinsic
def add_weighted(typingctx, b, start, X, right, x_stride, r, first, count, fresh):
    """Add to sixteen numbers of b a weighted sum of rows, all of it in float64.

    Parameters
    ----------
    b : float64
        ``b[start + j] += sum_k r[first + k] X[k, right + j]``.
    start : int64
    X, right, x_stride, count, fresh
        As in :func:`add_outer`.
    r : float32
    first : int64
    """

    def emit(context, builder, signature, args):
        data = data_of(context, builder, signature, args, 2)
        weights = builder.gep(data_of(context, builder, signature, args, 5), [args[6]])
        right, stride, count = args[3], args[4], args[7]
        single = ir.VectorType(ir.FloatType(), COLS_F32)
        kind = ir.VectorType(ir.DoubleType(), COLS_F32)
        zero = ir.Constant(kind, [0.0] * COLS_F32)
        place = data_of(context, builder, signature, args, 0)
        at = vector_at(builder, place, args[1], kind)
        old = builder.select(args[8], zero, builder.load(at, align=8))
        sums = [cgutils.alloca_once_value(builder, value) for value in (old, zero)]

        def add(k, total):
            row = builder.add(builder.mul(k, stride), right)
            y = builder.load(vector_at(builder, data, row, single), align=4)
            weight = builder.fpext(builder.load(builder.gep(weights, [k])), ir.DoubleType())
            values = [splat(builder, weight, COLS_F32), builder.fpext(y, kind)]
            builder.store(call(builder, "fmuladd", [*values, builder.load(total)]), total)

        even = builder.and_(count, _INT(-2))
        with cgutils.for_range_slice(builder, _INT(0), even, _INT(2), _INT) as (k, _):
            add(k, sums[0])
            add(builder.add(k, _INT(1)), sums[1])
        with cgutils.for_range_slice(builder, even, count, _INT(1), _INT) as (k, _):
            add(k, sums[0])
        builder.store(builder.fadd(*[builder.load(total) for total in sums]), at, align=8)
        return context.get_dummy_value()

    i8 = types.int64
    return types.void(b, i8, X, i8, i8, r, i8, i8, types.boolean), emit


@intrinsic
def transpose(typingctx, to, at, stride, Y, index, first, last, col):
    """Write sixteen features of up to sixteen rows with a line for each feature.

    Parameters
    ----------
    to : float32
        ``to[at + j stride + t] = Y[index[first + t], col + j]`` for t and j from 0 to 15; 0 where
        ``first + t`` is not before ``last``.
    at, stride : int64
    Y : (cols, f) float32, C-order
    index : (nnz,) int32
    first, last, col : int64
    """

    def emit(context, builder, signature, args):
        data = data_of(context, builder, signature, args, 3)
        index = data_of(context, builder, signature, args, 4)
        Y = context.make_array(signature.args[3])(context, builder, args[3])
        width = builder.extract_value(Y.shape, 1)
        first, last, col = args[5:]
        kind = ir.VectorType(ir.FloatType(), COLS_F32)
        zero = ir.Constant(kind, [0.0] * COLS_F32)
        rows = []
        for t in range(COLS_F32):
            there = builder.add(first, _INT(t))
            known = builder.icmp_signed("<", there, last)
            there = builder.select(known, there, first)
            row = builder.sext(builder.load(builder.gep(index, [there])), _INT)
            place = builder.add(builder.mul(row, width), col)
            y = builder.load(vector_at(builder, data, place, kind), align=4)
            rows.append(builder.select(known, y, zero))
        size = COLS_F32 // 2
        while size:  # swap the blocks beside the diagonal, of half the size each time
            pairs = [(a, a + size) for a in range(COLS_F32) if not a & size]
            for a, b in pairs:
                rows[a], rows[b] = (
                    builder.shuffle_vector(rows[a], rows[b], _swapped(size, high))
                    for high in (0, 1)
                )
            size //= 2
        out = data_of(context, builder, signature, args, 0)
        for j, row in enumerate(rows):
            place = builder.add(args[1], builder.mul(args[2], _INT(j)))
            builder.store(row, vector_at(builder, out, place, kind), align=4)
        return context.get_dummy_value()

    i8 = types.int64
    return types.void(to, i8, i8, Y, index, i8, i8, i8), emit


def _swapped(size: int, high: int) -> ir.Constant:
    """Lanes of two rows that one of them has after blocks of a size have changed places."""
    lanes = []
    for lane in range(COLS_F32):
        if lane & size:  # the second block of a pair comes from the second row
            lanes.append(COLS_F32 + (lane if high else lane - size))
        else:
            lanes.append(lane + size if high else lane)
    return ir.Constant(ir.VectorType(_LANE, COLS_F32), lanes)


def _reduced_rows(context, builder, signature, args):
    """Emit ``A[left:left + 8, right:right + 8] - sum over the rows above``; pointers and rows."""
    stride, left, right = args[1:4]
    data = data_of(context, builder, signature, args, 0)
    sums = _outer_sums(builder, data, TILE, left, right, (stride, left))
    start = builder.add(builder.mul(left, stride), right)
    places = tile_rows(builder, data, start, stride, _DOUBLE8)
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
        floors = data_of(context, builder, signature, args, 3)
        for k in range(TILE):
            lane = ir.Constant(_LANE, k)
            floor = builder.load(builder.gep(floors, [builder.add(args[2], _INT(k))]))
            pivot = builder.extract_element(rows[k], lane)
            one, zero = ir.Constant(ir.DoubleType(), 1.0), ir.Constant(ir.DoubleType(), 0.0)
            inverse = builder.fdiv(one, pivot)
            inverse = builder.select(builder.fcmp_ordered(">", pivot, floor), inverse, zero)
            for i in range(k + 1, TILE):  # the next pivot does not wait for this one's root
                factor = builder.extract_element(rows[k], ir.Constant(_LANE, i))
                factor = splat(builder, builder.fmul(factor, inverse), TILE)
                rows[i] = less(builder, rows[i], factor, rows[k])
            scale = call(builder, "sqrt", [inverse])
            rows[k] = builder.fmul(rows[k], splat(builder, scale, TILE))
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
        data = data_of(context, builder, signature, args, 0)
        for k in range(TILE):
            base = builder.add(builder.mul(builder.add(top, _INT(k)), stride), top)
            for i in range(k, TILE):
                x = builder.load(builder.gep(data, [builder.add(base, _INT(i))]), align=8)
                x = splat(builder, x, TILE)
                if i == k:
                    rows[k] = builder.fmul(rows[k], x)
                else:
                    rows[i] = less(builder, rows[i], x, rows[k])
        for at, row in zip(places, rows, strict=True):
            builder.store(row, at, align=8)
        return context.get_dummy_value()

    return types.void(A, types.int64, types.int64, types.int64), emit

"""Substitution under exact ALS: eight unknowns of a triangular system at a time.

The unknowns that are known already are taken off by vectors; the eight by eight equations that
are left are solved number by number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mfviz.kernels.tiles import TILE, call, data_of, less, splat, tile_rows, vector_at

__all__ = ["substitute_down", "substitute_up"]

_INT = ir.IntType(64)
_LANE = ir.IntType(32)
_DOUBLE8 = ir.VectorType(ir.DoubleType(), TILE)
_SUMS = 4  # a multiply-add waits four cycles for the one before


def _numbers(builder: Any, vector: Any) -> list[Any]:
    """Return the lanes of a vector one by one."""
    lanes = range(vector.type.count)
    return [builder.extract_element(vector, ir.Constant(_LANE, at)) for at in lanes]


def _sum(builder: Any, vector: Any) -> Any:
    """Return the sum of eight lanes, as a tree."""
    count = TILE
    while count > 1:
        count //= 2
        low, high = (
            builder.shuffle_vector(
                vector, vector, ir.Constant(ir.VectorType(_LANE, count), list(lanes))
            )
            for lanes in (range(count), range(count, 2 * count))
        )
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(_LANE, 0))


def _triangle(builder: Any, data: Any, stride: Any, top: Any) -> Any:
    """Return what reads element ``(k, i)`` of the diagonal tile at ``top``."""
    first = builder.add(builder.mul(top, stride), top)

    def number(k: int, i: int) -> Any:
        at = builder.add(first, builder.add(builder.mul(stride, _INT(k)), _INT(i)))
        return builder.load(builder.gep(data, [at]), align=8)

    return number


def _store_numbers(builder: Any, at: Any, numbers: list[Any]) -> None:
    """Write eight numbers to the vector at a pointer."""
    found = ir.Constant(_DOUBLE8, ir.Undefined)
    for lane, number in enumerate(numbers):
        found = builder.insert_element(found, number, ir.Constant(_LANE, lane))
    builder.store(found, at, align=8)


@intrinsic
def substitute_down(typingctx, A, stride, top, b):
    """Solve eight equations of ``U^T y = b``, those above them being solved.

    Parameters
    ----------
    A : 1-D float64
        U as :func:`mfviz.kernels.tiles.factor_tile` and ``finish_tile`` leave it.
    stride, top : int64
    b : 1-D float64
        Numbers ``top`` to ``top + 8`` become those of y.
    """

    def emit(context, builder, signature, args):
        stride, top = args[1:3]
        data = data_of(context, builder, signature, args, 0)
        known = data_of(context, builder, signature, args, 3)
        zero = ir.Constant(_DOUBLE8, [0.0] * TILE)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(_SUMS)]
        with cgutils.for_range_slice(builder, _INT(0), top, _INT(_SUMS), _INT) as (start, _):
            for at, total in enumerate(sums):
                k = builder.add(start, _INT(at))
                place = builder.add(builder.mul(k, stride), top)
                row = builder.load(vector_at(builder, data, place, _DOUBLE8), align=8)
                y = splat(builder, builder.load(builder.gep(known, [k]), align=8), TILE)
                builder.store(less(builder, builder.load(total), y, row), total)
        one, two, three, four = [builder.load(total) for total in sums]
        total = builder.fadd(builder.fadd(one, two), builder.fadd(three, four))
        here = vector_at(builder, known, top, _DOUBLE8)
        left = _numbers(builder, builder.fadd(builder.load(here, align=8), total))
        number = _triangle(builder, data, stride, top)
        for k in range(TILE):
            left[k] = builder.fmul(left[k], number(k, k))
            for i in range(k + 1, TILE):
                left[i] = less(builder, left[i], number(k, i), left[k])
        _store_numbers(builder, here, left)
        return context.get_dummy_value()

    return types.void(A, types.int64, types.int64, b), emit


@intrinsic
def substitute_up(typingctx, A, stride, top, b):
    """Solve eight equations of ``U x = y``, those below them being solved.

    Parameters as of :func:`substitute_down`; b has as many numbers as a row of A.
    """

    def emit(context, builder, signature, args):
        stride, top = args[1:3]
        data = data_of(context, builder, signature, args, 0)
        known = data_of(context, builder, signature, args, 3)
        zero = ir.Constant(_DOUBLE8, [0.0] * TILE)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(TILE)]
        below = builder.add(top, _INT(TILE))
        with cgutils.for_range_slice(builder, below, stride, _INT(TILE), _INT) as (col, _):
            x = builder.load(vector_at(builder, known, col, _DOUBLE8), align=8)
            start = builder.add(builder.mul(top, stride), col)
            for at, total in zip(
                tile_rows(builder, data, start, stride, _DOUBLE8), sums, strict=True
            ):
                row = builder.load(at, align=8)
                builder.store(call(builder, "fmuladd", [row, x, builder.load(total)]), total)
        here = vector_at(builder, known, top, _DOUBLE8)
        left = _numbers(builder, builder.load(here, align=8))
        left = [
            builder.fsub(number, _sum(builder, builder.load(total)))
            for number, total in zip(left, sums, strict=True)
        ]
        number = _triangle(builder, data, stride, top)
        for k in reversed(range(TILE)):
            left[k] = builder.fmul(left[k], number(k, k))
            for i in range(k):
                left[i] = less(builder, left[i], number(i, k), left[k])
        _store_numbers(builder, here, left)
        return context.get_dummy_value()

    return types.void(A, types.int64, types.int64, b), emit

"""Four vectors at a time: their sums side by side, and each of them back over all lanes.

A *quad* is a vector whose lanes 0 to 3 hold one number, lanes 4 to 7 a second and so on. The sums
of four vectors come out in this form with fewer instructions than those of two vectors take one by
one, errors and steps are computed on all four at once, and one shuffle spreads each over sixteen
lanes again. Sums are added in the order of :func:`mfviz.kernels.simd.total`: to the same bits.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mfviz.kernels.simd import LANES, vector

__all__ = ["number", "quad", "quad_at", "spread", "totals"]

_INT32 = ir.IntType(32)
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


def _shuffle(builder, a, b, positions):
    mask = ir.Constant(ir.VectorType(_INT32, len(positions)), list(positions))
    return builder.shuffle_vector(a, b, mask)


def _insert(builder, values):
    """Return a vector with the values in its first lanes."""
    found = ir.Constant(ir.VectorType(_FLOAT, len(values)), ir.Undefined)
    for lane, value in enumerate(values):
        found = builder.insert_element(found, value, ir.Constant(_INT32, lane))
    return found


def _widen(builder, four):
    """Repeat each of four lanes four times."""
    return _shuffle(builder, four, four, [lane for lane in range(4) for _ in range(4)])


@intrinsic
def totals(typingctx, a, b, c, d):
    """Return the quad of the sums of the lanes of ``a``, ``b``, ``c`` and ``d``."""

    def codegen(context, builder, signature, args):
        a, b, c, d = args
        low, high = [*range(8), *range(16, 24)], [*range(8, 16), *range(24, 32)]
        ab = builder.fadd(_shuffle(builder, a, b, low), _shuffle(builder, a, b, high))
        cd = builder.fadd(_shuffle(builder, c, d, low), _shuffle(builder, c, d, high))
        even = [lane for first in (0, 8, 16, 24) for lane in range(first, first + 4)]
        odd = [lane + 4 for lane in even]
        x = builder.fadd(_shuffle(builder, ab, cd, even), _shuffle(builder, ab, cd, odd))
        for far in (2, 1):
            x = builder.fadd(x, _shuffle(builder, x, x, [lane ^ far for lane in range(LANES)]))
        return x

    return vector(vector, vector, vector, vector), codegen


@intrinsic
def quad(typingctx, a, b, c, d):
    """Return the quad of four float32 numbers."""

    def codegen(context, builder, signature, args):
        return _widen(builder, _insert(builder, args))

    return vector(types.float32, types.float32, types.float32, types.float32), codegen


@intrinsic
def quad_at(typingctx, a, index):
    """Return the quad of ``a[index : index + 4]`` of a float32 array."""

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, args[0])
        at = cgutils.get_item_pointer(context, builder, kind, array, [args[1]], wraparound=False)
        four = ir.VectorType(_FLOAT, 4)
        return _widen(builder, builder.load(builder.bitcast(at, four.as_pointer()), align=4))

    return vector(a, types.intp), codegen


def _which(which):
    if not isinstance(which, types.IntegerLiteral) or not 0 <= which.literal_value < 4:
        return None
    return int(which.literal_value)


@intrinsic(prefer_literal=True)
def spread(typingctx, x, which):
    """Return a vector whose sixteen lanes are number ``which`` (a constant) of a quad."""
    at = _which(which)
    if at is None:
        return None

    def codegen(context, builder, signature, args):
        return _shuffle(builder, args[0], args[0], [*range(4 * at, 4 * at + 4)] * 4)

    return vector(x, which), codegen


@intrinsic(prefer_literal=True)
def number(typingctx, x, which):
    """Return number ``which`` (a constant) of a quad."""
    at = _which(which)
    if at is None:
        return None

    def codegen(context, builder, signature, args):
        return builder.extract_element(args[0], ir.Constant(_INT32, 4 * at))

    return types.float32(x, which), codegen

"""Four float32 numbers beside each other: what a visit needs of two rows that have two parts each.

In LIBMF's learning-rate rule a row has a *slow* part, its first eight features, and a *fast* part,
the others. A *four* holds one number of each: the slow and the fast part of one row x, then those
of another row y. Their arithmetic takes one instruction instead of four, and a four is a quarter
of a vector of :mod:`mfviz.kernels.simd`, which narrow units of a CPU do at full speed.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from mfviz.kernels.simd import LANES, vector

__all__ = [
    "Four",
    "back",
    "dots",
    "exchange",
    "fma_four",
    "four",
    "front",
    "halves",
    "load_four",
    "moved",
    "mul_four",
    "over_root",
    "store_four",
    "sub_four",
]

_INT32 = ir.IntType(32)
_FLOAT = ir.FloatType()
_FOUR = ir.VectorType(_FLOAT, 4)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_PAIRS_EVEN, _PAIRS_ODD = (0, 2, 0, 2, 4, 6, 4, 6), (1, 3, 1, 3, 5, 7, 5, 7)


class Four(types.Type):
    """Numba's type of four float32 numbers; it lives in registers and never reaches Python."""

    def __init__(self) -> None:
        super().__init__(name="float32x4")


_four = Four()


@register_model(Four)
class _FourModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _FOUR)


def _shuffle(builder, a, b, positions):
    mask = ir.Constant(ir.VectorType(_INT32, len(positions)), list(positions))
    return builder.shuffle_vector(a, b, mask)


def _fma(builder, a, b, c):
    kind = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.v{a.type.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), (a, b, c))


def _parts(builder, kind, row):
    return [builder.extract_value(row, at) for at in range(kind.parts)]


@intrinsic
def four(typingctx, a, b, c, d):
    """Return the four of ``a``, ``b``, ``c`` and ``d``."""

    def codegen(context, builder, signature, args):
        found = ir.Constant(_FOUR, ir.Undefined)
        for lane, value in enumerate(args):
            found = builder.insert_element(found, value, ir.Constant(_INT32, lane))
        return found

    return _four(types.float32, types.float32, types.float32, types.float32), codegen


@intrinsic
def mul_four(typingctx, a, b):
    """Return ``a * b``."""

    def codegen(context, builder, signature, args):
        return builder.fmul(*args)

    return _four(_four, _four), codegen


@intrinsic
def sub_four(typingctx, a, b):
    """Return ``a - b``."""

    def codegen(context, builder, signature, args):
        return builder.fsub(*args)

    return _four(_four, _four), codegen


@intrinsic
def fma_four(typingctx, a, b, c):
    """Return ``a * b + c``."""

    def codegen(context, builder, signature, args):
        return _fma(builder, *args)

    return _four(_four, _four, _four), codegen


@intrinsic
def over_root(typingctx, a, b):
    """Return ``a / sqrt(b)``."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_FOUR, [_FOUR])
        root = cgutils.get_or_insert_function(builder.module, kind, "llvm.sqrt.v4f32")
        return builder.fdiv(args[0], builder.call(root, [args[1]]))

    return _four(_four, _four), codegen


@intrinsic
def load_four(typingctx, A, row):
    """Return row ``row`` of a float32 matrix of four columns."""

    def codegen(context, builder, signature, args):
        at = _four_pointer(context, builder, signature.args[0], *args)
        return builder.load(at, align=4)

    return _four(A, types.intp), codegen


@intrinsic
def store_four(typingctx, A, row, a):
    """Write row ``row`` of a float32 matrix of four columns."""

    def codegen(context, builder, signature, args):
        at = _four_pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], at, align=4)
        return context.get_dummy_value()

    return types.void(A, types.intp, _four), codegen


def _four_pointer(context, builder, kind, value, row):
    array, first = context.make_array(kind)(context, builder, value), ir.Constant(row.type, 0)
    at = cgutils.get_item_pointer(context, builder, kind, array, [row, first], wraparound=False)
    return builder.bitcast(at, _FOUR.as_pointer())


@intrinsic
def front(typingctx, a, b):
    """Return the first two numbers of ``a``, then those of ``b``."""

    def codegen(context, builder, signature, args):
        return _shuffle(builder, args[0], args[1], (0, 1, 4, 5))

    return _four(_four, _four), codegen


@intrinsic
def back(typingctx, a, b):
    """Return the last two numbers of ``a``, then those of ``b``."""

    def codegen(context, builder, signature, args):
        return _shuffle(builder, args[0], args[1], (2, 3, 6, 7))

    return _four(_four, _four), codegen


@intrinsic
def exchange(typingctx, a):
    """Return the last two numbers of ``a``, then its first two."""

    def codegen(context, builder, signature, args):
        return _shuffle(builder, args[0], args[0], (2, 3, 0, 1))

    return _four(_four), codegen


@intrinsic(prefer_literal=True)
def halves(typingctx, a, low, high):
    """Return a vector with number ``low`` in lanes 0 to 7 and ``high`` in the others.

    Both are constants from 0 to 3.
    """
    numbers = [n.literal_value for n in (low, high) if isinstance(n, types.IntegerLiteral)]
    if len(numbers) < 2 or not all(0 <= n < 4 for n in numbers):
        return None

    def codegen(context, builder, signature, args):
        lanes = [numbers[0]] * (LANES // 2) + [numbers[1]] * (LANES // 2)
        return _shuffle(builder, args[0], args[0], lanes)

    return vector(_four, low, high), codegen


# --- rows with two parts ------------------------------------------------------------------------


@intrinsic
def moved(typingctx, keep, keep_fast, a, step, step_fast, b):
    """Return the row ``keep * a + step * b``; the vectors that end in fast are of parts 1 on."""

    def codegen(context, builder, signature, args):
        first, others = (args[0], args[3]), (args[1], args[4])
        kind = signature.args[2]
        row = ir.Constant(ir.ArrayType(_VECTOR, kind.parts), ir.Undefined)
        pairs = zip(_parts(builder, kind, args[2]), _parts(builder, kind, args[5]), strict=True)
        for at, (x, y) in enumerate(pairs):
            factor, along = others if at else first
            part = _fma(builder, along, y, builder.fmul(factor, x))
            row = builder.insert_value(row, part, at)
        return row

    return a(vector, vector, a, vector, vector, a), codegen


@intrinsic
def dots(typingctx, x, y):
    """Return the dot product of two rows, by parts and whole.

    Returns
    -------
    two fours
        ``(slow, fast, slow, fast)``, and the whole product four times.

    Notes
    -----
    The fast sum is that of the whole rows less the slow one.
    """

    def codegen(context, builder, signature, args):
        both = _partial(builder, _parts(builder, x, args[0]), _parts(builder, y, args[1]))
        for even, odd in ((_PAIRS_EVEN, _PAIRS_ODD), ((0,) * 4 + (4,) * 4, (1,) * 4 + (5,) * 4)):
            both = builder.fadd(
                _shuffle(builder, both, both, even), _shuffle(builder, both, both, odd)
            )
        whole, slow = (_shuffle(builder, both, both, range(at, at + 4)) for at in (0, 4))
        parts = _shuffle(builder, slow, builder.fsub(whole, slow), (0, 4, 0, 4))
        return context.make_tuple(builder, signature.return_type, [parts, whole])

    return types.containers.UniTuple(_four, 2)(x, x), codegen


def _partial(builder, a, b):
    """Return eight lanes: four to be summed for the whole dot product, four for the slow part."""
    first = builder.fmul(a[0], b[0])
    lanes: list = [first, None]  # two sums, so that additions do not wait for each other
    for at in range(1, len(a)):
        old = lanes[at % 2]
        product = _fma(builder, a[at], b[at], old) if old else builder.fmul(a[at], b[at])
        lanes[at % 2] = product
    total = builder.fadd(*lanes) if lanes[1] else first
    low, high = range(8), range(8, 16)
    whole = builder.fadd(
        _shuffle(builder, total, total, low), _shuffle(builder, total, total, high)
    )
    slow = _shuffle(builder, first, first, low)
    near, far = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)
    return builder.fadd(_shuffle(builder, whole, slow, near), _shuffle(builder, whole, slow, far))

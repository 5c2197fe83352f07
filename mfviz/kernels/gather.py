"""Sixteen elements at a time from vectors and columns: what coordinate descent is made of.

The companions of :mod:`mfviz.kernels.simd` for one-dimensional arrays. A gather is written as
sixteen loads: a CPU's own instruction for it is slower where it was measured (by 1.7 times on Zen
4), and cannot fetch two or three neighbouring numbers for one index, as :func:`gather_two` and
:func:`gather_three` do at the price of little more than one.

Functions whose name ends in ``_rest`` treat ``count`` (1 to 15) lanes only; the others are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mfviz.kernels.simd import LANES, vector

__all__ = [
    "gather",
    "gather_column",
    "gather_rest",
    "gather_three",
    "gather_three_rest",
    "gather_two",
    "gather_two_rest",
    "load_run",
    "load_run_rest",
    "store_run",
    "store_run_rest",
]

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(_FLOAT, LANES)
_INDICES = ir.VectorType(_INT32, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)
_ZERO = ir.Constant(_INT64, 0)
_ALIGN = ir.Constant(_INT32, 4)


def _item(context: Any, builder: Any, kind: Any, value: Any, *index: Any) -> Any:
    array = context.make_array(kind)(context, builder, value)
    return cgutils.get_item_pointer(context, builder, kind, array, list(index), wraparound=False)


def _mask(builder: Any, count: Any) -> Any:
    """True in the first ``count`` (int64) lanes."""
    seed = ir.Constant(_INDICES, ir.Undefined)
    few = builder.insert_element(seed, builder.trunc(count, _INT32), ir.Constant(_INT32, 0))
    all_lanes = builder.shuffle_vector(few, few, ir.Constant(_INDICES, [0] * LANES))
    return builder.icmp_signed("<", ir.Constant(_INDICES, list(range(LANES))), all_lanes)


def _masked(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    """Call LLVM's ``masked.load`` or ``masked.store``; what is not loaded is 0."""
    kind = args[0].type if result is None else result
    suffix = "i32" if kind.element == _INT32 else "f32"
    signature = ir.FunctionType(result or ir.VoidType(), [arg.type for arg in args])
    name = f"llvm.masked.{name}.v{LANES}{suffix}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), args)


def _load_some(builder: Any, kind: Any, at: Any, count: Any) -> Any:
    nothing = ir.Constant(kind, [0] * LANES)
    return _masked(builder, "load", kind, [at, _ALIGN, _mask(builder, count), nothing])


def _places(
    context: Any, builder: Any, kind: Any, index: Any, first: Any, count: Any
) -> list[Any]:
    """Load sixteen indices one by one; from ``count`` on (None: there are all) they are 0."""
    at = _item(context, builder, kind, index, first)
    if count is not None:  # through memory, where they are read one by one most cheaply
        some = cgutils.alloca_once(builder, _INDICES)
        builder.store(_load_some(builder, _INDICES, at, count), some)
        at = builder.bitcast(some, _INT32.as_pointer())
    return [
        builder.zext(builder.load(builder.gep(at, [ir.Constant(_INT32, lane)])), _INT64)
        for lane in range(LANES)
    ]


def _joined(builder: Any, parts: list[Any]) -> Any:
    """Put vectors of equal length side by side."""
    while len(parts) > 1:
        size = 2 * parts[0].type.count
        order = ir.Constant(ir.VectorType(_INT32, size), list(range(size)))
        parts = [
            builder.shuffle_vector(low, high, order)
            for low, high in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def _pick(builder: Any, low: Any, high: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(low, high, ir.Constant(_INDICES, order))


def _ones(builder: Any, base: Any, places: list[Any]) -> list[Any]:
    """Load the float at each place of a vector."""
    found = ir.Constant(_FLOATS, ir.Undefined)
    for lane, place in enumerate(places):
        one = builder.load(builder.gep(base, [place]))
        found = builder.insert_element(found, one, ir.Constant(_INT32, lane))
    return [found]


def _twos(builder: Any, base: Any, places: list[Any]) -> list[Any]:
    """Load the two floats of each row as one number of 64 bits, and deal them out."""
    double = ir.DoubleType()
    rows, pairs = builder.bitcast(base, double.as_pointer()), []
    for lane in range(0, LANES, 2):
        pair = ir.Constant(ir.VectorType(double, 2), ir.Undefined)
        for half in range(2):
            at = builder.gep(rows, [places[lane + half]], source_etype=double)
            one = builder.load(at, align=4, typ=double)
            pair = builder.insert_element(pair, one, ir.Constant(_INT32, half))
        pairs.append(pair)
    low, high = (builder.bitcast(_joined(builder, few), _FLOATS) for few in (pairs[:4], pairs[4:]))
    return [_pick(builder, low, high, list(range(k, 2 * LANES, 2))) for k in range(2)]


def _threes(builder: Any, base: Any, places: list[Any]) -> list[Any]:
    """Load the four floats of each row at once and transpose the first three columns."""
    four = ir.VectorType(_FLOAT, 4)
    rows = builder.bitcast(base, four.as_pointer())
    loaded = [
        builder.load(builder.gep(rows, [place], source_etype=four), align=4, typ=four)
        for place in places
    ]
    # quarter q of a[k] is row 4 q + k, so that all further moves stay within quarters
    a = [_joined(builder, loaded[k::4]) for k in range(4)]

    def within(x: Any, y: Any, moves: list[int]) -> Any:
        order = [4 * q + m + (LANES - 4 if m > 3 else 0) for q in range(4) for m in moves]
        return _pick(builder, x, y, order)

    low, top = (within(a[k], a[k + 1], [0, 4, 1, 5]) for k in (0, 2))
    high, end = (within(a[k], a[k + 1], [2, 6, 3, 7]) for k in (0, 2))
    near, far = [0, 1, 4, 5], [2, 3, 6, 7]
    return [within(low, top, near), within(low, top, far), within(high, end, near)]


def _gathering(
    form: Callable[[Any, Any, list[Any]], list[Any]], result: Any
) -> Callable[..., Any]:
    """Return the code of a gather: arguments are array, index, first and perhaps the count."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds, count = signature.args, args[3] if len(args) > 3 else None
        base = _item(context, builder, kinds[0], args[0], *[_ZERO] * kinds[0].ndim)
        places = _places(context, builder, kinds[1], args[1], args[2], count)
        found = form(builder, base, places)
        if count is not None:
            there, nothing = _mask(builder, count), ir.Constant(_FLOATS, [0.0] * LANES)
            found = [builder.select(there, lanes, nothing) for lanes in found]
        return found[0] if result is vector else context.make_tuple(builder, result, found)

    return codegen


_TWO, _THREE = types.containers.UniTuple(vector, 2), types.containers.UniTuple(vector, 3)


@intrinsic
def load_run(typingctx, a, first):
    """Return lanes ``a[first : first + 16]`` of a float32 vector."""

    def codegen(context, builder, signature, args):
        at = _item(context, builder, signature.args[0], *args)
        return builder.load(builder.bitcast(at, _FLOATS.as_pointer()), align=4)

    return vector(a, types.intp), codegen


@intrinsic
def load_run_rest(typingctx, a, first, count):
    """Return lanes ``a[first : first + count]`` of a float32 vector."""

    def codegen(context, builder, signature, args):
        at = _item(context, builder, signature.args[0], *args[:2])
        return _load_some(builder, _FLOATS, at, args[2])

    return vector(a, types.intp, types.intp), codegen


@intrinsic
def store_run(typingctx, a, first, value):
    """Write a vector to ``a[first : first + 16]`` of a float32 vector."""

    def codegen(context, builder, signature, args):
        at = _item(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(at, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(a, types.intp, vector), codegen


@intrinsic
def store_run_rest(typingctx, a, first, value, count):
    """Write the first lanes of a vector to ``a[first : first + count]`` of a float32 vector."""

    def codegen(context, builder, signature, args):
        at = _item(context, builder, signature.args[0], *args[:2])
        _masked(builder, "store", None, [args[2], at, _ALIGN, _mask(builder, args[3])])
        return context.get_dummy_value()

    return types.void(a, types.intp, vector, types.intp), codegen


@intrinsic
def gather(typingctx, a, index, first):
    """Return ``a[index[first : first + 16]]`` of a float32 vector and an int32 one."""
    return vector(a, index, types.intp), _gathering(_ones, vector)


@intrinsic
def gather_rest(typingctx, a, index, first, count):
    """Return ``a[index[first : first + count]]`` of a float32 vector and an int32 one."""
    return vector(a, index, types.intp, types.intp), _gathering(_ones, vector)


@intrinsic
def gather_two(typingctx, A, index, first):
    """Return columns 0 and 1 of ``A[index[first : first + 16]]``, A being (rows, 2) float32."""
    return _TWO(A, index, types.intp), _gathering(_twos, _TWO)


@intrinsic
def gather_two_rest(typingctx, A, index, first, count):
    """Return columns 0 and 1 of ``A[index[first : first + count]]``, A being (rows, 2) float32."""
    return _TWO(A, index, types.intp, types.intp), _gathering(_twos, _TWO)


@intrinsic
def gather_three(typingctx, A, index, first):
    """Return columns 0 to 2 of ``A[index[first : first + 16]]``, A being (rows, 4) float32."""
    return _THREE(A, index, types.intp), _gathering(_threes, _THREE)


@intrinsic
def gather_three_rest(typingctx, A, index, first, count):
    """Return columns 0 to 2 of ``A[index[first : first + count]]``, A being (rows, 4) float32."""
    return _THREE(A, index, types.intp, types.intp), _gathering(_threes, _THREE)


@intrinsic
def gather_column(typingctx, A, col, index, first):
    """Return ``A[index[first : first + 16], col]`` of a float32 matrix in C-order."""

    def codegen(context, builder, signature, args):
        kinds = signature.args
        width = cgutils.unpack_tuple(
            builder, context.make_array(kinds[0])(context, builder, args[0]).shape, 2
        )[1]
        base = _item(context, builder, kinds[0], args[0], _ZERO, args[1])
        places = _places(context, builder, kinds[2], args[2], args[3], None)
        return _ones(builder, base, [builder.mul(place, width) for place in places])[0]

    return vector(A, types.intp, index, types.intp), codegen

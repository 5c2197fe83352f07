"""Arrays whose references are not counted: for functions that are called once a row or a rating.

Numba counts a reference when an array enters a function that calls others, and another one when a
row is taken from it. The count of an array is one number for all workers: a core that counts waits
until another one has given the number's cache line back. Mini-batches, which counted at every
rating, are 1.4 times as fast without it on real ml-1m, with one worker and with two.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["uncounted"]


def _without_count(context, builder, kind, value):
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = ir.Constant(array.meminfo.type, None)
        array.parent = ir.Constant(array.parent.type, None)
        return array._getvalue()
    if isinstance(kind, types.containers.BaseTuple):
        for at, each in enumerate(kind.types):
            part = _without_count(context, builder, each, builder.extract_value(value, at))
            value = builder.insert_value(value, part, at)
    return value


@intrinsic
def uncounted(typingctx, a):
    """Return an array, or a tuple with arrays in it, with the same memory and no count.

    It must not outlive ``a``; the arguments of a kernel live as long as its call.
    """

    def codegen(context, builder, signature, args):
        return _without_count(context, builder, signature.args[0], args[0])

    return a(a), codegen

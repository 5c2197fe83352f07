"""The CUDA target: the one module that imports ``numba.cuda``, and what all kernels are made with.

A kernel is a plain function that a maker returns for a width of a row; numbers of the maker's
scope are constants of the compiled code, so that a row can be kept in registers. Nothing is
compiled before the first launch, or before :func:`ptx` is asked for.

Each kernel has two forms. *Shuffle* sums over the lanes of a row with warp shuffles; *shared* does
it in shared memory, with one row a block. The simulator knows the second only; on a device the two
must agree.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda, types

__all__ = [
    "BLOCK", "KERNELS", "SIMULATED", "Kernel", "cuda", "dispatcher", "half_tools", "held_by_lane",
    "installed", "kernel", "lanes_of", "ptx", "row_sum", "row_tools", "types",
]  # fmt: skip

SIMULATED = bool(config.ENABLE_CUDASIM)
BLOCK = 128  # threads of a block in the shuffle form
WARP = 32

installed = importlib.util.find_spec("numba_cuda") is not None


@dataclass(frozen=True)
class Kernel:
    """A kernel before compilation.

    Attributes
    ----------
    name : str
        Unique; what a span of it is called is the solver's choice.
    make : callable
        ``make(width, shuffle)`` returns the function.
    signature : callable
        ``signature()`` returns the types of the arguments.
    widths : tuple of int
        Widths that are compiled ahead in tests, the narrowest and the widest among them.
    """

    name: str
    make: Callable[[int, bool], Callable[..., None]]
    signature: Callable[[], Any]
    widths: tuple[int, ...] = field(default=(8, 40, 128, 256))


KERNELS: dict[str, Kernel] = {}


def kernel(name: str, signature: Callable[[], Any], **more: Any) -> Callable[..., Any]:
    """Register the maker of a kernel.

    Parameters
    ----------
    name : str
    signature : callable
        Returns the types of the arguments.
    more
        Other fields of :class:`Kernel`.
    """

    def mark(make: Callable[[int, bool], Callable[..., None]]) -> Kernel:
        KERNELS[name] = Kernel(name, make, signature, **more)
        return KERNELS[name]

    return mark


@cache
def dispatcher(name: str, width: int, shuffle: bool) -> Any:
    """Return what can be launched as ``dispatcher(...)[blocks, threads, stream](*args)``.

    Parameters
    ----------
    name : str
        Of a registered kernel.
    width : int
        Columns of a row on the device.
    shuffle : bool
        The form; see the module.
    """
    return cuda.jit(KERNELS[name].make(width, shuffle))


def ptx(name: str, width: int, capability: tuple[int, int], *, shuffle: bool = True) -> str:
    """Compile a kernel for a compute capability; no driver is needed.

    Parameters
    ----------
    name : str
    width : int
    capability : (int, int)
        As (9, 0).
    shuffle : bool

    Returns
    -------
    str
        PTX, the assembly language of a virtual GPU.
    """
    found = KERNELS[name]
    text, _ = cuda.compile_ptx(found.make(width, shuffle), found.signature(), cc=capability)
    return str(text)


def lanes_of(width: int, each: int = 4) -> int:
    """Threads that share a row: as many as 16-byte loads make one row, a power of two up to 32.

    Parameters
    ----------
    width : int
    each : int
        Numbers of a load: 4 of single precision, 8 of half.
    """
    lanes = 2
    while lanes < WARP and each * lanes < width:
        lanes *= 2
    return lanes


if installed and not SIMULATED:
    from llvmlite import ir
    from numba.core import cgutils
    from numba.cuda.extending import intrinsic

    _FLOAT4 = ir.VectorType(ir.FloatType(), 4)
    _FLOAT8, _HALF8 = ir.VectorType(ir.FloatType(), 8), ir.VectorType(ir.HalfType(), 8)
    _INT32, _INT64 = ir.IntType(32), ir.IntType(64)

    def _pointer(
        context: Any, builder: Any, signature: Any, args: Any, kind: Any = _FLOAT4, size: int = 4
    ) -> Any:
        """Address of ``A[row, col]`` as that of a vector, of numbers of ``size`` bytes."""
        matrix = context.make_array(signature.args[0])(context, builder, args[0])
        stride = cgutils.unpack_tuple(builder, matrix.strides, 2)[0]
        inside = builder.mul(args[2], ir.Constant(_INT64, size))
        offset = builder.add(builder.mul(args[1], stride), inside)
        return cgutils.pointer_add(builder, matrix.data, offset, kind.as_pointer())

    @intrinsic
    def load4(typingctx: Any, A: Any, row: Any, col: Any) -> Any:
        """Load ``A[row, col:col + 4]`` of a float32 matrix in one instruction; col is 4 k."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            four = builder.load(_pointer(context, builder, signature, args), align=16)
            parts = [builder.extract_element(four, ir.Constant(_INT32, k)) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float32, 4)(A, types.int64, types.int64), codegen

    @intrinsic
    def store4(typingctx: Any, A: Any, row: Any, col: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        """Store four floats to ``A[row, col:col + 4]`` in one instruction; col is 4 k."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            four = ir.Constant(_FLOAT4, ir.Undefined)
            for k in range(4):
                four = builder.insert_element(four, args[3 + k], ir.Constant(_INT32, k))
            builder.store(four, _pointer(context, builder, signature, args), align=16)
            return context.get_dummy_value()

        return types.void(A, types.int64, types.int64, *[types.float32] * 4), codegen

    @intrinsic
    def load8(typingctx: Any, A: Any, row: Any, col: Any) -> Any:
        """Load ``A[row, col:col + 8]`` of a float16 matrix in one instruction; col is 8 k."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            at = _pointer(context, builder, signature, args, _HALF8, 2)
            wide = builder.fpext(builder.load(at, align=16), _FLOAT8)
            parts = [builder.extract_element(wide, ir.Constant(_INT32, k)) for k in range(8)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float32, 8)(A, types.int64, types.int64), codegen

    @intrinsic
    def store8(
        typingctx: Any, A: Any, row: Any, col: Any, a: Any, b: Any, c: Any, d: Any, e: Any,
        f: Any, g: Any, h: Any,
    ) -> Any:  # fmt: skip
        """Store eight numbers, rounded to float16, to ``A[row, col:col + 8]``; col is 8 k."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            wide = ir.Constant(_FLOAT8, ir.Undefined)
            for k in range(8):
                wide = builder.insert_element(wide, args[3 + k], ir.Constant(_INT32, k))
            at = _pointer(context, builder, signature, args, _HALF8, 2)
            builder.store(builder.fptrunc(wide, _HALF8), at, align=16)
            return context.get_dummy_value()

        return types.void(A, types.int64, types.int64, *[types.float32] * 8), codegen

    def inlined(function: Callable[..., Any]) -> Any:
        """Let kernels call a function; it is compiled into them."""
        return cuda.jit(device=True, inline="always")(function)

else:

    def inlined(function: Callable[..., Any]) -> Any:
        """Let kernels call a function; nothing is compiled here."""
        return function

    def load4(A: Any, row: Any, col: Any) -> Any:
        """Return ``A[row, col:col + 4]``; the simulator's form."""
        return A[row, col], A[row, col + 1], A[row, col + 2], A[row, col + 3]

    def store4(A: Any, row: Any, col: Any, a: Any, b: Any, c: Any, d: Any) -> None:
        """Write ``A[row, col:col + 4]``; the simulator's form."""
        A[row, col], A[row, col + 1], A[row, col + 2], A[row, col + 3] = a, b, c, d

    def load8(A: Any, row: Any, col: Any) -> Any:
        """Return ``A[row, col:col + 8]`` in float32; the simulator's form."""
        return [np.float32(A[row, col + k]) for k in range(8)]

    def store8(A: Any, row: Any, col: Any, *numbers: Any) -> None:
        """Write eight numbers, rounded to float16; the simulator's form."""
        for k in range(8):
            A[row, col + k] = np.float16(numbers[k])


def row_tools(width: int) -> tuple[Any, Any]:
    """Return the device functions that load and store a row that is spread over its lanes.

    Parameters
    ----------
    width : int

    Returns
    -------
    load, store : callable
        ``load(A, row, lane, x)`` fills the lane's part x, 4 floats a load, with zeros beyond the
        row's end; ``store(A, row, lane, x)`` writes it.
    """
    lanes = np.int64(lanes_of(width))
    loads = held_by_lane(width) // 4
    full = 4 * loads * lanes_of(width) == width

    def load(A, row, lane, x):
        for v in range(loads):
            c = 4 * (lane + v * lanes)
            if full or c < width:
                x[4 * v], x[4 * v + 1], x[4 * v + 2], x[4 * v + 3] = load4(A, row, c)
            else:
                for k in range(4):
                    x[4 * v + k] = np.float32(0.0)

    def store(A, row, lane, x):
        for v in range(loads):
            c = 4 * (lane + v * lanes)
            if full or c < width:
                store4(A, row, c, x[4 * v], x[4 * v + 1], x[4 * v + 2], x[4 * v + 3])

    return inlined(load), inlined(store)


def half_tools(width: int) -> tuple[Any, Any]:
    """Return the device functions that load and store a row of halves; see :func:`row_tools`.

    Parameters
    ----------
    width : int

    Returns
    -------
    load, store : callable
        As of :func:`row_tools`, 8 numbers a load, in float32 between the two.
    """
    lanes = np.int64(lanes_of(width, 8))
    loads = held_by_lane(width, 8) // 8
    full = 8 * loads * lanes_of(width, 8) == width

    def load(A, row, lane, x):
        for v in range(loads):
            c = 8 * (lane + v * lanes)
            if full or c < width:
                eight = load8(A, row, c)
                for k in range(8):
                    x[8 * v + k] = eight[k]
            else:
                for k in range(8):
                    x[8 * v + k] = np.float32(0.0)

    def store(A, row, lane, x):
        for v in range(loads):
            c, b = 8 * (lane + v * lanes), 8 * v
            if full or c < width:
                store8(
                    A, row, c, x[b], x[b + 1], x[b + 2], x[b + 3], x[b + 4], x[b + 5], x[b + 6],
                    x[b + 7],
                )  # fmt: skip

    return inlined(load), inlined(store)


def held_by_lane(width: int, each: int = 4) -> int:
    """Numbers of a row that each of its lanes holds, a multiple of those of a load."""
    return each * -(-width // (each * lanes_of(width, each)))


def row_sum(width: int, shuffle: bool, each: int = 4) -> Any:
    """Return the device function that sums a number over the lanes of a row.

    Parameters
    ----------
    width : int
    shuffle : bool
    each : int
        As for :func:`lanes_of`.

    Returns
    -------
    callable
        ``total(value, lane, buffer)``: every lane gets the sum, all in the same order.
    """
    lanes = np.int64(lanes_of(width, each))
    half = np.int64(lanes // 2)

    def by_shuffles(value, lane, buffer):
        group = cuda.laneid - np.int32(lane)
        mask = np.uint32(((np.int64(1) << lanes) - np.int64(1)) << np.int64(group))
        offset = half
        while offset > 0:
            value += cuda.shfl_xor_sync(mask, value, offset)
            offset //= 2
        return value

    def in_shared(value, lane, buffer):
        offset = half
        while offset > 0:
            buffer[lane] = value
            cuda.syncthreads()
            value += buffer[lane ^ offset]
            cuda.syncthreads()
            offset //= 2
        return value

    def simulated(value, lane, buffer):
        offset = half
        while offset > 0:
            buffer[lane] = value
            threading.current_thread().syncthreads()  # type: ignore[attr-defined]
            value += buffer[lane ^ offset]
            threading.current_thread().syncthreads()  # type: ignore[attr-defined]
            offset //= 2
        return value

    if SIMULATED:
        # Not a device function: the simulator swaps their module's ``cuda`` at each call, and
        # threads that come back from one swap it away from those that are still in it.
        return simulated
    return inlined(by_shuffles if shuffle else in_shared)

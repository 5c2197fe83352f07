"""Rows that are spread over lanes: loads and stores of 16 bytes, sums over lanes and blocks.

The lanes of a row hold it in registers, as many numbers a lane as its loads bring: 4 of single
precision or 8 of half, which are float32 once they are loaded.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from mfviz.kernels.cuda.target import SIMULATED, WARP, cuda, inlined, installed, intrinsic, types

__all__ = [
    "RUN", "block_sum", "held_by_lane", "lane_sum", "lanes_of", "load_run", "meet", "row_sum",
    "row_tools", "store_run",
]  # fmt: skip

RUN = 16  # bytes of a load


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


def held_by_lane(width: int, each: int = 4) -> int:
    """Numbers of a row that each of its lanes holds, a multiple of those of a load."""
    return each * -(-width // (each * lanes_of(width, each)))


if installed and not SIMULATED:
    from llvmlite import ir
    from numba.core import cgutils

    _INT32, _INT64 = ir.IntType(32), ir.IntType(64)
    _KINDS = {32: ir.FloatType(), 16: ir.HalfType()}
    _WORDS = ir.VectorType(
        _INT32, RUN // 4
    )  # a vector of eight halves would be cut into four loads

    def _run_of(context: Any, builder: Any, matrix: Any, at: Any) -> tuple[Any, Any]:
        """Address of the vector of 16 bytes at ``A[row, col]``, and of such numbers as float32."""
        bits = matrix.dtype.bitwidth
        count = 8 * RUN // bits
        array = context.make_array(matrix)(context, builder, at[0])
        stride = cgutils.unpack_tuple(builder, array.strides, 2)[0]
        inside = builder.mul(at[2], ir.Constant(_INT64, bits // 8))
        offset = builder.add(builder.mul(at[1], stride), inside)
        kind = ir.VectorType(_KINDS[bits], count)
        address = cgutils.pointer_add(builder, array.data, offset, kind.as_pointer())
        return address, ir.VectorType(ir.FloatType(), count)

    def _places(context: Any, builder: Any, held: Any, x: Any, at: Any, count: int) -> Any:
        """Addresses of ``count`` numbers of a lane's part, from number ``at`` on."""
        data = context.make_array(held)(context, builder, x).data
        return [builder.gep(data, [builder.add(at, ir.Constant(_INT64, k))]) for k in range(count)]

    @intrinsic
    def load_run(typingctx: Any, A: Any, row: Any, col: Any, x: Any, at: Any) -> Any:
        """Load 16 bytes of ``A`` from ``A[row, col]`` on into ``x[at:]``, in one instruction.

        ``A`` is of float32 or float16 and ``col`` a multiple of 16 bytes.
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            address, floats = _run_of(context, builder, signature.args[0], args[:3])
            words = builder.load(builder.bitcast(address, _WORDS.as_pointer()), align=RUN)
            kind = address.type.pointee.element
            part = ir.VectorType(kind, floats.count // _WORDS.count)
            places = _places(context, builder, signature.args[3], args[3], args[4], floats.count)
            for k, place in enumerate(places):
                word = builder.extract_element(words, ir.Constant(_INT32, k // part.count))
                inside = ir.Constant(_INT32, k % part.count)
                found = builder.extract_element(builder.bitcast(word, part), inside)
                if kind != floats.element:
                    found = builder.fpext(found, floats.element)
                builder.store(found, place)
            return context.get_dummy_value()

        return types.void(A, types.int64, types.int64, x, types.int64), codegen

    @intrinsic
    def store_run(typingctx: Any, A: Any, row: Any, col: Any, x: Any, at: Any) -> Any:
        """Store ``x[at:]`` to 16 bytes of ``A`` from ``A[row, col]`` on; see :func:`load_run`."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            address, floats = _run_of(context, builder, signature.args[0], args[:3])
            places = _places(context, builder, signature.args[3], args[3], args[4], floats.count)
            run = ir.Constant(floats, ir.Undefined)
            for k, place in enumerate(places):
                run = builder.insert_element(run, builder.load(place), ir.Constant(_INT32, k))
            if address.type.pointee != floats:
                run = builder.fptrunc(run, address.type.pointee)
            builder.store(run, address, align=RUN)
            return context.get_dummy_value()

        return types.void(A, types.int64, types.int64, x, types.int64), codegen

else:

    def load_run(A: Any, row: Any, col: Any, x: Any, at: Any) -> None:
        """Load 16 bytes of ``A`` into ``x[at:]``; the simulator's form."""
        each = RUN // A.dtype.itemsize
        x[at : at + each] = A[row, col : col + each]

    def store_run(A: Any, row: Any, col: Any, x: Any, at: Any) -> None:
        """Store ``x[at:]`` to 16 bytes of ``A``; the simulator's form."""
        each = RUN // A.dtype.itemsize
        A[row, col : col + each] = x[at : at + each]


if SIMULATED:

    def meet() -> None:
        """Wait for the other threads of the block, in a function too.

        The simulator swaps the ``cuda`` of a device function's module at each call, and threads
        that come back from one swap it away from those that are still in it.
        """
        threading.current_thread().syncthreads()  # type: ignore[attr-defined]

else:

    @inlined
    def meet() -> None:
        """Wait for the other threads of the block."""
        cuda.syncthreads()


def row_tools(width: int, each: int = 4) -> tuple[Any, Any]:
    """Return the device functions that load and store a row that is spread over its lanes.

    Parameters
    ----------
    width : int
    each : int
        Numbers of a load: 4 where the matrix is of single precision, 8 where it is of half.

    Returns
    -------
    load, store : callable
        ``load(A, row, lane, x)`` fills the lane's part x, with zeros beyond the row's end;
        ``store(A, row, lane, x)`` writes it.
    """
    lanes = np.int64(lanes_of(width, each))
    loads = held_by_lane(width, each) // each
    full = each * loads * lanes_of(width, each) == width

    def load(A, row, lane, x):
        for v in range(loads):
            c = each * (lane + v * lanes)
            if full or c < width:
                load_run(A, row, c, x, each * v)
            else:
                for k in range(each):
                    x[each * v + k] = np.float32(0.0)

    def store(A, row, lane, x):
        for v in range(loads):
            c = each * (lane + v * lanes)
            if full or c < width:
                store_run(A, row, c, x, each * v)

    return inlined(load), inlined(store)


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
    return lane_sum(lanes_of(width, each), shuffle)


def lane_sum(count: int, shuffle: bool) -> Any:
    """Return the device function that sums a number over so many lanes; see :func:`row_sum`.

    Parameters
    ----------
    count : int
        A power of two up to 32.
    shuffle : bool
    """
    lanes, half = np.int64(count), np.int64(count // 2)

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
            meet()
            value += buffer[lane ^ offset]
            meet()
            offset //= 2
        return value

    return inlined(by_shuffles if shuffle else in_shared)


def block_sum(threads: int, shuffle: bool) -> Any:
    """Return the device function that sums a number over all threads of a block.

    Parameters
    ----------
    threads : int
        Of a block; whole warps in the shuffle form.
    shuffle : bool

    Returns
    -------
    callable
        ``total(value, thread, buffer)``: every thread gets the sum, all in the same order.
        ``buffer`` is shared and has room for ``threads`` numbers; what was written to shared
        memory before is there for all threads afterwards.
    """
    warps, every = threads // WARP, np.uint32(0xFFFFFFFF)

    def by_shuffles(value, thread, buffer):
        offset = WARP // 2
        while offset > 0:
            value += cuda.shfl_xor_sync(every, value, offset)
            offset //= 2
        meet()  # the sum before this one has been read by all
        if thread % WARP == 0:
            buffer[thread // WARP] = value
        meet()
        value = np.float32(0.0)
        for w in range(warps):
            value += buffer[w]
        return value

    def in_shared(value, thread, buffer):
        meet()
        buffer[thread] = value
        meet()
        value = np.float32(0.0)
        for k in range(threads):
            value += buffer[k]
        return value

    return inlined(by_shuffles if shuffle else in_shared)

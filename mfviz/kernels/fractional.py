"""Steps of fractional order that slow down where errors were large: what FAMPSGD adds to a visit.

``x`` takes its step times ``1 + share |x|^(1 - nu)`` element by element, and the rate of a rating
is divided by the root of the squared errors that it has shown so far. With plain rates
(:class:`mfviz.kernels.sgd.Rates`) a step is that of SGD.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from mfviz.kernels import simd
from mfviz.kernels.compiling import PART

__all__ = ["NEAR_ZERO", "Fractional", "take_step"]

NEAR_ZERO = 1e-8  # added to |x|, whose power has no derivative at 0
_VECTOR = ir.VectorType(ir.FloatType(), simd.LANES)


class Fractional(NamedTuple):
    """Rates of a visit, as :class:`mfviz.kernels.sgd.Rates`, and what is added to them.

    Attributes
    ----------
    mu, lr, lam, lr_bias, lam_bias : float32
    biased : bool
    share : float32
        Kappa over the gamma function of ``2 - nu``; 0: plain steps.
    quarters : int
        ``4 (1 - nu)``, from 0 to 3: powers of which two square roots are enough.
    offset : float32
        What squared errors are added to.
    adaptive : bool
        Whether rates are divided by errors at all.
    sums : (nnz,) float32
        Squared errors of each rating so far, updated in place.
    """

    mu: np.float32
    lr: np.float32
    lam: np.float32
    lr_bias: np.float32
    lam_bias: np.float32
    biased: bool
    share: np.float32
    quarters: int
    offset: np.float32
    adaptive: bool
    sums: np.ndarray


def _unary(name):
    def make(typingctx, a):
        def codegen(context, builder, signature, args):
            kind = ir.FunctionType(_VECTOR, [_VECTOR])
            return builder.call(
                cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v16f32"), args
            )

        return simd.vector(simd.vector), codegen

    return intrinsic(make)


_root, _size = _unary("sqrt"), _unary("fabs")


def take_step(X, x, Y, y, t, e, rates):
    """Update row ``x`` of X by the error of a rating.

    Parameters
    ----------
    X, Y : (rows, f), (cols, f) float32, C-order, f a multiple of 16
    x, y : int
    t : int
        The rating.
    e : float32
    rates : mfviz.kernels.sgd.Rates or Fractional
    """
    raise NotImplementedError("for compiled code only")


@overload(take_step, jit_options=PART, inline="always")
def _take_step(X, x, Y, y, t, e, rates):
    fractional = isinstance(rates, types.NamedTuple) and "sums" in rates.fields
    return _fractional_step if fractional else _plain_step


def _plain_step(X, x, Y, y, t, e, rates):
    keep = simd.splat(np.float32(1.0) - rates.lr * rates.lam)
    step = simd.splat(rates.lr * e)
    for k in range(0, X.shape[1], simd.LANES):
        new = simd.fma(step, simd.load(Y, y, k), simd.mul(keep, simd.load(X, x, k)))
        simd.store(X, x, k, new)


def _fractional_step(X, x, Y, y, t, e, rates):
    one, slow = simd.splat(np.float32(1.0)), np.float32(1.0)
    if rates.adaptive:
        slow = np.float32(1.0) / np.sqrt(rates.offset + rates.sums[t])
        rates.sums[t] += e * e
    step, shrink = simd.splat(rates.lr * slow * e), simd.splat(rates.lr * slow * rates.lam)
    for k in range(0, X.shape[1], simd.LANES):
        old, power = simd.load(X, x, k), one
        half = _root(simd.add(_size(old), simd.splat(np.float32(NEAR_ZERO))))
        if rates.quarters == 1:
            power = _root(half)
        elif rates.quarters == 2:
            power = half
        elif rates.quarters == 3:
            power = simd.mul(half, _root(half))
        times = simd.fma(simd.splat(rates.share), power, one)
        keep = simd.sub(one, simd.mul(shrink, times))
        new = simd.fma(simd.mul(step, times), simd.load(Y, y, k), simd.mul(keep, old))
        simd.store(X, x, k, new)

"""LIBMF through its C API: the structures of ``mf.h`` (version 2.01) and what a benchmark calls.

The library is built by the user from its public source (github.com/cjlin1/libmf), with the AVX
option of its Makefile: nothing else stands for LIBMF's speed. Prebuilt wrappers are several times
slower, and the one on PyPI passes another structure than the library expects.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.data.ratings import Ratings
from mfviz.errors import MfvizError

__all__ = ["NODE", "LibMF", "nodes"]

NODE = np.dtype([("u", np.int32), ("v", np.int32), ("r", np.float32)])
VARIABLE = "LIBMF_SO"


class _Problem(ctypes.Structure):
    _fields_ = [
        ("m", ctypes.c_int),
        ("n", ctypes.c_int),
        ("nnz", ctypes.c_longlong),
        ("R", ctypes.c_void_p),
    ]


class _Parameter(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("fun", "k", "nr_threads", "nr_bins", "nr_iters")),
        *((f"lambda_{name}", ctypes.c_float) for name in ("p1", "p2", "q1", "q2")),
        *((name, ctypes.c_float) for name in ("eta", "alpha", "c")),
        *((name, ctypes.c_bool) for name in ("do_nmf", "quiet", "copy_data")),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("fun", "m", "n", "k")),
        ("b", ctypes.c_float),
        ("P", ctypes.POINTER(ctypes.c_float)),
        ("Q", ctypes.POINTER(ctypes.c_float)),
    ]


@dataclass(frozen=True)
class Trained:
    """LIBMF's model: factors in the user's units, NaN rows where a user or item had no rating."""

    P: npt.NDArray[np.float32]
    Q: npt.NDArray[np.float32]
    b: float

    def predict(self, u: npt.NDArray[np.int32], i: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """Predict as LIBMF does: its mean where a side is not known."""
        dots = np.einsum("ij,ij->i", self.P[u].astype(np.float64), self.Q[i].astype(np.float64))
        return np.where(np.isnan(dots), self.b, dots)


class LibMF:
    """The loaded library.

    Parameters
    ----------
    path : str or Path, optional
        Shared library; by default the one that the environment variable LIBMF_SO names.

    Raises
    ------
    MfvizError
        If there is none, or if it is no LIBMF.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        wanted = str(path or os.environ.get(VARIABLE, ""))
        if not wanted:
            raise MfvizError(f"give --libmf PATH or set {VARIABLE} to libmf.so, built with AVX.")
        self._library = _open(wanted)
        try:
            self._default = self._library.mf_get_default_param
            self._train, self._destroy = self._library.mf_train, self._library.mf_destroy_model
        except AttributeError:
            raise MfvizError(f"{wanted} is no LIBMF: it has no mf_train.") from None
        self._default.restype = _Parameter
        self._train.argtypes = [ctypes.POINTER(_Problem), _Parameter]
        self._train.restype = ctypes.POINTER(_Model)
        self._destroy.argtypes = [ctypes.POINTER(ctypes.POINTER(_Model))]

    def train(
        self,
        records: npt.NDArray[np.void],
        shape: tuple[int, int],
        *,
        rank: int,
        threads: int,
        iterations: int,
        lam: float,
        eta: float,
    ) -> Trained:
        """Train from scratch.

        Parameters
        ----------
        records : (nnz,) NODE
        shape : (int, int)
            Numbers of users and items.
        rank, threads, iterations : int
        lam, eta : float
            L2 regularisation of both sides, and initial learning rate.

        Raises
        ------
        MfvizError
            If LIBMF refuses.
        """
        m, n = shape
        settings = self._default()
        settings.k, settings.nr_threads, settings.nr_iters = rank, threads, iterations
        settings.lambda_p2 = settings.lambda_q2 = lam
        settings.eta, settings.quiet = eta, True
        settings.nr_bins = max(settings.nr_bins, 2 * threads + 1)
        problem = _Problem(m, n, len(records), records.ctypes.data)
        model = self._train(ctypes.byref(problem), settings)
        if not model:
            raise MfvizError("LIBMF refused to train; its own message is above.")
        try:
            found = model.contents
            P = np.ctypeslib.as_array(found.P, (m, found.k)).copy()
            Q = np.ctypeslib.as_array(found.Q, (n, found.k)).copy()
            return Trained(P, Q, float(found.b))
        finally:
            self._destroy(ctypes.byref(model))


def nodes(ratings: Ratings) -> npt.NDArray[np.void]:
    """Return ratings as LIBMF's records."""
    records = np.empty(ratings.nnz, dtype=NODE)
    records["u"], records["v"], records["r"] = ratings.u, ratings.i, ratings.r
    return records


def _open(path: str) -> ctypes.CDLL:
    """Load the library; LIBMF's Makefile does not link it with OpenMP, which it needs."""
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        if "omp_" not in str(error) and "GOMP" not in str(error):
            raise MfvizError(f"cannot load LIBMF: {error}") from None
    try:
        ctypes.CDLL("libgomp.so.1", mode=ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(path)
    except OSError as error:
        raise MfvizError(f"cannot load LIBMF with OpenMP (libgomp): {error}") from None

"""A sample of ratings that stays on the host, to see how far a residual on a device is off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.solvers.base import Context, Factors
from mfviz.solvers.sides import USERS, Side
from mfviz.telemetry.memory import MemoryPart

__all__ = ["Sample", "sample_part"]

MOST = 1 << 16  # ratings of a sample
RUN = 1 << 10  # of them lie side by side, to be copied at once
NAME = "sample of ratings"


class Sample:
    """Runs of ratings of a side, evenly spread over it; all of them where they are few.

    Parameters
    ----------
    context : Context
        Its ledger takes the sample.
    side : Side
        With its ratings, not yet a residual.

    Attributes
    ----------
    whole : bool
        Whether all ratings are in it.
    """

    def __init__(self, context: Context, side: Side) -> None:
        nnz = len(side.r)
        self.whole = nnz <= MOST
        firsts = np.linspace(0, nnz - RUN, MOST // RUN, dtype=np.int64)
        self._runs = [(0, nnz)] if self.whole else [(int(k), int(k) + RUN) for k in firsts]
        at = np.concatenate([np.arange(*run) for run in self._runs])
        name = f"{NAME} of {('users', 'items')[side.tag]}"
        kept = context.ledger.empty(name, (3, len(at)), np.int32)
        rows = np.searchsorted(side.indptr, at, side="right") - 1
        kept[0], kept[1] = (rows, side.index[at]) if side.tag == USERS else (side.index[at], rows)
        kept[2] = side.r[at].view(np.int32)
        self._kept: npt.NDArray[np.int32] = kept

    def drift(
        self, factors: Factors, pending: int, R: Any, download: Callable[[Any, Any], None]
    ) -> float:
        """Return the largest distance of the residual from what the model leaves.

        Parameters
        ----------
        factors : Factors
            As they are on the device now.
        pending : int
            Feature that is still to be taken off the residual; -1: none.
        R : device array
            The side's residual.
        download : callable
            ``download(target, source)`` copies to the host.
        """
        u, i = self._kept[0], self._kept[1]
        found = np.empty(len(u), dtype=np.float32)
        first = 0
        for low, high in self._runs:
            download(found[first : first + high - low], R[low:high])
            first += high - low
        off = found.astype(np.float64)
        if pending >= 0:
            off -= factors.P[u, pending].astype(np.float64) * factors.Q[i, pending]
        wanted = self._kept[2].view(np.float32) - factors.predict(u, i)
        return float(np.abs(off - wanted).max())


def sample_part(nnz: int) -> MemoryPart:
    """Memory of the samples of both sides."""
    size = 24 * min(nnz, MOST)
    return MemoryPart(NAME, "workspace", "host", f"24 min(N, {MOST})", size)

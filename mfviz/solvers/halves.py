"""A model in half precision, on the CPU or on a device: what the forms of cuMF_SGD train."""

from __future__ import annotations

import numpy as np

from mfviz.kernels.cuda.rows import width_of
from mfviz.solvers.base import Context, Factors
from mfviz.telemetry.memory import MemoryPart

__all__ = ["DeviceHalves", "HostHalves", "half_parts"]


class HostHalves:
    """P and Q as float16 by bits; the context's ``refresh`` makes float32 of them.

    Parameters
    ----------
    context : Context
        Its ledger takes the arrays and its ``refresh`` is set.
    factors : Factors
        Rounded as they are now.

    Attributes
    ----------
    sides : list of (rows, f) uint16
        P and Q.
    """

    def __init__(self, context: Context, factors: Factors) -> None:
        self.factors = factors
        self.sides = []
        for name, A in (("P", factors.P), ("Q", factors.Q)):
            halves = context.ledger.empty(f"{name} in halves", A.shape, np.uint16, part=name)
            halves.view(np.float16)[:] = A
            self.sides.append(halves)
        context.refresh = self.refresh
        self.refresh()

    def refresh(self) -> None:
        """Bring the model up to date."""
        for A, halves in zip((self.factors.P, self.factors.Q), self.sides, strict=True):
            A[:] = halves.view(np.float16)


class DeviceHalves:
    """P and Q in float16 on a device; the context's ``refresh`` brings them back.

    Parameters
    ----------
    context : Context
        With a device; its ``refresh`` is set.
    factors : Factors
        Rounded as they are now.
    width : int
        Columns on the device.

    Attributes
    ----------
    sides : list of device arrays
        P and Q, (rows, width) float16.
    """

    def __init__(self, context: Context, factors: Factors, width: int) -> None:
        assert context.device is not None
        self.device, self.factors, self.width = context.device, factors, width
        self.sides = [
            self.device.send(f"{name} in halves", A[:, :width].astype(np.float16), part=name)
            for name, A in (("P", factors.P), ("Q", factors.Q))
        ]
        context.refresh = self.refresh
        self.refresh()

    def refresh(self) -> None:
        """Copy the model to the host; from a device that has failed nothing comes."""
        if self.device.lost:
            return
        for A, halves in zip((self.factors.P, self.factors.Q), self.sides, strict=True):
            found = np.empty((len(A), self.width), dtype=np.float16)
            self.device.driver.download(found, halves)
            A[:, : self.width] = found


def half_parts(n_users: int, n_items: int, rank: int, backend: str) -> list[MemoryPart]:
    """Memory of the model in halves; f is the rank, padded to 16 on the host, 8 on a device."""
    f, where = (Factors.width(rank), "host") if backend == "cpu" else (width_of(rank), "device")
    return [
        MemoryPart("P in halves", "P", where, "2 f m", 2 * f * n_users),
        MemoryPart("Q in halves", "Q", where, "2 f n", 2 * f * n_items),
    ]

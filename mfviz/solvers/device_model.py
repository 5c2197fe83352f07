"""A model, and ratings grouped by row, on a device: what CUDA forms have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.device import Device
from mfviz.solvers.base import Context, Factors
from mfviz.solvers.sides import ITEMS, USERS, Side
from mfviz.telemetry.memory import MemoryPart

__all__ = ["DeviceModel", "DeviceSide", "device_side_parts", "model_parts", "send_side"]

BY = ("ratings by user", "ratings by item")


class DeviceModel:
    """P, Q and the biases on a device; the context's ``refresh`` brings them back.

    Parameters
    ----------
    context : Context
        With a device; its ``refresh`` is set.
    factors : Factors
        Sent as they are now.
    width : int
        Columns on the device, from the rank to the columns of the factors.

    Attributes
    ----------
    X : list
        P and Q, by side.
    biases : list
        Those of users and items, by side; empty where there are none.
    """

    def __init__(self, context: Context, factors: Factors, width: int) -> None:
        assert context.device is not None
        self.device: Device = context.device
        self.factors, self.width = factors, width
        self.X = [
            self.device.send(name, np.ascontiguousarray(A[:, :width]), part=name)
            for name, A in (("P", factors.P), ("Q", factors.Q))
        ]
        sides = (("user biases", factors.bu, "P"), ("item biases", factors.bi, "Q"))
        self.biases = [
            self.device.send(name, b, part=part) for name, b, part in sides if factors.biased
        ]
        context.refresh = self.refresh

    def refresh(self) -> None:
        """Copy the model to the host; from a device that has failed nothing comes."""
        if self.device.lost:
            return
        factors, download = self.factors, self.device.driver.download
        for A, X in ((factors.P, self.X[USERS]), (factors.Q, self.X[ITEMS])):
            if A.shape[1] == self.width:
                download(A, X)
            else:
                narrow = np.empty((len(A), self.width), dtype=np.float32)
                download(narrow, X)
                A[:, : self.width] = narrow
        if factors.biased:
            download(factors.bu, self.biases[USERS])
            download(factors.bi, self.biases[ITEMS])


def model_parts(n_users: int, n_items: int, width: int, *, biased: bool) -> list[MemoryPart]:
    """Memory of a :class:`DeviceModel` on the device."""
    place, f = "device", width
    parts = [
        MemoryPart("P", "P", place, "4 f m", 4 * f * n_users),
        MemoryPart("Q", "Q", place, "4 f n", 4 * f * n_items),
    ]
    if biased:
        parts += [
            MemoryPart("user biases", "P", place, "4 m", 4 * n_users),
            MemoryPart("item biases", "Q", place, "4 n", 4 * n_items),
        ]
    return parts


@dataclass(frozen=True)
class DeviceSide:
    """Ratings by row of one side on a device.

    Attributes
    ----------
    tag : int
        ``USERS`` or ``ITEMS``.
    places : (rows + 1,) int64
        Of each row's first rating, on the host.
    indptr, index, r : device arrays
        As in :class:`~mfviz.solvers.sides.Side`.
    """

    tag: int
    places: npt.NDArray[np.int64]
    indptr: Any
    index: Any
    r: Any

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.places) - 1


def send_side(context: Context, side: Side) -> DeviceSide:
    """Move the ratings of a side to the device; the places of its rows stay on the host too."""
    device, part = context.device, BY[side.tag]
    assert device is not None
    sent = []
    for name, array in (("rows", side.indptr), ("index", side.index), ("values", side.r)):
        sent.append(device.send(f"{part}: {name}", array, part=part))
        if name != "rows":
            context.ledger.free(f"{part}: {name}")
    return DeviceSide(side.tag, side.indptr, *sent)


def device_side_parts(n_users: int, n_items: int, nnz: int) -> list[MemoryPart]:
    """Memory of both sides on the device, and of the places of their rows on the host."""
    parts = []
    for part, rows, letter in ((BY[USERS], n_users, "m"), (BY[ITEMS], n_items, "n")):
        places = 8 * (rows + 1)
        parts += [
            MemoryPart(part, part, "device", f"8 N + 8 ({letter} + 1)", 8 * nnz + places),
            MemoryPart(f"{part}: rows", part, "host", f"8 ({letter} + 1)", places),
        ]
    return parts

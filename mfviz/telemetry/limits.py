"""What a device gives at most, as a run told it: so that a recorded run can be judged anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mfviz.telemetry.events import Measured

__all__ = ["BANDWIDTH", "bandwidth"]

BANDWIDTH = "memory bandwidth"  # of the device, in GB/s, by a triad before the run


def bandwidth(measured: Iterable[Measured]) -> float:
    """Bytes a second of the device's memory; NaN if the run did not measure it.

    Parameters
    ----------
    measured : iterable of Measured
    """
    found = (1e9 * each.value for each in measured if each.name == BANDWIDTH)
    return next(found, math.nan)

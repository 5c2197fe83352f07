"""What a run logs of its device: memory as it is sampled, and the time of each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mfviz.backends.device import Device
from mfviz.experiments.bandwidth import limit_with_room
from mfviz.telemetry.agreement import LARGEST, MEDIAN, OPERATIONS
from mfviz.telemetry.events import Measured, MemorySampled
from mfviz.telemetry.limits import BANDWIDTH
from mfviz.telemetry.log import EventLog
from mfviz.telemetry.sampler import DeviceSampler

__all__ = ["DEVICE_TIME", "log_bandwidth", "log_epoch", "sampling"]

DEVICE_TIME = "device time"  # of an epoch, in seconds: name of what is measured


def sampling(log: EventLog, device: Device | None) -> AbstractContextManager[Any]:
    """What samples the memory of a device while it is entered; the simulator has none."""
    if device is None or not device.driver.memory()[1]:
        return nullcontext()
    return DeviceSampler(log, device.driver.uuid, device.driver.memory)


def log_bandwidth(log: EventLog, room: int) -> None:
    """Log what the memory of the device gives, once a process, if a run leaves it that room."""
    limit = limit_with_room(room)
    if math.isfinite(limit):
        log.append(Measured, epoch=0, name=BANDWIDTH, value=limit / 1e9, unit="GB/s")


def log_epoch(log: EventLog, device: Device, epoch: int, lanes: Sequence[str]) -> None:
    """Log the memory in use at the end of an epoch, and how long the device had to do with it.

    With a recorder also how far its records are from the events, on each of the ``lanes``.
    """
    free, total = device.driver.memory()
    log.append(MemorySampled, place=device.place, used_bytes=total - free, total_bytes=total)
    spent, device.elapsed_ns = device.elapsed_ns, 0
    if epoch:
        log.append(Measured, epoch=epoch, name=DEVICE_TIME, value=spent / 1e9, unit="s")
    for found in device.recorder.told() if device.recorder is not None else ():
        lane = lanes[found.stream]
        for name, value, unit in (
            (OPERATIONS, found.operations, ""),
            (MEDIAN, found.median_ns / 1e3, "us"),
            (LARGEST, found.largest_ns / 1e3, "us"),
        ):
            log.append(Measured, epoch=epoch, name=f"{lane}: {name}", value=value, unit=unit)

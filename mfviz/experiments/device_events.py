"""What a run logs of its device: memory as it is sampled, and the time of each epoch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mfviz.backends.device import Device
from mfviz.telemetry.events import Measured, MemorySampled
from mfviz.telemetry.log import EventLog
from mfviz.telemetry.sampler import DeviceSampler

__all__ = ["DEVICE_TIME", "log_epoch", "sampling"]

DEVICE_TIME = "device time"  # of an epoch, in seconds: name of what is measured


def sampling(log: EventLog, device: Device | None) -> AbstractContextManager[Any]:
    """What samples the memory of a device while it is entered; the simulator has none."""
    if device is None or not device.driver.memory()[1]:
        return nullcontext()
    return DeviceSampler(log, device.driver.uuid, device.driver.memory)


def log_epoch(log: EventLog, device: Device, epoch: int) -> None:
    """Log the memory in use at the end of an epoch, and how long the device had to do with it."""
    free, total = device.driver.memory()
    log.append(MemorySampled, place=device.place, used_bytes=total - free, total_bytes=total)
    spent, device.elapsed_ns = device.elapsed_ns, 0
    if epoch:
        log.append(Measured, epoch=epoch, name=DEVICE_TIME, value=spent / 1e9, unit="s")

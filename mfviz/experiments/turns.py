"""Who may solve: one job at a time on a device, and one run at a time within a job.

A :class:`Device` keeps the queue of jobs. The runs of a job pass a :class:`Baton`, so that
two solvers that are compared never slow each other down. A run holds the baton while it solves and
hands it on while it waits for its pace, is paused, or has ended; a job whose runs are all paused
gives the device up and queues again when one of them is resumed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import cache

__all__ = ["Device", "Baton", "device"]


class Device:
    """A queue of jobs, first come, first served; the head of the queue has the device."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queue: list[Baton] = []

    def holder(self) -> Baton | None:
        """The job that has the device, or None."""
        return self.queue[0] if self.queue else None


def device(backend: str, index: int = 0) -> Device:
    """The one queue of a device of a backend in this process; the CPU is one device."""
    return _queue(backend, index)


@cache
def _queue(backend: str, index: int) -> Device:
    return Device()


class Baton:
    """The baton of one job.

    Parameters
    ----------
    where : Device
        Its queue is shared by all jobs of a backend.

    Notes
    -----
    Everything happens under the lock of the device, so that the two levels cannot disagree.
    """

    def __init__(self, where: Device) -> None:
        self._device = where
        self._waiting: list[Hashable] = []  # members that want to solve, in order
        self._solving: Hashable | None = None
        self._idle: set[Hashable] = set()  # members that wait for their pace

    def enqueue(self, member: Hashable) -> None:
        """Take a place in the queue without waiting for it."""
        with self._device.changed:
            self._enqueue(member)

    def take(self, member: Hashable, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the device and for the baton.

        Parameters
        ----------
        member : hashable
            Who asks; it may have a place in the queue already.
        give_up : callable
            Looked at after each :meth:`nudge`; True ends the wait.

        Returns
        -------
        bool
            False if the wait was given up; the place in the queue is then gone.
        """
        changed = self._device.changed
        with changed:
            self._enqueue(member)
            try:
                changed.wait_for(lambda: give_up() or self._is_next(member))
            except BaseException:
                self._drop(member)
                raise
            if give_up():
                self._drop(member)
                return False
            self._waiting.remove(member)
            self._solving = member
            return True

    def give(self, member: Hashable, *, back_soon: bool = False) -> None:
        """Hand the baton on.

        Parameters
        ----------
        member : hashable
            Its holder; anybody else's place in the queue is given up instead.
        back_soon : bool
            True while a run waits for its pace: its job keeps the device.
        """
        with self._device.changed:
            if self._solving == member:
                self._solving = None
            if back_soon:
                self._idle.add(member)
            self._drop(member, keep_idle=back_soon)

    def nudge(self) -> None:
        """Have all that wait look again at what they wait for."""
        with self._device.changed:
            self._device.changed.notify_all()

    def position(self, member: Hashable) -> int:
        """Place in the queue: 0 for the job that has the device, then 1, 2, ...; -1 for none."""
        with self._device.changed:
            if member != self._solving and member not in (*self._waiting, *self._idle):
                return -1
            return self._device.queue.index(self)

    def _enqueue(self, member: Hashable) -> None:
        self._idle.discard(member)
        if member not in self._waiting:
            self._waiting.append(member)
        if self not in self._device.queue:
            self._device.queue.append(self)

    def _is_next(self, member: Hashable) -> bool:
        return (
            self._device.holder() is self and self._solving is None and self._waiting[0] == member
        )

    def _drop(self, member: Hashable, *, keep_idle: bool = False) -> None:
        """Forget a member, and leave the queue if nobody of the job is left."""
        if member in self._waiting:
            self._waiting.remove(member)
        if not keep_idle:
            self._idle.discard(member)
        if self._solving is None and not self._waiting and not self._idle:
            if self in self._device.queue:
                self._device.queue.remove(self)
        self._device.changed.notify_all()

"""Learning-rate schedules, shared by every solver that has a learning rate.

A schedule gives the factor that an epoch's learning rates are multiplied with, so that the live
value of ``lr`` stays the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SCHEDULES", "Schedule"]

SCHEDULES = ("constant", "exponential", "inverse", "bold")

RISE, FALL = 1.05, 0.5  # the bold driver's two factors


@dataclass
class Schedule:
    """One of :data:`SCHEDULES`, with its state.

    With t the epoch counted from 0: *constant* 1; *exponential* ``decay ** t``; *inverse*
    ``1 / (1 + beta t ** 1.5)`` (cuMF_SGD, NOMAD); *bold*, the bold driver of DSGD: 1.05 times the
    last factor if the loss fell over the last epoch, half of it if it rose or stayed.

    Attributes
    ----------
    kind : str
    decay : float
        Of *exponential*.
    beta : float
        Of *inverse*.
    """

    kind: str
    decay: float = 1.0
    beta: float = 0.0
    _factor: float = field(default=1.0, repr=False)
    _loss: float | None = field(default=None, repr=False)

    @property
    def needs_loss(self) -> bool:
        """Whether :meth:`judge` must be told the loss of the start and after each epoch."""
        return self.kind == "bold"

    def factor(self, epoch: int) -> float:
        """Return what to multiply the learning rates of ``epoch`` (from 1) with."""
        t = epoch - 1
        if self.kind == "exponential":
            return float(self.decay**t)
        if self.kind == "inverse":
            return float(1.0 / (1.0 + self.beta * t**1.5))
        return self._factor

    def judge(self, loss: float) -> None:
        """Tell the loss after an epoch; a loss that stayed, or is no number, counts as a rise."""
        if self._loss is not None:
            self._factor *= RISE if loss < self._loss else FALL
        self._loss = loss

"""Watching a run from a terminal or a notebook: a progress bar that follows its log."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from mfviz.telemetry.history import History

if TYPE_CHECKING:
    from tqdm import tqdm

    from mfviz.experiments.run import Run

__all__ = ["progress_bar", "watch"]

DELAY_S = 0.5  # what is over sooner needs no bar


def progress_bar(
    total: int, what: str, *, unit: str = "epoch", shown: bool | None = None
) -> tqdm[Any]:
    """Return a progress bar on standard error, or a widget in a notebook.

    Parameters
    ----------
    total : int
    what : str
        Words before it.
    unit : str
        What is counted.
    shown : bool, optional
        Whether it is drawn; by default only on a terminal and in a notebook.
    """
    from tqdm import auto, std

    settings: dict[str, Any] = {"total": total, "desc": what, "unit": unit, "delay": DELAY_S}
    if "ipykernel" in sys.modules:
        return auto.tqdm(**settings, disable=shown is False)
    hidden = None if shown is None else not shown  # None: tqdm looks for a terminal
    return std.tqdm(**settings, disable=hidden, leave=False)


def watch(run: Run, *, shown: bool | None = None) -> None:
    """Start a run and follow it to its end.

    Parameters
    ----------
    run : Run
        Not started yet.
    shown : bool, optional
        See :func:`progress_bar`.

    Raises
    ------
    KeyboardInterrupt
        After the run was stopped by it; what it has learnt is kept.
    """
    history = History()
    run.start()
    try:
        with progress_bar(run.solver.epochs, run.solver.key, shown=shown) as bar:
            while not run.wait(0.1):
                history.follow(run.log)
                bar.update(run.epoch - bar.n)
                if history.evaluated:
                    bar.set_postfix_str(_words(history))
            bar.update(run.epoch - bar.n)
    finally:
        run.stop()
        run.wait()


def _words(history: History) -> str:
    row = history.evaluated[-1]
    name, value = ("test", row.test_rmse)
    if math.isnan(value):
        name, value = ("train", row.train_rmse)
    return f"{name} RMSE {value:.4f}"

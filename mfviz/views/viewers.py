"""One figure of one run, to be shown by itself: ``RMSEPlot(run)`` as the last line of a cell.

A viewer follows a run while it goes on, from the thread of the page or notebook that shows it, and
stops looking when the run has ended.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import panel as pn

from mfviz.errors import ParameterError
from mfviz.experiments.result import Result
from mfviz.experiments.run import Run
from mfviz.experiments.store import RecordedRun, open_run
from mfviz.plots import style
from mfviz.telemetry.history import History
from mfviz.views.cell import Cell
from mfviz.views.host import Host, Ticker, here, load_extension
from mfviz.views.live import LiveFigure
from mfviz.views.live_memory import LiveMemory
from mfviz.views.live_rmse import LiveRMSE
from mfviz.views.live_timeline import LiveTimeline

__all__ = ["FigureViewer", "MemoryPlot", "RMSEPlot", "TimelinePlot"]

PERIOD_S = 0.1
Source = Run | Result | History | RecordedRun | str | os.PathLike[str]


class FigureViewer(pn.viewable.Viewer):
    """Base of the viewers.

    Parameters
    ----------
    *runs : Run, Result, History, RecordedRun or path
        One to five; the first is A. A path is that of a run folder or of a ``.mfviz`` file.
    theme : {"light", "dark"}
    host : Host, optional
        Where it is shown; found by itself.
    **options
        Passed to the figure.

    Attributes
    ----------
    figure : LiveFigure
    """

    draws: ClassVar[type[LiveFigure]]

    def __init__(
        self, *runs: Source, theme: str = "light", host: Host | None = None, **options: Any
    ) -> None:
        load_extension()
        super().__init__()
        if not 1 <= len(runs) <= len(style.LETTERS):
            raise ParameterError(
                f"{len(runs)} runs were given; give one to {len(style.LETTERS)}.", "runs"
            )
        self.figure = self.draws(theme, **options)
        self._live: list[tuple[Run, History]] = []
        histories = [self._history(run) for run in runs]
        self.figure.show(list(zip(style.LETTERS, histories, strict=False)))
        self._ticker: Ticker | None = None
        if self._live:
            self._host = host or here()
            self._ticker = self._host.every(PERIOD_S, self._tick)
            self._host.on_close(self.close)
            if self._host.kind == "notebook":
                # What is sent before the browser has drawn the figure would be lost for good.
                self.figure.figure.on_change("inner_width", self._drawn)
            else:
                self._ticker.start()

    @property
    def following(self) -> bool:
        """Whether it still looks for news."""
        return self._ticker is not None and self._ticker.running

    def close(self) -> None:
        """Stop looking; the run itself goes on."""
        if self._ticker is not None:
            self._ticker.stop()

    def __panel__(self) -> Any:
        return Cell(
            self.figure.pane, figure=self.figure.figure,
            sizing_mode="stretch_width", min_width=320,
            styles={"background": style.TOKENS[self.figure.theme]["surface"], "padding": "8px"},
        )  # fmt: skip

    def _history(self, run: Source) -> History:
        if isinstance(run, History):
            return run
        if isinstance(run, Result):
            return run.tables
        if isinstance(run, str | os.PathLike):
            run = open_run(Path(run))
        if isinstance(run, RecordedRun):
            return run.history()
        if not isinstance(run, Run):
            raise ParameterError(
                f"{type(run).__name__} is no run; give a Run, a Result, or the path of a run.",
                "run",
            )
        history = History()
        history.follow(run.log)
        if not history.ended:
            self._live.append((run, history))
        return history

    def _drawn(self, attr: str, old: int, new: int) -> None:
        if new and self._ticker is not None and not self._over:
            self._ticker.start()

    @property
    def _over(self) -> bool:
        return all(history.ended for _, history in self._live)

    def _tick(self) -> None:
        for run, history in self._live:
            history.follow(run.log)
        with self._host.hold():
            self.figure.update()
        if self._over:
            self.close()


class RMSEPlot(FigureViewer):
    """Test and training RMSE of runs; ``x_axis`` is epoch, updates, solve_s or wall_s."""

    draws = LiveRMSE
    figure: LiveRMSE

    def __init__(self, *runs: Source, height: int = 300, **options: Any) -> None:
        super().__init__(*runs, height=height, sizing_mode="stretch_width", **options)


class TimelinePlot(FigureViewer):
    """Lanes of the workers of runs."""

    draws = LiveTimeline


class MemoryPlot(FigureViewer):
    """Memory of runs by part, measured and modelled."""

    draws = LiveMemory

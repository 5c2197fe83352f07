"""Whether the browser keeps up: it answers each beat once it has painted what came before it.

A server can send changes faster than a slow browser draws them. What is not drawn yet would queue
up and the page would show the past, so nothing is sent while the answer is owed: the next message
then holds everything that happened meanwhile. Nor does the page paint without a break.

Beats travel as properties of one Bokeh model: an event of a Panel component would make Panel tell
the whole page twice that the server is busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.models import ColumnDataSource, CustomJS

from mfviz.views.host import Ticker
from mfviz.views.live_scripts import NO_VARIABLES

__all__ = ["Beat"]

# From one painting to the next passes the time that it took, and a quarter of that for the
# solvers; one that took long because the page was laid out anew says nothing about the next.
SHARE, REST_S = 1.25, 0.02
# While no eye can follow, news is sent and looked for less often: each message costs the solver.
RARE_S, RARE_LOOK_S = 0.7, 0.1
PATIENCE_S = 2.0  # a browser that never answers (one that sleeps) still gets news this often
ANSWER = """
const sent = cb_obj.data.sent[0]
const painted = () => setTimeout(() => { cb_obj.tags = [sent] }, 0)
document.hidden ? painted() : requestAnimationFrame(painted)
"""


class Beat:
    """Counts the messages that the browser has painted.

    Parameters
    ----------
    figure : bokeh.plotting.figure
        Takes the model of the beats into its document.
    clock : callable
        Returns seconds of a monotonic clock.
    ticker : Ticker
        What looks whether news is due.

    Attributes
    ----------
    sent : int
        Beats sent so far.
    """

    def __init__(self, figure: Any, clock: Callable[[], float], ticker: Ticker) -> None:
        self.sent = self._painted = 0
        self._sent_s = self._took_s = 0.0
        self._clock, self._ticker, self._look_s = clock, ticker, ticker.seconds
        self._model = ColumnDataSource({"sent": [0]}, name="beat")
        self._model.js_on_change("data", CustomJS(code=NO_VARIABLES + ANSWER))
        self._model.on_change("tags", self._answered)
        figure.js_on_change("name", CustomJS(args={"beat": self._model}, code="void beat"))

    def due(self, now: float, *, rarely: bool = False) -> bool:
        """Tell whether changes may be sent at ``now``, in seconds of the clock.

        ``rarely`` is for runs at full speed, which no eye can follow: there the machine belongs
        to the solver.
        """
        owed = self._painted < self.sent
        took = self._took_s
        self._ticker.pace(RARE_LOOK_S if rarely else self._look_s)
        pause = min(took * SHARE, took + REST_S)
        if rarely:
            pause = max(pause, RARE_S)
        return now - self._sent_s >= (PATIENCE_S if owed else pause)

    def send(self, now: float) -> None:
        """Ask the browser to answer once it has painted what is sent with this."""
        self._sent_s = now
        self.sent += 1
        self._model.data = {"sent": [self.sent]}

    def _answered(self, attr: str, old: list[int], new: list[int]) -> None:
        if new and int(new[0]) == self.sent > self._painted:
            self._painted = self.sent
            self._took_s = self._clock() - self._sent_s

"""When each figure of a session is drawn: as often as it wishes, and anew where runs changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from mfviz.telemetry.history import History
from mfviz.views.host import Host
from mfviz.views.live import LiveFigure
from mfviz.views.tracks import Track

__all__ = ["Drawing"]

# Axes that vanish and come back are laid out twice, while the first epochs wait for the browser;
# most runs have something to show sooner than this.
PATIENCE_S = 0.4
# While no eye can follow, figures that do not want all news wait this many times longer yet: the
# browser paints on a core that a solver could have.
RARE_SHARE = 4.0


class Drawing:
    """The figures of a session and what is due in them.

    Parameters
    ----------
    host : Host

    Attributes
    ----------
    figures : list of LiveFigure
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.figures: list[Any] = []
        self._anew = False
        self._awaited: Sequence[Track] = ()
        self._until = -math.inf
        self._due: dict[int, float] = {}  # figure by its place -> when it is drawn again

    def anew(self) -> None:
        """Have all figures drawn from the beginning the next time."""
        self._anew, self._awaited = True, ()

    def begin(self, tracks: Sequence[Track]) -> None:
        """Have fresh runs drawn as soon as one has something to show, or after a short while."""
        self._anew, self._awaited = True, tracks
        self._until = self.host.now + PATIENCE_S

    def draw(self, tracks: Sequence[Track], *, busy: bool, rarely: bool = False) -> None:
        """Bring figures up to date that are due; where nothing is ``busy``, all of them.

        ``rarely`` is as in :meth:`mfviz.views.beat.Beat.due`.
        """
        now = self.host.now
        if self._awaited and now < self._until and all(map(_has_nothing, self._awaited)):
            return
        self._awaited = ()
        anew, self._anew = self._anew, False
        pairs = [(track.letter, track.history) for track in tracks]
        for at, figure in enumerate(self.figures):
            if anew or not busy or now >= self._due.get(at, 0.0):
                self.host.guard(partial(_draw, figure, pairs if anew else None))()
                wait = figure.period * (RARE_SHARE if rarely else 1.0)
                self._due[at] = now + (0.0 if figure.empty else wait)

    def settle(self) -> None:
        """Nothing moves any more: what could wait is done now."""
        for figure in self.figures:
            self.host.guard(figure.settle)()


def _draw(figure: LiveFigure, pairs: list[tuple[str, History]] | None) -> None:
    if pairs is None:
        figure.update()
    else:
        figure.show(pairs)


def _has_nothing(track: Track) -> bool:
    return track.active and not track.history.evaluated

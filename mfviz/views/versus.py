"""A versus B in numbers: a small table in which the better value is the heavier one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from mfviz.views.chips import chip, rate, rmse, seconds
from mfviz.views.parts import Html, card
from mfviz.views.session import Session
from mfviz.views.status import shared_target
from mfviz.views.tracks import Track

__all__ = ["Versus", "table"]


def table(tracks: Sequence[Track]) -> str:
    """Return the table of a pair as HTML; one column where there is one run."""
    target = shared_target(tracks)
    goal = f"time to {rmse(target, 3)}" if not math.isnan(target) else "time to the same RMSE"
    rows = [
        _row("test RMSE now", [_now(t) for t in tracks], lambda v: rmse(v), low=True),
        _plain("epochs", [f"{t.epoch} / {t.epochs}" for t in tracks]),
        _row("solve time", [t.history.solve_s for t in tracks], seconds, low=True),
        _row(goal, [t.history.seconds_to(target) for t in tracks], seconds, low=True),
        _row("updates per s", [t.history.updates_per_s for t in tracks], rate, low=False),
        _row("worker idle", [t.history.idle_share() for t in tracks], _share, low=True),
    ]
    # A long title may be broken in a narrow place, though not behind the chip (a word joiner).
    heads = "".join(f"<th>{chip(t.letter)}&#8288;{escape(t.title)}</th>" for t in tracks)
    title = "A versus B" if len(tracks) == 2 else "In numbers"
    return (
        f"<table><thead><tr><th>{title}</th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


class Versus:
    """The card with the table.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.table = Html("", "versus")
        self.view = card("versus_card", self.table.pane)
        session.watch(self.refresh, 1.0, early=True)

    def refresh(self) -> None:
        """Bring the numbers up to date."""
        self.table.set(table(self.session.pair))


def _row(name: str, values: Sequence[float], write: Callable[[float], str], *, low: bool) -> str:
    finite = [value for value in values if math.isfinite(value)]
    best = (min(finite) if low else max(finite)) if len(finite) == 2 and len(set(finite)) == 2 \
        else None  # fmt: skip
    cells = "".join(
        f'<td class="{"best" if value == best else ""}">{write(value)}</td>' for value in values
    )
    return f"<tr><th>{name}</th>{cells}</tr>"


def _plain(name: str, words: Sequence[str]) -> str:
    cells = "".join(f"<td>{word}</td>" for word in words)
    return f"<tr><th>{name}</th>{cells}</tr>"


def _now(track: Track) -> float:
    rows = track.history.evaluated
    return rows[-1].test_rmse if rows else math.nan


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"

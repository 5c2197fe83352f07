"""The table of runs: a row a run, numbers that sort, and an empty slot for the next one."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd
import panel as pn
from bokeh.models.widgets.tables import HTMLTemplateFormatter

from mfviz.views.chips import badge, chip, pill
from mfviz.views.parts import card
from mfviz.views.session import Session
from mfviz.views.theme import sheet
from mfviz.views.tracks import LETTERS, Track

__all__ = ["RunsTable", "row"]

HTML = HTMLTemplateFormatter(template="<%= value %>")


def _number(expression: str) -> HTMLTemplateFormatter:
    """Write a number with JavaScript, so that the column still sorts as numbers.

    NaN is a dash, nothing (the empty slot) is nothing.
    """
    known = f"Number.isFinite(value) ? {expression} : '–'"
    return HTMLTemplateFormatter(template=f"<%= value === null ? '' : {known} %>")


RMSE = _number("value >= 1000 ? value.toExponential(1) : value.toFixed(4)")
BEST = _number("`<b class=best>${value >= 1000 ? value.toExponential(1) : value.toFixed(4)}</b>`")
SECONDS = _number("value.toFixed(value < 10 ? 3 : value < 100 ? 2 : 1)")
SIZE = _number("value < 0.1 ? value.toFixed(3) : value < 10 ? value.toFixed(1) : value.toFixed(0)")
RATE = _number(
    "value >= 1e9 ? (value / 1e9).toFixed(2) + ' G' : value >= 1e6 ? (value / 1e6).toFixed(1)"
    " + ' M' : value >= 1e3 ? (value / 1e3).toFixed(0) + ' k' : value.toFixed(0)"
)
# Title, formatter and width in pixels; 0 shares what is left.
COLUMNS: dict[str, tuple[str, Any, int]] = {
    "run": ("Runs", HTML, 60),
    "solver": ("solver", HTML, 0),
    "data": ("data", HTML, 0),
    "status": ("status", HTML, 0),
    "epochs": ("epochs", HTML, 80),
    "best": ("best RMSE", BEST, 92),
    "last": ("last RMSE", RMSE, 92),
    "solve": ("solve s", SECONDS, 76),
    "rate": ("updates/s", RATE, 90),
    "peak": ("peak MB", SIZE, 80),
    "seed": ("seed", HTML, 56),
    "determinism": ("determinism", HTML, 0),
}
RIGHT = ("epochs", "best", "last", "solve", "rate", "peak", "seed")
HINT = "Change a setting and press Run: the result appears here."


def row(track: Track) -> dict[str, Any]:
    """Return what the table shows of a track."""
    history, status = track.history, track.status
    last = history.evaluated[-1].test_rmse if history.evaluated else math.nan
    peak = history.peak_bytes or track.estimate_bytes
    ending = badge(history.determinism, reconstruction=history.reconstruction)
    if status == "diverged" and track.fix:
        ending = f'<a class="fix" role="button">try {escape(track.fix.replace("=", " "))}</a>'
    return {
        "run": chip(track.letter),
        "solver": escape(track.title),
        "data": f'<span class="quiet">{escape(track.data)}</span>',
        "status": pill(status, _words(track)),
        "epochs": f"{track.epoch} / {track.epochs}",
        "best": history.best_test_rmse,
        "last": last,
        "solve": history.solve_s if history.epochs else math.nan,
        "rate": history.updates_per_s,
        "peak": peak / 1e6 if peak else math.nan,
        "seed": str(history.params.get("seed", "–")),
        "determinism": ending,
    }


class RunsTable:
    """The table and its card.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view : Panel object
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._quiet = False
        self.table = pn.widgets.Tabulator(
            self._frame(), show_index=False, layout="fit_columns", theme="simple",
            titles={name: title for name, (title, _, _) in COLUMNS.items()},
            formatters={name: style for name, (_, style, _) in COLUMNS.items()},
            text_align={name: "right" for name in RIGHT},
            header_align={name: "right" for name in RIGHT},
            configuration={"columnDefaults": {"headerSortTristate": True, "resizable": False}},
            widths={name: width for name, (_, _, width) in COLUMNS.items() if width},
            disabled=True, selectable="toggle", selectable_rows=self._selectable,
            sizing_mode="stretch_width", margin=0, stylesheets=[sheet("html", "table")],
        )  # fmt: skip
        self.table.on_click(self._clicked)
        self.table.param.watch(self._selected, "selection")
        self.view = card("runs", self.table)
        session.watch(self.refresh, 0.5)

    def refresh(self) -> None:
        """Bring the rows up to date; only cells that differ are sent."""
        new, old = self._frame(), self.table.value
        self._quiet = True
        try:
            if len(new) != len(old) or list(new["run"]) != list(old["run"]):
                self.table.value = new
                self.table.selection = self._chosen()
                return
            patch = {
                name: [(at, value) for at, value in enumerate(new[name])
                       if not _same(value, old[name].iloc[at])]
                for name in COLUMNS
            }  # fmt: skip
            patch = {name: cells for name, cells in patch.items() if cells}
            if patch:
                self.table.patch(patch)
        finally:
            self._quiet = False

    def _ordered(self) -> list[Track]:
        return sorted(self.session.tracks, key=lambda track: track.letter)

    def _frame(self) -> pd.DataFrame:
        rows = [row(track) for track in self._ordered()]
        if len(rows) < len(LETTERS):
            rows.append(_empty())
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)

    def _chosen(self) -> list[int]:
        return [n for n, t in enumerate(self._ordered()) if t.letter in self.session.chosen]

    def _selectable(self, frame: pd.DataFrame) -> list[int]:
        """Earlier runs can be shown beside A and B, which always are."""
        tracks = self._ordered()
        return [n for n in range(len(tracks)) if tracks[n].letter not in LETTERS[:2]]

    def _selected(self, event: Any) -> None:
        if not self._quiet:
            tracks = self._ordered()
            letters = [tracks[at].letter for at in event.new if at < len(tracks)]
            self.session.host.later(lambda: self.session.choose(letters))

    def _clicked(self, event: Any) -> None:
        tracks = self._ordered()
        if event.column == "determinism" and event.row < len(tracks):
            track = tracks[event.row]
            if track.status == "diverged" and track.fix:
                slot = track.letter if track.letter in LETTERS[:2] else "A"
                desk = self.session.desk
                self.session.host.later(lambda: desk.apply(slot, track.fix))


def _words(track: Track) -> str:
    status = track.status
    if status in ("paused", "diverged", "stopped", "replay"):
        return f"{status} at {track.epoch}"
    return status


def _empty() -> dict[str, Any]:
    blank: dict[str, Any] = {
        name: "" if style is HTML else None for name, (_, style, _) in COLUMNS.items()
    }
    slot = f'{pill("empty")}<span class="hint">{HINT}</span>'
    return blank | {"run": '<span class="chip none"></span>', "status": slot}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return bool(one == other)

"""The table of runs: a row a run, numbers that sort, and an empty slot for the next one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import panel as pn
import param

from mfviz.views.chips import badge, chip, pill
from mfviz.views.parts import card
from mfviz.views.session import Session
from mfviz.views.theme import sheet
from mfviz.views.tracks import LETTERS, Track

__all__ = ["RunsGrid", "RunsTable", "row"]

HINT = "Change a setting and press Run: the result appears here."
# Key, title, whether it is a number (right-aligned).
COLUMNS = (
    ("run", "Runs", False),
    ("solver", "solver", False),
    ("data", "data", False),
    ("status", "status", False),
    ("epochs", "epochs", True),
    ("best", "best RMSE", True),
    ("last", "last RMSE", True),
    ("solve", "solve s", True),
    ("rate", "updates/s", True),
    ("peak", "peak MB", True),
    ("seed", "seed", True),
    ("determinism", "determinism", False),
)


def _rmse(value: float) -> str:
    return f"{value:.1e}" if value >= 1000 else f"{value:.4f}"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:.1f}"


def _rate(value: float) -> str:
    for unit, size, digits in (("G", 1e9, 2), ("M", 1e6, 1), ("k", 1e3, 0)):
        if value >= size:
            return f"{value / size:.{digits}f} {unit}"
    return f"{value:.0f}"


def _megabytes(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


WRITTEN: dict[str, Callable[[float], str]] = {
    "best": lambda value: f"<b>{_rmse(value)}</b>",
    "last": _rmse,
    "solve": _seconds,
    "rate": _rate,
    "peak": _megabytes,
}


class RunsGrid(pn.custom.JSComponent):
    """The rows in the browser: a plain HTML table.

    It sorts by a click on a head, tells which row was clicked, and is redrawn by its rows alone. A
    general data grid measures and redraws itself whenever the page is laid out, which live figures
    do all the time, and the two together can keep a browser from ever answering.
    """

    heads = param.List(default=[], doc="Triples of key, title and whether it is a number.")
    rows = param.List(
        default=[], doc="A row: letter, whether chosen, choosable, pairs of HTML and sort key."
    )

    _esm = """
    export function render({model}) {
      const table = document.createElement("table")
      const head = table.createTHead().insertRow()
      const body = table.createTBody()
      table.setAttribute("aria-label", "Runs")
      let by = -1, down = false

      const cells = model.heads.map(([key, title, number], at) => {
        const cell = document.createElement("th")
        const button = document.createElement("button")
        cell.className = `${key}${number ? " number" : ""}`
        cell.scope = "col"
        button.textContent = title
        button.addEventListener("click", () => {
          if (by !== at) { by = at; down = false }
          else if (!down) down = true
          else by = -1
          draw()
        })
        cell.append(button)
        head.append(cell)
        return cell
      })
      const order = (one, other) => {
        const [a, b] = [one.cells[by][1], other.cells[by][1]]
        if (a === null || b === null) return (a === null) - (b === null)
        return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1)
      }
      const draw = () => {
        cells.forEach((cell, at) => cell.setAttribute("aria-sort",
          at !== by ? "none" : down ? "descending" : "ascending"))
        const rows = [...model.rows]
        if (by >= 0) rows.sort((a, b) => (!a.letter) - (!b.letter) || order(a, b))
        while (body.rows.length > rows.length) body.deleteRow(-1)
        rows.forEach((row, n) => {
          const line = body.rows[n] ?? body.insertRow()
          line.className = `${row.choosable ? "choosable" : ""} ${row.chosen ? "chosen" : ""}`
          line.onclick = (event) => model.send_msg(
            {letter: row.letter, fix: event.target.closest(".fix") !== null})
          row.cells.forEach(([html], at) => {
            const cell = line.cells[at] ?? line.insertCell()
            cell.className = cells[at].className
            if (cell.kept !== html) { cell.innerHTML = html; cell.kept = html }
          })
        })
      }
      model.on("rows", draw)
      draw()
      return table
    }
    """

    def __init__(self, clicked: Callable[[str, bool], None], **params: Any) -> None:
        super().__init__(
            heads=[list(column) for column in COLUMNS], margin=0, sizing_mode="stretch_width",
            height=30 + 27 * (len(LETTERS) + 1), stylesheets=[sheet("html", "table")], **params,
        )  # fmt: skip
        self._clicked = clicked

    def _handle_msg(self, message: dict[str, Any]) -> None:
        letter = message.get("letter")
        if letter in LETTERS:
            self._clicked(letter, message.get("fix") is True)


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
        self.grid = RunsGrid(self._clicked, rows=self._rows())
        self.view = card("runs", self.grid)
        session.watch(self.refresh, 1.0, early=True)

    def refresh(self) -> None:
        """Bring the rows up to date; nothing is sent where none differs."""
        rows = self._rows()
        if rows != self.grid.rows:
            self.grid.rows = rows

    def _rows(self) -> list[dict[str, Any]]:
        tracks = sorted(self.session.tracks, key=lambda track: track.letter)
        rows = [
            {
                "letter": track.letter,
                "chosen": track.letter in self.session.chosen,
                "choosable": track.letter not in LETTERS[:2],
                "cells": _cells(row(track)),
            }
            for track in tracks
        ]
        if len(rows) < len(LETTERS):
            rows.append({"letter": "", "chosen": False, "choosable": False, "cells": _empty()})
        return rows

    def _clicked(self, letter: str, fix: bool) -> None:
        """Apply the fix of a diverged run, or show an earlier run beside A and B (or no more)."""
        later = self.session.host.later
        track = next((t for t in self.session.tracks if t.letter == letter), None)
        if track is None:
            return
        if fix and track.status == "diverged" and track.fix:
            slot = letter if letter in LETTERS[:2] else "A"
            later(lambda: self.session.desk.apply(slot, track.fix))
        elif letter not in LETTERS[:2]:
            later(lambda: self._choose(letter))

    def _choose(self, letter: str) -> None:
        self.session.choose(sorted(set(self.session.chosen) ^ {letter}))
        self.refresh()


def _cells(values: dict[str, Any]) -> list[list[Any]]:
    """Pairs of HTML and sort key; None sorts last."""
    found: list[list[Any]] = []
    for key, _, _ in COLUMNS:
        value = values[key]
        if key == "epochs":
            found.append([value, int(value.split(" / ")[0])])
        elif key not in WRITTEN:
            found.append([value, value])
        elif math.isfinite(value):
            found.append([WRITTEN[key](value), value])
        else:
            found.append(["–", None])
    return found


def _words(track: Track) -> str:
    status = track.status
    if status in ("paused", "diverged", "stopped", "replay"):
        return f"{status} at {track.epoch}"
    return status


def _empty() -> Sequence[list[Any]]:
    """The slot that waits for the next run."""
    cells: list[list[Any]] = [["", None] for _ in COLUMNS]
    cells[0][0] = '<span class="chip none"></span>'
    cells[3][0] = f'{pill("empty")}<span class="hint">{HINT}</span>'
    return cells

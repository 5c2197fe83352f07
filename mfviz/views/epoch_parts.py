"""Parts of the Timeline tab's figure: rows of its sources, words in it, scripts of the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from mfviz.plots import style
from mfviz.plots.epoch import LAYERS, Box, EpochBoxes, duration_text, lane_words
from mfviz.plots.labels import text_width
from mfviz.plots.spans import of_batches, span_words, wait_words
from mfviz.telemetry.epoch import EpochFacts
from mfviz.telemetry.history import History

__all__ = ["COLUMNS", "KEEP", "SINCE", "Shown", "box_columns", "box_words", "lane_names"]

Words = tuple[float, float, str, str, str, str, str]  # x, y, text, ink, plate, size, weight
Rows = Mapping[tuple[str, str], float]  # (run, lane) -> its row
COLUMNS = ("left", "right", "top", "bottom", "run", "lane", "op", "reason", "title", "where",
           "time", "work", "clock", "edge")  # fmt: skip
# Time since the start of the epoch, in the unit that suits the axis.
SINCE = """
const wide = Math.max(...ticks.map(Math.abs))
const [size, unit] = wide >= 2000 ? [1e3, "s"] : wide >= 2 ? [1, "ms"] : [1e-3, "µs"]
return Number((tick / size).toPrecision(6)) + (tick === 0 ? " " + unit : "")
"""
# The facts of the rectangle under the pointer stay in a card after the pointer has gone.
KEEP = """
const at = cb_data.index.indices[0]
if (at == null) return
const {data} = cb_data.renderer.data_source
const safe = (text) => text.replace(/[&<>]/g, (c) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;"})[c])
const row = (name, text) => text ? `<tr><th>${name}</th><td>${safe(text)}</td></tr>` : ""
const [length, from] = data.time[at].split(" from ")
div.setv({text: `<table><caption>${safe(data.title[at])}</caption>`
  + row("lane", data.where[at]) + row("start", from) + row("length", length)
  + row("moved", data.work[at]) + row("clock", data.clock[at]) + "</table>"}, {sync: false})
"""


@dataclass(frozen=True)
class Shown:
    """One run as it is drawn.

    Attributes
    ----------
    letter : str
    history : History
    facts : EpochFacts
    drawn : EpochBoxes
    """

    letter: str
    history: History
    facts: EpochFacts
    drawn: EpochBoxes


def box_columns(
    shown: Sequence[Shown], rows: Rows, thin: float
) -> dict[str, dict[str, list[Any]]]:
    """Columns of the source of each layer.

    Parameters
    ----------
    shown : sequence of Shown
    rows : mapping
    thin : float
        ms below which a rectangle has no edge: an edge in the colour of the ground would hide it.
    """
    columns: dict[str, dict[str, list[Any]]] = {
        layer: {name: [] for name in COLUMNS} for layer in LAYERS
    }
    for s in shown:
        solver = s.history.title or s.history.solver
        for box in s.drawn.boxes:
            span, top = box.span, rows[s.letter, box.span.lane]
            lane, kind = lane_words(span.lane, s.history.backend)
            title, time, work, clock = box.lines()
            where = f"{s.letter} {solver}, {lane} ({kind}), epoch {s.facts.epoch}"
            row = (
                box.left, box.right, top + 0.06, top + 0.94, s.letter, span.lane, span.op,
                span.reason, title, where, time, work, clock,
                float(box.right - box.left >= thin),
            )  # fmt: skip
            for name, entry in zip(COLUMNS, row, strict=True):
                columns[box.layer][name].append(entry)
    return columns


def lane_names(shown: Sequence[Shown], rows: Rows, end: float, px: float, foot: int) -> str:
    """Names of the lanes as HTML, beside the rows of a frame.

    Parameters
    ----------
    shown : sequence of Shown
    rows : mapping
    end : float
        Rows in the frame.
    px : float
        Pixels of a row; thin lanes have no names.
    foot : int
        Pixels below the frame.
    """
    parts = []
    for s in shown if px >= 14 else ():
        for lane in s.facts.lanes:
            name, kind = (escape(words) for words in lane_words(lane, s.history.backend))
            small = f"<span>{kind}</span>" if px >= 30 else ""
            place = (rows[s.letter, lane] + 0.5) / end
            parts.append(
                f'<div title="{name}: {kind}" style="top:calc((100% - {foot}px) * {place:.4f})">'
                f"<b>{name}</b>{small}</div>"
            )
    return f'<div class="lanes">{"".join(parts)}</div>'


def box_words(
    box: Box, x: float, y: float, room: float, lane_px: float, theme: str
) -> list[Words]:
    """Name and, where there is room, length of a rectangle.

    Parameters
    ----------
    box : Box
    x, y : float
        Middle of its visible part.
    room, lane_px : float
        Its width and height in pixels.
    theme : {"light", "dark"}
    """
    span, ink = box.span, style.OPS_TEXT[theme][box.span.op]
    if span.op == "wait":
        reason, plate = wait_words(span.reason), style.TOKENS[theme]["surface"]
        for text in (f"wait: {reason}", reason):
            if text_width(text, 12) + 16 <= room:
                return [(x, y, text, ink, plate, "12px", "normal")]
        return []
    block, clear = "" if span.op == "host" else span.block, "rgba(0,0,0,0)"
    words = span_words(span.name, block, batches=of_batches(span))
    for text in words if box.count == 1 else (f"{box.count:,} × {span.name}",):
        if text_width(text, 12) + 6 <= room:
            length = duration_text(box.right - box.left)
            if lane_px >= 36 and text_width(length, 11) + 6 <= room:
                up = 8 / lane_px
                return [
                    (x, y - up, text, ink, clear, "12px", "bold"),
                    (x, y + up, length, ink, clear, "11px", "normal"),
                ]
            return [(x, y, text, ink, clear, "12px", "bold")]
    return []

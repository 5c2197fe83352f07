"""Memory by part: what the ledger held, what the model predicts, what the system reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mfviz.plots import style
from mfviz.plots.base import Columns, Plot, Track
from mfviz.telemetry.history import History
from mfviz.telemetry.memory import PARTS

__all__ = ["Memory", "Segment", "segments"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar.

    Attributes
    ----------
    letter, part : str
    measured : bool
        From the ledger; otherwise from the model.
    start, end : float
        Bytes along the bar.
    """

    letter: str
    part: str
    measured: bool
    start: float
    end: float


class Memory(Plot):
    """A row an amount: of a part as the ledger knows it, of the process, or as predicted."""

    key = "memory"
    title = "Memory"
    explain = (
        "The solid bar is what the run's ledger held at its peak, by purpose; the hatched one "
        "below is what the solver's model predicts. The circle is what the whole process grew by, "
        "which includes what no run asked for."
    )
    columns: ClassVar[dict[str, str]] = {
        "run": "object",
        "t_s": "float64",
        "place": "object",
        "name": "object",
        "bytes": "float64",
        "measured": "object",
    }

    def sizes(self, history: History) -> tuple[int, ...]:
        """Lengths of the tables of predictions, of allocations and of samples."""
        return (len(history.model), len(history.ledger), len(history.memory))

    def rows(
        self, letter: str, history: History, since: tuple[int, ...] | None = None
    ) -> list[tuple[Any, ...]]:
        """Predicted parts first, then changes of held parts, then samples of the process."""
        models, changes, samples = since or (0, 0, 0)
        found: list[tuple[Any, ...]] = [
            (letter, 0.0, "host", part, size, False)
            for part, size in list(history.model.items())[models:]
        ]
        held: dict[tuple[str, str], int] = {}
        for at, (t_ns, place, _, part, delta) in enumerate(history.ledger):
            held[place, part] = held.get((place, part), 0) + delta
            if at >= changes:
                found.append((letter, t_ns / 1e9, place, part, held[place, part], True))
        return found + [
            (letter, s.t_ns / 1e9, s.place, "in use", s.used_bytes, True)
            for s in history.memory[samples:]
        ]

    def element(self, frame: Columns, theme: str = "light") -> Any:
        """Stacked bars of the largest amount of each part: measured, and the model below it."""
        import holoviews as hv
        import holoviews.plotting.bokeh  # registers the backend

        run, name = np.asarray(frame["run"], object), np.asarray(frame["name"], object)
        measured = np.asarray(frame["measured"], bool)
        layers = []
        for solid in (True, False):
            boxes, colours = [], []
            for row, letter in enumerate(dict.fromkeys(frame["run"])):
                start = 0.0
                for part in PARTS:
                    mine = (run == letter) & (name == part) & (measured == solid)
                    size = max(frame["bytes"][mine], default=0.0)
                    y = row + (0.3 if solid else 0.75)
                    half = 0.25 if solid else 0.1
                    if size:
                        boxes.append((start, y - half, start + size, y + half))
                        colours.append(style.MEMORY[theme][part])
                    start += size
            element = hv.Rectangles(
                [(*box, c) for box, c in zip(boxes, colours, strict=True)],
                ["bytes", "run", "end", "top"],
                ["colour"],
                label="measured" if solid else "model",
            )
            look: dict[str, Any] = {"line_color": style.TOKENS[theme]["surface"]}
            if boxes:
                look["fill_color"] = "colour"
            layers.append(element.opts(backend="bokeh", fill_alpha=1.0 if solid else 0.35, **look))
        return hv.Overlay(layers).opts(
            backend="bokeh", show_legend=False, responsive=True, min_height=60, invert_yaxis=True,
            default_tools=[], title="",
        )  # fmt: skip


def segments(tracks: Sequence[Track]) -> list[Segment]:
    """Stacks of each run in the order of the parts: held at the peak, and predicted."""
    found = []
    for letter, history in tracks:
        for measured, sizes in ((True, history.peak_by_part), (False, history.model)):
            start = 0.0
            for part in PARTS:
                if sizes.get(part):
                    end = start + sizes[part]
                    found.append(Segment(letter, part, measured, start, end))
                    start = end
    return found

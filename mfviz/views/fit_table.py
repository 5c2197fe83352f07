"""Does it fit: a row a solver with its stacked bar, the numbers beside it, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mfviz.experiments.fits import Demand, Place
from mfviz.plots import style
from mfviz.plots.labels import text_width
from mfviz.plots.scale import mib_text, nice
from mfviz.telemetry.memory import PARTS
from mfviz.theory.memory import MIB
from mfviz.views.chips import chip, pill

__all__ = ["NOT_IDENTIFIED", "fit_table"]

BAR_PX = 480.0  # about the width of a bar's column
# Rows of Table S1 whose layout could not be identified, and what is said beside them.
NOT_IDENTIFIED = {
    "cumf_ccd": "its arrays are not identified",
    "ds_sgd_d": "layout not identified",
    "fampsgd": "reconstruction",
}
PUBLISHED = {"cumf_ccd": "CUMF_CCD", "fampsgd": "FAMPSGD"}  # where there is no solver of the key
NOTHING = "–"


def fit_table(
    found: Sequence[Demand],
    place: Place,
    *,
    measured: Mapping[str, tuple[str, int]],
    published: Mapping[str, int],
    chosen: Sequence[str] = (),
) -> str:
    """The table as HTML.

    Parameters
    ----------
    found : sequence of Demand
    place : Place
    measured : mapping of str to (str, int)
        Letter of the run, and bytes that its ledger held there, by key of its solver.
    published : mapping of str to int
        MiB of Table S1 by key; empty where the shape is none of its data sets.
    chosen : sequence of str
        Solvers that stand on the desk; they come first.
    """
    rows = [d for d in found if not d.reason or d.key in chosen]
    rows.sort(key=lambda d: d.key not in chosen)
    known = {d.key for d in found}
    absent = [key for key in published if key not in known]
    most = max([d.total_bytes for d in rows], default=1)
    most = max([most, *(MIB * published[key] for key in published)])
    scale = nice(1.04 * (place.free_bytes if most < place.free_bytes <= 1.5 * most else most))
    heads = "<th>modelled</th><th>measured</th>"
    heads += "<th>Table S1</th><th>Δ</th>" if published else ""
    body = "".join(_row(d, place, scale, measured, published, d.key in chosen) for d in rows)
    body += "".join(_only_published(key, published[key], scale) for key in absent)
    others = [d.title for d in found if d.reason and d.key not in chosen]
    note = f'<div class="help">On the CPU only: {escape(", ".join(others))}.</div>'
    return (
        f"<table><thead><tr><th>solver</th><th class='axis'>{_ticks(scale)}</th>{heads}"
        f"<th></th></tr></thead><tbody>{body}</tbody></table>{note if others else ''}"
    )


def _row(
    demand: Demand,
    place: Place,
    scale: float,
    measured: Mapping[str, tuple[str, int]],
    published: Mapping[str, int],
    chosen: bool,
) -> str:
    name = escape(demand.title)
    small = '<span title="not all of its paper was at hand">reconstruction</span>'
    title = f"<b>{name}</b>" if chosen else name
    head = f"<th>{title}{small if demand.reconstruction else ''}</th>"
    if demand.reason:
        width = 3 + 2 * bool(published)
        return f'<tr>{head}<td class="why" colspan="{width + 1}">{escape(demand.reason)}</td></tr>'
    letter, held = measured.get(demand.key, ("", 0))
    shown = published.get(demand.key)
    cells = f"<td>{mib_text(demand.total_bytes)}</td>"
    cells += f"<td>{chip(letter)} <b>{mib_text(held)}</b></td>" if held else f"<td>{NOTHING}</td>"
    if published:
        cells += _beside(demand.key, demand.total_bytes, shown)
    fits = demand.fits(place)
    verdict = pill("fits" if fits else "does not fit")
    if demand.elsewhere_bytes and fits:
        verdict += f"<small>+ {mib_text(demand.elsewhere_bytes)} on the host</small>"
    bar = _bar(demand.parts, scale) + _limit(place, scale)
    bar += f'<i class="dot" style="left:{_share(held, scale)}"></i>' if held else ""
    bar += _diamond(demand.key, shown, scale)
    return f'<tr>{head}<td class="bar"><div>{bar}</div></td>{cells}<td>{verdict}</td></tr>'


def _only_published(key: str, value: int, scale: float) -> str:
    """A row of Table S1 whose solver is not here."""
    bar = _diamond(key, value, scale)
    return (
        f'<tr><th class="quiet">{PUBLISHED.get(key, key)}<span>published only</span></th>'
        f'<td class="bar"><div>{bar}</div></td><td>{NOTHING}</td><td>{NOTHING}</td>'
        f"<td>{value:,}</td><td>{NOTHING}</td><td></td></tr>"
    )


def _beside(key: str, total: int, shown: int | None) -> str:
    """The paper's value and the difference, which nothing hides."""
    if shown is None:
        return f"<td>{NOTHING}</td><td>{NOTHING}</td>"
    difference = round(total / MIB) - shown
    sign = "+" if difference > 0 else "−" if difference < 0 else "±"
    why = NOT_IDENTIFIED.get(key, "reproduced")
    return f'<td>{shown:,}</td><td title="{why}">{sign}{abs(difference):,}</td>'


def _bar(parts: Mapping[str, int], scale: float) -> str:
    pieces = []
    for part in PARTS:
        size = parts.get(part, 0)
        if not size:
            continue
        room = BAR_PX * size / scale
        words = next((w for w in style.MEMORY_LABELS[part] if text_width(w, 12) + 8 <= room), "")
        pieces.append(
            f'<u class="{part.replace(" ", "-")}" style="width:{_share(size, scale)}" '
            f'title="{part}: {mib_text(size)} MiB">{words}</u>'
        )
    return f"<p>{''.join(pieces)}</p>"


def _diamond(key: str, value: int | None, scale: float) -> str:
    if value is None:
        return ""
    words = NOT_IDENTIFIED.get(key, "")
    label = f"<em>{words}</em>" if words else ""
    title = f"Table S1: {value:,} MiB"
    left = _share(value * MIB, scale)
    return f'<i class="diamond" title="{title}" style="left:{left}"></i>' + (
        f'<s style="left:{left}">{label}</s>' if label else ""
    )


def _limit(place: Place, scale: float) -> str:
    if place.free_bytes > scale:
        return ""
    return f'<i class="limit" style="left:{_share(place.free_bytes, scale)}"></i>'


def _ticks(scale: float) -> str:
    step = nice(scale / MIB / 5, (1.0, 2.0, 5.0, 10.0))
    count = int(scale / MIB / step + 1e-9)
    marks = [f'<i style="left:{_share(k * step * MIB, scale)}">{k * step:,.6g}</i>'
             for k in range(count + 1)]  # fmt: skip
    return f"<div>{''.join(marks)}<em>MiB</em></div>"


def _share(size: float, scale: float) -> str:
    return f"{100 * size / scale:.2f}%"

"""The numbers beside the timeline as HTML: key figures, reasons of waits, sums, formulas.

Each figure names what it is a share of; :func:`how_computed` writes its formula down with the
numbers of the epoch that is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from mfviz.plots.epoch import duration_text, rate_text
from mfviz.plots.scale import bytes_text, number_text
from mfviz.telemetry.epoch import BETWEEN, EpochFacts, within
from mfviz.telemetry.history import History
from mfviz.theory.cost import Cost, epoch_cost, family_of
from mfviz.views.chips import chip
from mfviz.views.epoch_parts import Shown

__all__ = ["cost_of", "how_computed", "key_figures", "memory_of", "reasons", "selection"]

REASONS = {
    "transfer": "copy not there yet",
    "barrier": "barrier: other lanes not done",
    "no-free-block": "no free block",
    "launch": "launch and hand-over",
    BETWEEN: "between calls: no span",
    "wait": "no reason told",
}
KINDS = {
    "h2d": "to device", "kernel": "kernel", "d2h": "from device", "host": "host", "wait": "waits",
}  # fmt: skip
NOTHING = "–"
Figure = tuple[str, str, str, str]  # number, unit, what it is a share of: in short, and the rest
Limits = Mapping[str, float]
NOT_MEASURED: Limits = {}


def cost_of(history: History) -> Cost | None:
    """Arithmetic and traffic of an epoch by formula; None where none is known for the solver."""
    family, shape = family_of(history.solver, history.backend, history.params), history.shape
    if family is None or not shape or "rank" not in history.params:
        return None
    sizes = (shape["users"], shape["items"], shape["train"], int(history.params["rank"]))
    return epoch_cost(family, *sizes, workers=int(history.params.get("workers", 1)))


def memory_of(history: History) -> str:
    """Whose memory a run works in: that of this machine ("cpu") or of a device, by its name."""
    return "cpu" if history.backend == "cpu" else history.device


def key_figures(shown: Sequence[Shown], limits: Limits = NOT_MEASURED) -> str:
    """The five figures of the epoch, one line a run in each.

    Parameters
    ----------
    shown : sequence of Shown
    limits : mapping of str to float
        Bandwidth in bytes a second, by :func:`memory_of`, where it was measured.
    """
    cells: list[tuple[str, Callable[[Shown], Figure]]] = [
        ("Overlap", lambda s: _overlap(s.facts)),
        ("Idle", lambda s: _idle(s.facts)),
        ("Moved", lambda s: _moved(s, limits.get(memory_of(s.history), math.nan))),
        ("Updates", lambda s: _updates(s.facts)),
        ("Epoch", _epoch),
    ]
    parts = []
    for title, figure in cells:
        rows = "".join(_figure(s.letter, *figure(s), alone=len(shown) == 1) for s in shown)
        parts.append(f"<div><h3>{title}</h3>{rows or '<p>–</p>'}</div>")
    return f'<div class="keys">{"".join(parts)}</div>'


def reasons(shown: Sequence[Shown]) -> str:
    """Idle time of all lanes by reason, one bar a run."""
    if not shown:
        return _empty("Idle time by its reason stands here when an epoch is over.")
    known = [*REASONS, *(r for s in shown for r in s.facts.waits_ns)]
    found = [r for r in dict.fromkeys(known) if any(s.facts.waits_ns.get(r) for s in shown)]
    longest = max((s.facts.waits_ns.get(r, 0) for s in shown for r in found), default=1)
    rows = []
    for reason in found:
        bars = "".join(
            _bar(s.letter, s.facts.waits_ns.get(reason, 0), longest, "wait", len(shown))
            for s in shown
        )
        rows.append(f"<tr><th>{escape(REASONS.get(reason, reason))}</th><td>{bars}</td></tr>")
    sums = "".join(f'<div class="help">{escape(_verdict(s))}</div>' for s in shown)
    table = f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""
    return table + sums


def _verdict(s: Shown) -> str:
    """Idle time of a run in all, and what most of it was for."""
    f = s.facts
    words = f"{s.letter} idle in all: {_ms(f.idle_ns)} of {len(f.lanes)} × {_ms(f.solve_ns)}"
    most = max(f.waits_ns, key=lambda reason: f.waits_ns[reason], default="")
    if not most or not f.idle_ns:
        return f"{words}."
    share = _percent(f.waits_ns[most] / f.idle_ns)
    return f"{words}; {share} % of that: {REASONS.get(most, most).split(':')[0]}."


def selection(shown: Sequence[Shown], brush: tuple[float, float] | None) -> str:
    """What lies in the selection by kind; without a selection, in the whole epoch."""
    if not shown:
        return _empty("Sums by kind of operation stand here when an epoch is over.")
    sums = {}
    for s in shown:
        start, end = brush or (0.0, s.drawn.length)
        edges = (s.drawn.recorded_ns(start), s.drawn.recorded_ns(end))
        sums[s.letter] = within([box.span for box in s.drawn.boxes], *edges)
    longest = max((found[0] for by in sums.values() for found in by.values()), default=1)
    rows = []
    for op, words in KINDS.items():
        if not any(op in by for by in sums.values()):
            continue
        bars = ""
        for letter, by in sums.items():
            ns, ratings, moved = by.get(op, (0, 0, 0))
            more = f"{ratings:,} updates" if ratings else bytes_text(moved) if moved else ""
            bars += _bar(letter, ns, longest, op, len(shown), more)
        rows.append(f"<tr><th>{words}</th><td>{bars}</td></tr>")
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def how_computed(shown: Sequence[Shown], limits: Limits = NOT_MEASURED) -> str:
    """Formula of each figure with the numbers of the epoch."""
    parts = [_how(s, limits.get(memory_of(s.history), math.nan)) for s in shown]
    return "".join(parts) or "<p>No epoch is over yet.</p>"


# --- one figure each ------------------------------------------------------------------------


def _overlap(facts: EpochFacts) -> Figure:
    if math.isfinite(facts.overlap.share):
        return _percent(facts.overlap.share), "%", "of the shorter", " of copying and computing"
    if len(facts.lanes) < 2 or not math.isfinite(facts.together.share):
        return NOTHING, "", "one lane", " that copies nothing"
    return _percent(facts.together.share), "%", "of busy time", " two lanes or more work"


def _idle(facts: EpochFacts) -> Figure:
    rest = f"; nothing at work {_percent(facts.nothing_share)} % of the epoch"
    return _percent(facts.idle_share), "%", "of lane time", rest


def _moved(s: Shown, limit: float) -> Figure:
    facts, cost = s.facts, cost_of(s.history)
    short, notes, number = "", [], math.nan
    if math.isfinite(facts.copied_per_second):
        number, short = facts.copied_per_second, "while copying"
        notes.append(f", {bytes_text(facts.copied_bytes)} an epoch")
    if cost is not None and facts.kernel_ns:
        kernels = 1e9 * cost.bytes / facts.kernel_ns
        flops = f"{number_text(cost.flops / facts.kernel_ns)} GFLOP/s"
        if math.isnan(number):
            number, short = kernels, "in kernels"
            notes.append(f" by formula, {flops}")
        else:
            notes.append(f"kernels {number_text(kernels / 1e9)} GB/s, {flops} by formula")
        if math.isfinite(limit):
            notes.append(
                f"{_percent(kernels / limit)} % of the {limit / 1e9:.0f} GB/s that memory gives"
            )
    if math.isnan(number):
        return NOTHING, "", "no formula", " is known for this solver"
    return number_text(number / 1e9), "GB/s", short, "; ".join(notes)


def _updates(facts: EpochFacts) -> Figure:
    if not math.isfinite(facts.per_second_in_kernels):
        return NOTHING, "", "no ratings", " told by its kernels"
    number, _, unit = rate_text(facts.per_second_in_kernels).partition(" ")
    over = rate_text(facts.per_second)
    return number, f"{unit}/s", "in kernels", f"; {over}/s over the epoch"


def _epoch(s: Shown) -> Figure:
    number, unit = _ms(s.facts.solve_ns).split(" ")
    rest = f", epoch {s.facts.epoch} of {s.history.params.get('epochs', '?')}"
    if s.facts.copied_bytes:
        rest += f"; one stream: {_ms(sum(s.facts.ops_ns.values()))}, modelled"
    return number, unit, "solve time", rest


def _figure(letter: str, number: str, unit: str, short: str, rest: str, *, alone: bool) -> str:
    """One run's line: where several stand below each other, the words in short."""
    kind, mark, words = ("one", "", short + rest) if alone else ("several", chip(letter), short)
    return (
        f'<div class="{kind}" title="{escape(short + rest)}">{mark}<b>{number}</b><i>{unit}</i>'
        f"<span>{escape(words)}</span></div>"
    )


def _bar(letter: str, ns: int, longest: int, kind: str, runs: int, more: str | None = None) -> str:
    width = 100 * ns / max(longest, 1)
    mark = chip(letter) if runs > 1 else ""
    time = _ms(ns) if ns else NOTHING
    extra, kind_of_row = ("", " short") if more is None else (f"<em>{escape(more)}</em>", "")
    return (
        f'<div class="bar{kind_of_row}">{mark}<i><u class="{kind}" style="width:{width:.1f}%">'
        f"</u></i><b>{time}</b>{extra}</div>"
    )


def _empty(words: str) -> str:
    return f'<div class="help">{words}</div>'


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return NOTHING
    return f"{100 * share:.0f}" if share >= 0.0995 or share == 0 else f"{100 * share:.1f}"


def _ms(ns: float) -> str:
    return duration_text(ns / 1e6)


def _how(s: Shown, limit: float) -> str:
    f, cost = s.facts, cost_of(s.history)
    lines = []
    if math.isfinite(f.overlap.share):
        o = f.overlap
        lines.append((
            "Overlap", "time in which something is copied and something computed ÷ the shorter of "
            "both times", f"{_ms(o.both_ns)} ÷ min({_ms(o.copy_ns)} copying, {_ms(o.compute_ns)} "
            f"computing) = {_percent(o.share)} %; of computing alone "
            f"{_percent(o.both_ns / o.compute_ns)} %",
        ))  # fmt: skip
    if math.isfinite(f.together.share):
        t = f.together
        lines.append((
            "Lanes side by side", "time in which two lanes or more work ÷ time in which any does",
            f"{_ms(t.several_ns)} ÷ {_ms(t.busy_ns)} = {_percent(t.share)} %",
        ))  # fmt: skip
    lines.append((
        "Idle", "1 − work of all lanes ÷ (lanes × epoch); an epoch is its solve time, without "
        "evaluation and pauses",
        f"1 − {_ms(sum(f.work_ns.values()))} ÷ ({len(f.lanes)} × {_ms(f.solve_ns)}) = "
        f"{_percent(f.idle_share)} %",
    ))  # fmt: skip
    if f.copied_bytes:
        lines.append((
            "Copies", "bytes of all copies ÷ time in which something is copied",
            f"{bytes_text(f.copied_bytes)} ÷ {_ms(f.copy_ns)} = "
            f"{number_text(f.copied_per_second / 1e9)} GB/s",
        ))  # fmt: skip
    if cost is not None and f.kernel_ns:
        lines += _costs(f, cost, limit)
    if f.kernel_ns and f.ratings:
        lines.append((
            "Updates", "ratings that kernels visited ÷ time in which a kernel runs, and ÷ epoch",
            f"{f.ratings:,} ÷ {_ms(f.kernel_ns)} = {rate_text(f.per_second_in_kernels)}/s; "
            f"÷ {_ms(f.solve_ns)} = {rate_text(f.per_second)}/s",
        ))  # fmt: skip
    rows = "".join(
        f"<dt>{name}</dt><dd>{escape(formula)}<br><b>{escape(numbers)}</b></dd>"
        for name, formula, numbers in lines
    )
    title = escape(s.history.title or s.history.solver)
    return f"<h3>{chip(s.letter)} {title}, epoch {f.epoch}</h3><dl>{rows}</dl>"


def _costs(f: EpochFacts, cost: Cost, limit: float) -> list[tuple[str, str, str]]:
    """Traffic and arithmetic by formula, and beside what memory gives."""
    time = _ms(f.kernel_ns)
    rate = cost.bytes / f.kernel_ns
    share = ""
    if math.isfinite(limit):
        share = (
            f"; {_percent(1e9 * rate / limit)} % of the {limit / 1e9:.1f} GB/s that a triad of "
            "all threads reached here (more than 100 %: caches serve what the formula counts)"
        )
    return [
        (
            "Traffic of kernels", f"{cost.bytes_formula} bytes, nothing reused across ratings, ÷ "
            "time in which a kernel runs",
            f"{bytes_text(cost.bytes)} ÷ {time} = {number_text(rate)} GB/s{share}",
        ),
        (
            "Arithmetic of kernels", f"{cost.flops_formula} flops ÷ time in which a kernel runs",
            f"{number_text(cost.flops / 1e6)} Mflop ÷ {time} = "
            f"{number_text(cost.flops / f.kernel_ns)} GFLOP/s",
        ),
    ]  # fmt: skip

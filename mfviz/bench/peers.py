"""mfviz's solvers beside the packages that people use: one split, one machine, in turns.

Times of different runs of a benchmark do not compare: a machine drifts by a third. All contenders
therefore take turns, round after round, and what is compared is the median of the ratios within
the rounds. Each peer has its better one of several settings, chosen on the *test* ratings; mfviz's
own settings were chosen on validation parts of training ratings.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mfviz.bench.contenders import Contender, Curve, Job, Ours, Speed, least, others
from mfviz.bench.peak import Peak
from mfviz.cli_common import seconds, size, table
from mfviz.data.problem import Problem
from mfviz.errors import MfvizError
from mfviz.progress import progress_bar

__all__ = ["OURS", "Entry", "common_goal", "compare", "reached", "tell"]

# Solvers and what is set over their proposals; without biases it is LIBMF's model.
OURS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("strip_sgd", {}),
    ("strip_sgd", {"biases": False}),
    ("fpsgd", {}),
    ("als", {}),
    ("als", {"solve": "cg"}),
)
EPOCHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20)  # where curves of peers are sampled
MARGIN = 0.0005  # of the goal above the best RMSE of the reference
REFERENCE = "LIBMF"


@dataclass
class Entry:
    """A contender and what was found out about it."""

    contender: Contender
    curves: list[tuple[dict[str, Any], Curve]] = field(default_factory=list)
    chosen: int = 0
    speeds: list[Speed] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the chosen curve."""
        return self.curves[self.chosen][0] if self.curves else {}

    @property
    def curve(self) -> Curve:
        """RMSE by epoch at the chosen settings; empty where only time counts."""
        return self.curves[self.chosen][1] if self.curves else []

    def choose(self, goal: float) -> None:
        """Take the settings that reach the goal first, else those that come closest."""
        if self.curves:
            ranks = [(reached(curve, goal), least(curve)) for _, curve in self.curves]
            self.chosen = ranks.index(min(ranks))


def reached(curve: Curve, goal: float) -> float:
    """First epoch at which a curve is at the goal; infinity if it never is."""
    return next((float(epoch) for epoch, error in curve if error <= goal), math.inf)


def common_goal(entries: Sequence[Entry]) -> float:
    """Return the RMSE to reach: just above the best of LIBMF, or of the worst without LIBMF."""
    lowest = {
        entry.contender.label: min(least(curve) for _, curve in entry.curves)
        for entry in entries
        if entry.curves
    }
    finite = [error for error in lowest.values() if math.isfinite(error)]
    if not finite:
        return math.nan
    return math.ceil(1e4 * (lowest.get(REFERENCE, max(finite)) + MARGIN)) / 1e4


def compare(
    problem: Problem,
    *,
    rank: int,
    threads: int,
    repeat: int,
    goal: float | None = None,
    libmf: str | None = None,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Compare all contenders on one problem.

    Parameters
    ----------
    problem : Problem
    rank, threads : int
    repeat : int
        Rounds; in each round every contender is timed once.
    goal : float, optional
        Test RMSE to reach; see :func:`common_goal`.
    libmf : str, optional
        LIBMF's shared library.
    only : sequence of str
        Parts of labels; all contenders if it is empty.

    Returns
    -------
    dict
        ``on`` (what was compared), ``contenders`` (a row each) and ``missing`` (label, reason).
    """
    job = Job(problem, rank, threads)
    entries, missing = _begin(job, libmf, only)
    for entry in progress(entries, "curves"):
        contender = entry.contender
        if contender.explicit:
            for settings in contender.choices:
                entry.curves.append((settings, contender.curve(job, settings, EPOCHS)))
    goal = common_goal(entries) if goal is None else goal
    for entry in entries:
        entry.choose(goal)
        with Peak() as peak:
            entry.contender.train(entry.settings, 1)
        entry.peak_bytes = peak.rise
    for entry in progress(entries * repeat, "rounds"):  # in turns
        entry.speeds.append(entry.contender.measure(entry.settings))
    reference = next((e for e in entries if e.contender.label == REFERENCE), None)
    return {
        "on": {
            "data": problem.train.name,
            "fingerprint": problem.fingerprint,
            "ratings": problem.train.nnz,
            "rank": rank,
            "threads": threads,
            "goal_rmse": goal,
            "rounds": repeat,
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
        "contenders": [_row(entry, job, goal, reference) for entry in entries],
        "missing": missing,
    }


def tell(found: dict[str, Any]) -> str:
    """Write a comparison as a table, with who is missing below."""
    on = found["on"]
    goal = on["goal_rmse"]
    head = (
        f"{on['data']}: {on['ratings']:,} training ratings, rank {on['rank']}, {on['threads']} "
        f"thread(s), {on['rounds']} rounds, load {on['load'] or 0:.1f}"
    )
    names = (
        "", "Mu/s", "an epoch", "set-up", "memory", "best RMSE", f"epochs to {goal:.4f}",
        "seconds", "x LIBMF, epoch", "x LIBMF, to RMSE", "note",
    )  # fmt: skip
    rows = [
        (
            row["label"],
            f"{row['mega_updates_per_s']:.1f}",
            seconds(row["epoch_s"]),
            seconds(row["setup_s"]),
            size(row["peak_bytes"]),
            _number(row["best_rmse"], ".4f"),
            _number(row["epochs_to_goal"], ".0f"),
            _number(row["seconds_to_goal"], ".3g"),
            _number(row["speed_ratio"], ".2f"),
            _number(row["goal_ratio"], ".2f"),
            row["note"],
        )
        for row in found["contenders"]
    ]
    lines = [head, table(names, rows)]
    lines += [f"missing: {who['label']}: {who['reason']}" for who in found["missing"]]
    return "\n".join(lines)


def _begin(
    job: Job, libmf: str | None, only: Sequence[str]
) -> tuple[list[Entry], list[dict[str, str]]]:
    """Get everybody ready; who cannot take part is named with the reason."""
    entries, missing = [], []
    wanted: list[Contender] = [*(Ours(key, over) for key, over in OURS), *others(libmf)]
    for contender in wanted:
        if only and not any(part.lower() in contender.label.lower() for part in only):
            continue
        try:
            contender.begin(job)
        except (ImportError, MfvizError) as error:
            missing.append({"label": contender.label, "reason": str(error)})
        else:
            entries.append(Entry(contender))
    return entries, missing


def progress(entries: Sequence[Entry], what: str) -> Any:
    """Go through entries with a progress bar."""
    with progress_bar(len(entries), what, unit="run") as bar:
        for entry in entries:
            bar.set_postfix_str(entry.contender.label)
            yield entry
            bar.update()


def _row(entry: Entry, job: Job, goal: float, reference: Entry | None) -> dict[str, Any]:
    epoch_s = statistics.median(speed.epoch_s for speed in entry.speeds)
    epochs = reached(entry.curve, goal)
    faster, sooner = math.nan, math.nan
    if reference is not None:
        pairs = zip(reference.speeds, entry.speeds, strict=True)
        faster = statistics.median(theirs.epoch_s / own.epoch_s for theirs, own in pairs)
        if math.isfinite(epochs):
            sooner = faster * reached(reference.curve, goal) / epochs
    return {
        "label": entry.contender.label,
        "note": entry.contender.note,
        "settings": entry.settings,
        "epoch_s": epoch_s,
        "setup_s": statistics.median(speed.setup_s for speed in entry.speeds),
        "mega_updates_per_s": job.problem.train.nnz / epoch_s / 1e6,
        "peak_bytes": entry.peak_bytes,
        "best_rmse": least(entry.curve),
        "epochs_to_goal": epochs,
        "seconds_to_goal": epochs * epoch_s,
        "speed_ratio": faster,
        "goal_ratio": sooner,
        "curve": [[epoch, epoch * epoch_s, error] for epoch, error in entry.curve],
        "epoch_s_by_round": [speed.epoch_s for speed in entry.speeds],
    }


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"

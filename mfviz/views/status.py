"""The status in words: a pill and one sentence that ends with the finding.

The sentence names both axes where the verdict flips between them: who leads epoch by epoch, and
who was first below a shared RMSE in solve seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from mfviz.views.chips import rmse
from mfviz.views.tracks import Track

__all__ = ["finding", "page_state", "sentence", "shared_target"]

ORDER = (
    "running", "warming", "queued", "paused", "replay", "failed", "diverged", "stopped", "done",
)  # fmt: skip


def page_state(tracks: Sequence[Track]) -> str:
    """Return the state that stands for all tracks: the liveliest one."""
    found = {track.status for track in tracks}
    return next((state for state in ORDER if state in found), "empty")


def sentence(tracks: Sequence[Track], waiting: Callable[[Track], int]) -> str:
    """Say where the runs are and what they show, as HTML.

    Parameters
    ----------
    tracks : sequence of Track
        A, or A and B.
    waiting : callable
        Number of jobs before a queued track.
    """
    if not tracks:
        return "Choose data and a solver, then press Run."
    parts = [_where(track, waiting) for track in tracks]
    verdict = finding(tracks)
    return " ".join([*parts, f"<b>{verdict}</b>" if verdict else ""]).strip()


def finding(tracks: Sequence[Track]) -> str:
    """Say which run leads, on which axis; nothing before both have two epochs."""
    rows = [track.history.evaluated for track in tracks]
    if len(tracks) != 2 or any(len(found) < 2 for found in rows):
        return ""
    if any(track.status in ("diverged", "failed") for track in tracks):
        return ""
    epoch = min(found[-1].epoch for found in rows)
    at = [next((r.test_rmse for r in found if r.epoch == epoch), math.nan) for found in rows]
    target = shared_target(tracks)
    if math.isnan(target) or any(math.isnan(value) for value in at):
        return ""
    by_epoch = _better(tracks, at)
    by_second = _better(tracks, [track.history.seconds_to(target) for track in tracks])
    if not by_epoch and not by_second:
        return f"Both reach the same RMSE after {epoch} epochs."
    first = f"Per epoch {by_epoch} leads" if by_epoch else "Per epoch neither leads"
    if not by_second:
        return f"{first}; per second both were below {rmse(target, 3)} at the same time."
    link = "and" if by_second == by_epoch else "but"
    return f"{first}, {link} per second {by_second} was first below {rmse(target, 3)}."


def shared_target(tracks: Sequence[Track]) -> float:
    """Return the lowest test RMSE, to three decimals upwards, that every track has reached."""
    best = [track.history.best_test_rmse for track in tracks]
    if not best or any(not math.isfinite(value) for value in best):
        return math.nan
    return math.ceil(max(best) * 1000 - 1e-9) / 1000


def _better(tracks: Sequence[Track], values: Sequence[float]) -> str:
    """Letter of the track with the lower value, nothing where they are equal to 1 in 1000."""
    low, high = sorted(values)
    if math.isnan(low) or math.isnan(high) or high - low <= 5e-4 * max(abs(high), 1e-12):
        return ""
    return tracks[values.index(low)].letter


def _where(track: Track, waiting: Callable[[Track], int]) -> str:
    name = f'<span class="run {track.letter}">{track.letter}</span>'
    status, history = track.status, track.history
    place = f"epoch {track.epoch} of {track.epochs}"
    last = history.evaluated[-1].test_rmse if history.evaluated else math.nan
    if status == "queued":
        ahead = waiting(track)
        return f"{name} is queued, {ahead} before it." if ahead else f"{name} is next."
    if status == "warming":
        return f"{name} compiles its kernels."
    if status in ("running", "replay"):
        return f"{name} is at {place}{_trend(track)}."
    if status == "paused":
        return f"{name} is paused at {place}, test RMSE {rmse(last, 3)}."
    if status == "done":
        return f"{name} finished at {rmse(last, 3)}."
    if status == "stopped":
        return f"{name} was stopped at {place}."
    why = track.reason or "it gave no reason."
    return f"{name} {'diverged' if status == 'diverged' else 'failed'}: {escape(why)}"


def _trend(track: Track) -> str:
    rows = [r.test_rmse for r in track.history.evaluated if not math.isnan(r.test_rmse)]
    if len(rows) < 3:
        return ""
    change = rows[-2] - rows[-1]
    if abs(change) < 5e-5:
        return " and hardly changes"
    verb = "falls" if change > 0 else "rises"
    digits = 3 if abs(change) >= 5e-4 else 4
    return f" and {'still ' if change > 0 else ''}{verb} by {abs(change):.{digits}f} an epoch"

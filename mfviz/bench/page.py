"""The page as a user meets it: how soon a curve moves, what watching costs, how late events show.

A real browser opens a real server. Times of events come from the run's own file, which the server
writes through, so the page is not asked to measure itself.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import numpy as np

from mfviz import browser as browsers
from mfviz.errors import MfvizError
from mfviz.serve import server

__all__ = ["WATCH", "Desk", "latency", "opening", "overhead"]

Found = TypeVar("Found")
OPENINGS = 5
DEADLINE_S = 300.0
LAST_BYTES = 20_000  # more than the last line of a run's file

# Looks at the source of the RMSE figure before each frame is painted, and notes how many rows have
# a value and when each (run, epoch) was first there; the note is taken one frame later, so that
# the frame with the change is on the screen.
WATCH = """
window.mfvizSeen = {lengths: [], rows: []};
(() => {
  const known = new Set(); let last = -1;
  const source = () => {
    for (const doc of (window.Bokeh?.documents ?? []))
      for (const model of doc._all_models.values())
        if (model.name === 'live-rmse') return model;
    return null;
  };
  const look = () => {
    requestAnimationFrame(look);
    const data = source()?.data;
    if (!data?.train_rmse) return;
    const fresh = []; let count = 0;
    for (let at = 0; at < data.train_rmse.length; at++) {
      if (!Number.isFinite(data.train_rmse[at])) continue;
      count += 1;
      const key = data.run[at] + ' ' + data.epoch[at];
      if (!known.has(key)) { known.add(key); fresh.push([data.run[at], data.epoch[at]]); }
    }
    if (count < last) known.clear();  // another run, whose epochs are new
    if (count === last && !fresh.length) return;
    const grown = count > last; last = count;
    requestAnimationFrame(() => {
      const now = Date.now();
      if (grown) window.mfvizSeen.lengths.push([performance.now() / 1e3, count]);
      for (const [run, epoch] of fresh) window.mfvizSeen.rows.push([run, epoch, now / 1e3]);
    });
  };
  requestAnimationFrame(look);
})();
"""


class Desk:
    """A server with a folder of its own for runs, and a browser.

    Attributes
    ----------
    url : str
        Address of the page.
    runs : Path
        Where the server keeps its runs.
    """

    def __init__(self, url: str, runs: Path, browser: Any) -> None:
        self.url, self.runs, self._browser = url, runs, browser

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Desk]:
        """Start server and browser, and open the page once so that both are warm."""
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise MfvizError(
                "this benchmark drives a browser with Playwright: pip install 'mfviz[dev]'."
            ) from None
        executable = browsers.find()
        if executable is None:
            raise MfvizError("found no Chromium or Chrome; install one or set CHROMIUM to it.")
        flags = [*browsers.FLAGS, "--no-sandbox", "--disable-gpu"]
        with tempfile.TemporaryDirectory(prefix="mfviz-bench-") as scratch:
            runs = Path(scratch)
            with server(settings={"MFVIZ_RUNS_DIR": scratch}) as url, sync_playwright() as play:
                chromium = play.chromium.launch(executable_path=executable, args=flags)
                desk = cls(url, runs, chromium)
                with desk.page() as page:
                    page.get_by_text("live ready").wait_for(timeout=1000 * DEADLINE_S)
                yield desk
                chromium.close()

    @contextlib.contextmanager
    def page(
        self, settings: Mapping[str, Any] | None = None, *, watched: bool = True
    ) -> Iterator[Any]:
        """Open the page in a context of its own, ``watched`` by :data:`WATCH` or left alone."""
        context = self._browser.new_context(viewport={"width": 1440, "height": 900})
        try:
            page = context.new_page()
            if watched:
                page.add_init_script(WATCH)
            page.goto(f"{self.url}?{urlencode(settings or {})}")
            yield page
        finally:
            context.close()

    def run(self, page: Any) -> Path:
        """Press Run and return the folder of the run, once it has begun to write."""
        before = self._files()
        button = page.get_by_role("button", name="Run", exact=True)
        button.wait_for(timeout=1000 * DEADLINE_S)
        page.get_by_text("fits:").first.wait_for(timeout=1000 * DEADLINE_S)
        button.click()
        return _until(lambda: next(iter(self._files() - before), None), "run").parent

    def _files(self) -> set[Path]:
        return set(self.runs.glob("*/events.jsonl"))  # a folder is there before its file


def opening(desk: Desk) -> dict[str, float]:
    """Seconds from opening the page to a curve, and to a curve that grew, on a warm server.

    Parameters
    ----------
    desk : Desk

    Returns
    -------
    dict
        Medians over several openings, and the worst.
    """
    shown, moving = [], []
    for _ in range(OPENINGS):
        with desk.page() as page:
            page.wait_for_function("mfvizSeen.lengths.length >= 3", timeout=1000 * DEADLINE_S)
            lengths = page.evaluate("mfvizSeen.lengths")
        shown.append(lengths[0][0])
        moving.append(next(at for at, count in lengths[1:] if count > lengths[0][1]))
    return {
        "curve_s": statistics.median(shown),
        "moving_s": statistics.median(moving),
        "worst_moving_s": max(moving),
        "openings": float(OPENINGS),
    }


def overhead(desk: Desk, job: Mapping[str, Any], *, repeat: int) -> dict[str, Any]:
    """Solve seconds of one job on the page at unlimited pace, and of the same without a page.

    Parameters
    ----------
    desk : Desk
    job : mapping
        data, solver and its settings, as in the page's address.
    repeat : int
        Pairs of runs, in turns.

    Returns
    -------
    dict
        Medians in seconds; the median of the pairs' ratios as ``overhead_percent``, and the
        interval that holds the median of 90 % of the samples that are drawn from the pairs again
        (a bootstrap). The browser works on a core of its own only if the job leaves one: give the
        job fewer workers than there are cores.
    """
    watched: list[float] = []
    alone: list[float] = []
    for at in range(repeat):
        # A machine that others use grows slower or faster meanwhile: take turns in going first.
        for runs in (alone, watched) if at % 2 else (watched, alone):
            runs.append(_watched(desk, job) if runs is watched else _alone(job))
    ratios = np.array(watched) / np.array(alone)
    drawn = np.random.default_rng(0).choice(ratios, (2000, repeat))
    low, high = np.quantile(np.median(drawn, axis=1), (0.05, 0.95))
    return {
        "with_page_s": statistics.median(watched),
        "without_page_s": statistics.median(alone),
        "overhead_percent": 100 * (float(np.median(ratios)) - 1),
        "overhead_low_percent": 100 * (float(low) - 1),
        "overhead_high_percent": 100 * (float(high) - 1),
        "watched": watched,
        "alone": alone,
    }


def latency(desk: Desk, job: Mapping[str, Any], *, rate: float, events: int) -> dict[str, float]:
    """Milliseconds from an epoch's event to its appearance on the page.

    Parameters
    ----------
    desk : Desk
    job : mapping
        As for :func:`overhead`, without epochs.
    rate : float
        Epochs a second.
    events : int
        Epochs to run.

    Returns
    -------
    dict
        Median, 95th percentile, worst, and the share of events that were shown.
    """
    settings = {**job, "compare": "", "pace": rate, "epochs": events}
    with desk.page(settings) as page:
        tail = _Tail(desk.run(page) / "events.jsonl")
        tail.join(DEADLINE_S)
        page.wait_for_timeout(1000)
        rows = page.evaluate("mfvizSeen.rows")
    happened = tail.happened()
    last = {epoch: at for _, epoch, at in rows}  # the live run is seen after the recorded one
    late = sorted(1000 * (last[epoch] - at) for epoch, at in happened.items() if epoch in last)
    if not late:
        raise MfvizError("the page showed no event of the run.")
    return {
        "p50_ms": statistics.median(late),
        "p95_ms": late[min(len(late) - 1, math.ceil(0.95 * len(late)) - 1)],
        "worst_ms": late[-1],
        "shown_percent": 100 * len(late) / len(happened),
        "events_per_s": rate,
    }


class _Tail(threading.Thread):
    """Reads a run's file as it grows, and finds out when its clock began."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path, self._origin = path, math.inf
        self._evaluated: dict[int, int] = {}
        self.start()

    def run(self) -> None:
        """Follow the file until run-ended."""
        rest = ""
        with self._path.open(encoding="utf-8") as file:
            while True:
                rest += file.read()
                now = time.time()
                *lines, rest = rest.split("\n")
                for line in lines:
                    event = json.loads(line)
                    # A line is seen just after it was written, never before: the least
                    # difference is the origin of t_ns, to within one look.
                    self._origin = min(self._origin, now - event["t_ns"] / 1e9)
                    if event["event"] == "evaluated":
                        self._evaluated[event["epoch"]] = event["t_ns"]
                    if event["event"] == "run-ended":
                        return
                time.sleep(0.001)

    def happened(self) -> dict[int, float]:
        """Seconds of the wall clock by epoch."""
        return {epoch: self._origin + t_ns / 1e9 for epoch, t_ns in self._evaluated.items()}


def _watched(desk: Desk, job: Mapping[str, Any]) -> float:
    """Solve seconds of the job on a page of its own at unlimited pace."""
    # To look at each frame would make the browser compose sixty of them a second.
    with desk.page({**job, "compare": "", "pace": "max"}, watched=False) as page:
        return float(_ended(desk.run(page))["solve_s"])


def _alone(job: Mapping[str, Any]) -> float:
    """Solve seconds of the job in a process without a page."""
    import subprocess
    import sys

    words = [sys.executable, "-m", "mfviz", "run", "--json", "--data", str(job["data"])]
    words += ["--solver", str(job["solver"])]
    for name, value in job.items():
        if name not in ("data", "solver"):
            words += ["--set", f"{name}={value}"]
    outcome = subprocess.run(words, capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise MfvizError(f"the run without a page failed: {outcome.stderr.strip()[-300:]}")
    return float(json.loads(outcome.stdout)["solve_s"])


def _ended(folder: Path) -> dict[str, Any]:
    """Return the run-ended event of a run folder, once it is there."""

    def look() -> dict[str, Any] | None:
        # The end alone, and seldom: whoever reads all of it again is part of what is measured.
        with (folder / "events.jsonl").open("rb") as file:
            file.seek(-min(file.seek(0, os.SEEK_END), LAST_BYTES), os.SEEK_END)
            lines = file.read().splitlines()
        if not lines or b'"run-ended"' not in lines[-1]:
            return None
        event: dict[str, Any] = json.loads(lines[-1])
        return event

    return _until(look, "run's end", every_s=0.5)


def _until(look: Callable[[], Found | None], what: str, *, every_s: float = 0.05) -> Found:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(every_s)
    raise MfvizError(f"waited {DEADLINE_S:g} s for the {what} in vain.")

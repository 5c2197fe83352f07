"""Memory: held amounts follow the ledger, stacks follow the order of the parts."""

from __future__ import annotations

import pytest

from mfviz.plots.memory import Memory, segments
from mfviz.telemetry.events import Allocated, Freed
from mfviz.telemetry.history import History
from mfviz.telemetry.log import EventLog
from tests.fakes import make_history


def test_rows_tell_what_is_held():
    history = make_history(end=True)
    rows = [dict(zip(Memory.columns, row, strict=True)) for row in Memory().rows("A", history)]
    p = [r["bytes"] for r in rows if r["name"] == "P" and r["measured"]]
    assert p == [4000, 0]
    models = {r["name"]: r["bytes"] for r in rows if not r["measured"]}
    assert models == {"P": 4000, "Q": 2000}
    samples = [r for r in rows if r["place"] == "rss"]
    assert len(samples) == len(history.memory)
    assert all(r["measured"] for r in samples)


def test_arrays_of_one_part_add_up():
    log = EventLog("r")
    for name in ("order", "blocks"):
        log.append(Allocated, place="host", name=name, bytes=100, part="buffers")
    log.append(Freed, place="host", name="order", bytes=100, part="buffers")
    history = History()
    history.follow(log)
    assert [row[4] for row in Memory().rows("A", history)] == [100, 200, 100]
    assert [row[4] for row in Memory().rows("A", history, (0, 2, 0))] == [100]


@pytest.mark.parametrize("measured", [True, False])
def test_segments_are_stacked_in_order(measured):
    found = [s for s in segments([("A", make_history())]) if s.measured == measured]
    assert [(s.part, s.start, s.end) for s in found] == [("P", 0, 4000), ("Q", 4000, 6000)]


def test_a_run_that_gave_all_back_still_shows_its_peak():
    history = make_history(end=True)
    assert history.held_by_part() == {}
    assert sum(s.end - s.start for s in segments([("A", history)]) if s.measured) == 6000

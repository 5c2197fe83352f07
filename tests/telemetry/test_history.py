from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.telemetry.events import (
    BlockTaken,
    Measured,
    Noticed,
    ParamChanged,
    RunEnded,
    Snapshot,
    Span,
    Unknown,
)
from mfviz.telemetry.history import EPOCH_COLUMNS, History
from mfviz.telemetry.log import EventLog
from tests.fakes import make_events, make_history

EVENTS = make_events(epochs=4, workers=3)


def tables(history: History) -> dict[str, object]:
    public = {name: value for name, value in vars(history).items() if not name.startswith("_")}
    derived = {
        "ended": history.ended,
        "best": history.best_test_rmse,
        "peak": history.peak_bytes,
        "held": history.held_by_part(),
        "idle": [history.idle_share(lane) for lane in history.lanes],
        "rate": history.updates_per_s,
    }
    return {**public, **derived}


@given(cuts=st.lists(st.integers(0, len(EVENTS)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_split_into_batches_gives_the_same_tables(cuts: list[int]) -> None:
    whole, parts = History(), History()
    whole.feed(EVENTS)
    edges = [0, *sorted(cuts), len(EVENTS)]
    for start, stop in pairwise(edges):
        parts.feed(EVENTS[start:stop])
    assert tables(parts) == tables(whole)


def test_before_the_first_event_a_history_is_empty() -> None:
    history = History()
    assert history.status == "queued"
    assert history.last is None
    assert math.isnan(history.best_test_rmse)
    assert math.isnan(history.updates_per_s)
    assert math.isnan(history.idle_share())
    assert math.isnan(history.seconds_to(1.0))
    assert history.rss_rise_bytes == 0
    assert len(history.frame()) == 0
    assert list(history.frame().columns) == list(EPOCH_COLUMNS)


def test_status_follows_the_events() -> None:
    history = History()
    seen: list[str] = []
    for event in EVENTS:
        history.feed([event])
        if not seen or seen[-1] != history.status:
            seen.append(history.status)
    assert seen == ["warming", "running", "done"]
    assert history.ended


def test_identity_comes_from_run_started() -> None:
    history = make_history(workers=3)
    assert (history.run, history.solver, history.title) == ("r1", "fake", "FAKE")
    assert history.params["lr"] == 0.05
    assert history.shape["set_aside"] == 1
    assert history.model == {"P": 4000, "Q": 2000}
    assert history.determinism == "exact"


def test_a_row_is_completed_by_its_evaluation() -> None:
    history = History()
    history.feed(EVENTS[:-3])
    partial = [row for row in history.epochs if math.isnan(row.test_rmse)]
    assert partial == []
    assert [row.epoch for row in history.epochs] == [0, 1, 2, 3, 4]
    assert history.epochs == history.evaluated
    assert [row.solve_s for row in history.epochs] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert [row.wall_s for row in history.epochs] == pytest.approx([0, 0.011, 0.022, 0.033, 0.044])
    assert history.epochs[2].updates == 600
    assert history.last is history.epochs[-1]


def test_rows_that_a_view_holds_do_not_change_under_it() -> None:
    history = History()
    at = next(k for k, event in enumerate(EVENTS) if event.kind == "evaluated")
    history.feed(EVENTS[:at])
    held = history.epochs[0]
    history.feed(EVENTS[at:])
    assert math.isnan(held.test_rmse)
    assert not math.isnan(history.epochs[0].test_rmse)


def test_best_rates_and_time_to_a_target() -> None:
    history = make_history(rmse=[2.0, 1.5, 0.9, 1.1])
    assert history.best_test_rmse == 0.9
    assert history.seconds_to(1.5) == pytest.approx(0.01)
    assert history.seconds_to(1.0) == pytest.approx(0.02)
    assert history.seconds_to(1.4, part="train") == pytest.approx(0.01)
    assert math.isnan(history.seconds_to(0.5))
    assert history.updates_per_s == pytest.approx(600 / 0.03)


def test_a_nan_test_rmse_is_no_best_and_no_target() -> None:
    history = make_history(rmse=[math.nan] * 4)
    assert math.isnan(history.best_test_rmse)
    assert math.isnan(history.seconds_to(100.0))


def test_idle_is_the_part_of_the_solve_time_without_work() -> None:
    history = make_history(epochs=5, workers=2)
    assert history.idle_share("W0") == pytest.approx(0.2)
    assert history.idle_share() == pytest.approx(0.2)


def test_evaluation_and_an_unfinished_epoch_do_not_count_as_idle_or_busy() -> None:
    events = make_events(epochs=2, workers=1)
    cut = max(k for k, event in enumerate(events) if event.kind == "epoch-ended")
    history = History()
    history.feed(events[:cut])  # the spans of epoch 2 are there, its end is not
    assert history.idle_share() == pytest.approx(0.2)


def test_memory_is_counted_by_part_and_at_its_peak() -> None:
    history = History()
    history.feed(EVENTS[:-3])
    assert history.held_by_part() == {"P": 4000, "Q": 2000}
    history.feed(EVENTS[-3:])
    assert history.held_by_part() == {}
    assert history.peak_bytes == 6000
    assert history.peak_by_place == {"host": 6000}
    assert history.peak_by_part == {"P": 4000, "Q": 2000}
    assert history.rss_rise_bytes == 4
    assert [row[2:] for row in history.ledger] == [
        ("P", "P", 4000), ("Q", "Q", 2000), ("P", "P", -4000), ("Q", "Q", -2000)
    ]  # fmt: skip


def test_every_kind_has_its_table() -> None:
    base: dict[str, Any] = {"run": "r1", "t_ns": 0}
    history = History()
    history.feed([
        Measured(seq=0, epoch=1, name="drift", value=0.5, **base),
        ParamChanged(seq=1, name="lr", old=0.1, new=0.2, **base),
        Snapshot(seq=2, epoch=1, name="P", **base),
        BlockTaken(seq=3, epoch=1, wave=0, row=0, col=0, worker=0, ratings=3, **base),
        Noticed(seq=4, level="warning", message="Beware.", **base),
        Noticed(seq=5, level="details", message="Traceback ...", **base),
        Unknown(seq=6, data={"event": "new"}, **base),
    ])  # fmt: skip
    assert [m.name for m in history.measured] == ["drift"]
    assert [c.new for c in history.changes] == [0.2]
    assert [s.name for s in history.snapshots] == ["P"]
    assert [b.ratings for b in history.blocks] == [3]
    assert [n.message for n in history.notices] == ["Beware."]
    assert history.details == "Traceback ..."
    assert len(history.unknown) == 1


def test_lanes_are_in_order_of_appearance() -> None:
    history = History()
    for seq, lane in enumerate(["W1", "W0", "W1", "W10"]):
        history.feed([
            Span(run="r", seq=seq, t_ns=0, lane=lane, op="kernel", name="n", start_ns=0, end_ns=1)
        ])  # fmt: skip
    assert history.lanes == ["W1", "W0", "W10"]


def test_the_end_brings_the_final_numbers() -> None:
    history = History()
    history.feed([
        RunEnded(run="r", seq=0, t_ns=0, status="diverged", reason="NaN.", fix="lr=0.1",
                 setup_s=1, solve_s=2, eval_s=3, wall_s=7)
    ])  # fmt: skip
    assert (history.status, history.reason, history.fix) == ("diverged", "NaN.", "lr=0.1")
    assert (history.setup_s, history.solve_s, history.eval_s, history.wall_s) == (1, 2, 3, 7)


def test_follow_pulls_only_what_is_new() -> None:
    log = EventLog("r")
    history = History()
    assert history.follow(log) == []
    for value in range(3):
        log.append(Measured, epoch=0, name="x", value=float(value))
    assert len(history.follow(log, limit=2)) == 2
    assert len(history.follow(log)) == 1
    assert history.follow(log) == []
    assert [m.value for m in history.measured] == [0.0, 1.0, 2.0]


def test_the_frame_has_numbers_and_a_row_an_epoch() -> None:
    frame = make_history(epochs=2).frame()
    assert list(frame["epoch"]) == [0, 1, 2]
    assert frame["updates"].dtype.kind == "i"
    assert all(frame[name].dtype.kind == "f" for name in EPOCH_COLUMNS[2:])

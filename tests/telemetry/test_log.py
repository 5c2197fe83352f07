from __future__ import annotations

import gc
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfviz.telemetry import log as log_module
from mfviz.telemetry.clock import SpanBatch, SpanBuffer
from mfviz.telemetry.events import Event, Measured, Noticed, Span, decode, encode
from mfviz.telemetry.log import EVENTS_FILE, EventLog
from tests.fakes import FakeClock


def tell(log: EventLog, value: float) -> None:
    log.append(Measured, epoch=0, name="x", value=value)


def values(events: list[Event]) -> list[float]:
    return [event.value for event in events if isinstance(event, Measured)]


def batch(count: int, workers: int = 2) -> SpanBatch:
    spans = SpanBuffer.make(workers, capacity=count + 1)
    for at in range(count):
        spans.add(at % workers, at * 10, at * 10 + 5, ratings=at, block=(at, 0))
    taken = spans.take(0, epoch=1, names=("update",))
    assert taken is not None
    return taken


def lines(folder: Path) -> list[Event]:
    return [decode(line) for line in (folder / EVENTS_FILE).read_text().splitlines()]


def test_events_are_numbered_and_stamped() -> None:
    clock = FakeClock(5)
    log = EventLog("r", clock=clock)
    tell(log, 0)
    clock.tick(2)
    event = log.append(Noticed, level="info", message="m")
    assert (event.run, event.seq, event.t_ns) == ("r", 1, 2_000_000_000)
    assert len(log) == 2


def test_each_reader_has_a_cursor_of_its_own() -> None:
    log = EventLog("r")
    for value in range(5):
        tell(log, value)
    first, cursor = log.read(0, limit=2)
    rest, end = log.read(cursor)
    assert values(first) + values(rest) == [0, 1, 2, 3, 4]
    assert log.read(end) == ([], 5)
    tell(log, 5)
    assert values(log.read(end)[0]) == [5]
    assert values(log.read(0)[0]) == list(range(6))


def test_a_cursor_beyond_the_end_waits_there() -> None:
    log = EventLog("r")
    tell(log, 0)
    assert log.read(7) == ([], 7)


@pytest.mark.parametrize("folder", [True, False])
def test_spans_of_a_batch_read_like_any_events(tmp_path: Path, folder: bool) -> None:
    log = EventLog("r", tmp_path if folder else None)
    tell(log, 0)
    assert log.append_spans(batch(6)) == 6
    tell(log, 1)
    events, _ = log.read()
    assert [event.seq for event in events] == list(range(8))
    spans = [event for event in events if isinstance(event, Span)]
    assert [span.lane for span in spans] == ["W0", "W0", "W0", "W1", "W1", "W1"]
    assert [span.ratings for span in spans] == [0, 2, 4, 1, 3, 5]
    assert log.read(3, limit=2)[0] == events[3:5]
    assert log.read(0)[0] == events
    if folder:
        assert lines(tmp_path) == events


def test_lines_of_a_batch_are_those_of_its_events() -> None:
    taken = SpanBatch(
        np.array([[1, 2, 4, 0, -1, -1, 1, 1, 0], [3, 9, 2, 7, 0, 5, 0, 0, 96]]),
        np.array([0, 1]), 3, ('a "name"', "barrier"), ('the "M"', "copy"), "cuda-events",
    )  # fmt: skip
    log = EventLog('r"1')
    log.append_spans(taken)
    events, _ = log.read()
    assert taken.lines('r"1', 0, events[0].t_ns) == [encode(event) for event in events]


def test_past_its_limit_the_log_reads_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "SEGMENT", 8)
    log = EventLog("r", limit=40)
    for value in range(300):
        tell(log, value)
        if value % 50 == 49:
            log.append_spans(batch(10))
    assert len(log) == 360
    assert sum(len(segment.events) for segment in log._segments) <= 40
    everything, _ = log.read()
    assert [event.seq for event in everything] == list(range(360))
    assert values(everything) == list(range(300))
    for start in range(0, 360, 7):
        assert log.read(start, limit=20)[0] == everything[start : start + 20]


def test_the_scratch_file_goes_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "SEGMENT", 4)
    log = EventLog("r", limit=8)
    for value in range(50):
        tell(log, value)
    assert log._path is not None
    folder = log._path.parent
    log.close()
    assert values(log.read()[0]) == list(range(50))
    del log
    gc.collect()
    assert not folder.exists()


def test_every_event_is_on_disk_at_once(tmp_path: Path) -> None:
    log = EventLog("r", tmp_path / "new")
    for value in range(3):
        tell(log, value)
        assert lines(tmp_path / "new") == log.read()[0]


@pytest.mark.parametrize("limit", [10**6, 64])
def test_readers_lose_nothing_while_a_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(log_module, "SEGMENT", 16)
    log = EventLog("r", tmp_path, limit=limit)
    over = threading.Event()
    got: list[list[int]] = [[] for _ in range(3)]

    def read(mine: list[int], most: int | None) -> None:
        cursor = 0
        while not (over.is_set() and cursor == len(log)):
            events, cursor = log.read(cursor, most)
            mine += [event.seq for event in events]

    def write(start: int) -> None:
        for value in range(start, start + 300):
            tell(log, value)
            if value % 60 == 0:
                log.append_spans(batch(9))
            if value % 50 == 0:
                log.extend(Noticed, [{"level": "info", "message": str(k)} for k in range(5)])

    readers = [
        threading.Thread(target=read, args=(mine, most))
        for mine, most in zip(got, (None, 1, 17), strict=True)
    ]
    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 300)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in readers:
        thread.join()
    assert got == [list(range(len(log)))] * 3
    assert [event.seq for event in lines(tmp_path)] == list(range(len(log)))


def test_a_full_disk_is_told_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog("r", tmp_path, limit=4)
    tell(log, 0)

    class Full:
        def write(self, data: bytes) -> Any:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    log._file.close()
    monkeypatch.setattr(log, "_file", Full())
    for value in range(1, 20):
        tell(log, value)
    log.append_spans(batch(3))
    events, _ = log.read()
    assert values(events) == list(range(20))
    notices = [event for event in events if isinstance(event, Noticed)]
    assert len(notices) == 1
    assert "No space left" in notices[0].message
    assert [event.seq for event in events] == list(range(len(events)))


def test_extend_stamps_in_order() -> None:
    log = EventLog("r")
    assert log.extend(Noticed, ({"level": "info", "message": str(k)} for k in range(3))) == 3
    assert log.append_many([]) == 0
    assert [json.loads(encode(event))["message"] for event in log.read()[0]] == ["0", "1", "2"]

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mfviz.telemetry.history import History
from mfviz.telemetry.trace import perfetto, write_perfetto
from tests.fakes import make_history

# What the trace event format asks of each phase that is used here.
NEEDED = {
    "M": {"name", "pid", "tid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "C": {"name", "pid", "tid", "ts", "args"},
}


def by_phase(trace: dict[str, Any], phase: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def test_every_event_has_what_its_phase_needs() -> None:
    trace = perfetto(make_history(epochs=2, workers=2))
    assert trace["displayTimeUnit"] == "ms"
    for event in trace["traceEvents"]:
        assert set(event) >= NEEDED[event["ph"]]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if "ts" in event:
            assert event["ts"] >= 0


def test_lanes_are_named_threads_in_order() -> None:
    trace = perfetto(make_history(workers=3))
    names = {
        event["tid"]: event["args"]["name"]
        for event in by_phase(trace, "M")
        if event["name"] == "thread_name"
    }
    assert list(names.values()) == ["W0", "W1", "W2"]
    assert {event["tid"] for event in by_phase(trace, "X")} == set(names)


def test_times_are_microseconds() -> None:
    history = make_history(epochs=1, workers=1)
    spans = by_phase(perfetto(history), "X")
    assert len(spans) == len(history.spans)
    kernel = next(event for event in spans if event["cat"] == "kernel")
    assert (kernel["ts"], kernel["dur"]) == (1_000.0, 8_000.0)
    assert kernel["args"]["ratings"] == 100


def test_counters_show_rmse_and_memory() -> None:
    history = make_history(epochs=2, rmse=[1.5, math.nan, 1.1])
    counters = by_phase(perfetto(history), "C")
    rmse = [event["args"] for event in counters if event["name"] == "RMSE"]
    assert rmse == [
        {"train": pytest.approx(1.4), "test": 1.5},
        {"train": pytest.approx(1.0), "test": 1.1},
    ]
    held = [event["args"] for event in counters if event["name"].startswith("memory held")]
    assert held[1] == {"P": 4000, "Q": 2000}
    assert held[-1] == {"P": 0, "Q": 0}
    assert any(event["name"] == "rss (bytes)" for event in counters)


def test_the_file_is_strict_json(tmp_path: Path) -> None:
    write_perfetto(make_history(rmse=[math.inf, math.nan, 1.0, 1.0]), tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["otherData"]["run"] == "r1"


def test_an_empty_history_gives_an_empty_trace() -> None:
    assert by_phase(perfetto(History()), "X") == []

"""The memory figure: stacks, numbers, the circle of the process."""

from __future__ import annotations

import pytest

from mfviz.plots import style
from mfviz.telemetry.events import Allocated, MemorySampled, RunStarted
from mfviz.telemetry.history import History
from mfviz.telemetry.log import EventLog
from mfviz.views.live_memory import ROW, LiveMemory
from tests.fakes import make_history


def history(rise=0, parts=None, run="r"):
    log = EventLog(run)
    parts = parts or {"ratings by user": 60_000_000, "P": 4_000_000, "workspace": 20_000_000}
    log.append(
        RunStarted, schema=1, solver="als", params={}, backend="cpu", device="", problem="",
        fingerprint="", seed=0, versions={}, title="ALS", model=parts,
    )  # fmt: skip
    log.append(MemorySampled, place="rss", used_bytes=10**9, total_bytes=10**10)
    for part, size in parts.items():
        log.append(Allocated, place="host", name=part, bytes=size, part=part)
    log.append(MemorySampled, place="rss", used_bytes=10**9 + rise, total_bytes=10**10)
    found = History()
    found.follow(log)
    return found


@pytest.fixture
def live():
    figure = LiveMemory()
    figure.show([("A", history()), ("B", history(run="s"))])
    return figure


def bars(live, at):
    data = live._bars[at].data_source.data
    return [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]


def test_solid_bars_are_measured_and_hatched_ones_modelled(live):
    assert {row["kind"] for row in bars(live, 0)} == {"measured, ledger at its peak"}
    assert {row["kind"] for row in bars(live, 1)} == {"modelled"}
    assert live._bars[0].glyph.hatch_pattern is None
    assert live._bars[1].glyph.hatch_pattern == "\\"
    assert live._bars[1].glyph.hatch_color == style.TOKENS["light"]["surface"]


def test_parts_are_stacked_in_their_colours(live):
    row = [bar for bar in bars(live, 0) if bar["top"] == 0]
    assert [bar["part"] for bar in row] == ["ratings by user", "P", "workspace"]
    assert [bar["color"] for bar in row] == [style.MEMORY["light"][bar["part"]] for bar in row]
    assert [bar["left"] for bar in row] == [0, 60_000_000, 64_000_000]


def test_each_run_has_a_row_and_its_number(live):
    assert live.canvas.height == 2 * ROW
    assert list(live._totals.major_label_overrides.values()) == ["84 MB", "84 MB"]
    assert "model 84 MB" in live.words.data["text"]


def test_segments_are_named_where_there_is_room(live):
    texts = live.words.data["text"]
    assert "ratings by user" in texts
    assert "P" not in texts


def test_the_circle_is_the_growth_of_the_process():
    live = LiveMemory()
    live.show([("A", history(rise=90_000_000))])
    renderer, base, _ = live._samples["A"]
    (at,) = renderer.view.filter.indices
    assert live.source.data["bytes"][at] == 1_090_000_000
    assert base.x[0] == 10**9  # what was in use before the run
    assert live.figure.x_range.end >= 90_000_000
    assert "model 84 MB · ● process +90 MB" in live.words.data["text"]


def test_a_process_that_grew_by_far_more_does_not_squeeze_the_bars():
    live = LiveMemory()
    live.show([("A", history(rise=900_000_000))])
    assert live.figure.x_range.end < 100_000_000


def test_no_circle_without_growth(live):
    assert all(not r.view.filter.indices for r, _, _ in live._samples.values())


def test_a_finished_run_keeps_its_peak():
    live = LiveMemory()
    live.show([("A", make_history(end=True))])
    assert sum(bar["right"] - bar["left"] for bar in bars(live, 0)) == 6000


def test_a_narrow_figure_says_no_more_than_it_has_room_for(monkeypatch):
    live = LiveMemory()
    monkeypatch.setattr(live, "nominal", (100, 92))
    live.show([("A", history(rise=90_000_000))])
    assert "model 84 MB" in live.words.data["text"]
    assert not any("process" in text for text in live.words.data["text"])
    assert "process +90 MB" in live.summary


def test_a_figure_of_a_narrow_window_says_it_in_fewer_words(monkeypatch):
    live = LiveMemory()
    monkeypatch.setattr(live, "nominal", (165, 92))
    live.show([("A", history(rise=90_000_000))])
    assert "model 84 MB · ● +90 MB" in live.words.data["text"]


def test_the_circle_never_points_at_a_row_that_is_gone():
    live = LiveMemory()
    live.show([("A", history(30_000_000)), ("B", history(30_000_000, run="s"))])
    views = [renderer.view for renderer, _, _ in live._samples.values()]
    assert all(view.filter.indices for view in views)
    told = []

    def look(attr, old, new):
        told.append(max((at for v in views for at in v.filter.indices), default=-1))
        assert told[-1] < len(new["run"])

    live.source.on_change("data", look)
    live.show([("A", History())])
    live.show([("A", history(30_000_000))])
    assert told == [-1, -1]
    assert views[0].filter.indices

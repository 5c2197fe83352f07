"""The Timeline tab without a browser: known overlaps, honest lanes, nothing drawn while hidden."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mfviz.plots.style import TOKENS
from mfviz.telemetry.events import EpochEnded, Measured, RunStarted, Span
from mfviz.telemetry.history import History
from mfviz.telemetry.limits import BANDWIDTH
from mfviz.views.headless import HeadlessHost
from mfviz.views.live_epoch import EpochFigure
from mfviz.views.page import View
from mfviz.views.timeline_words import how_computed, key_figures, reasons, selection
from tests.fakes import make_history

# bokeh 3.9 calls DataFrame.reset_index(inplace=True), which pandas 3.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
    pytest.mark.usefixtures("instant"),
]
MS = 1_000_000
STREAMS = ("stream M (CPU)", "stream N (CPU)", "copy stream (CPU)")
# (lane, op, from ms, to ms): of 4 ms of copying 3 lie beside a kernel.
KNOWN = [
    (2, "h2d", 0, 2), (0, "wait", 0, 1), (0, "kernel", 1, 4), (2, "h2d", 4, 6),
    (1, "wait", 0, 4), (1, "kernel", 4, 9),
]  # fmt: skip


def known(spans=KNOWN, solver="ds_sgd_d", lanes=STREAMS, solve_ms=10.0):
    """A run of one epoch with the given spans."""
    history = History()
    stamp: dict[str, Any] = {"run": "r", "seq": 0, "t_ns": 0}
    shape = {"users": 10, "items": 5, "train": 1000}
    history.feed([RunStarted(
        **stamp, schema=1, solver=solver, title=solver.upper(), params={"rank": 4, "epochs": 1},
        backend="cpu", device="", problem="p", fingerprint="", seed=0, versions={}, shape=shape,
    ), EpochEnded(**stamp, epoch=0, updates=0, solve_s=0.0)])  # fmt: skip
    history.feed(
        Span(
            **stamp, lane=lanes[lane], op=op, name="batch of users" if op == "h2d" else "users",
            start_ns=start * MS, end_ns=end * MS, epoch=1, block="0,0",
            bytes=4000 if op == "h2d" else 0, ratings=500 if op == "kernel" else 0,
            reason="transfer" if op == "wait" else "",
        )
        for lane, op, start, end in spans
    )  # fmt: skip
    history.feed([EpochEnded(**stamp, epoch=1, updates=1000, solve_s=solve_ms / 1e3)])
    return history


def figure_of(*histories, **settings):
    figure = EpochFigure()
    for name, value in settings.items():
        setattr(figure, name, value)
    figure.show(list(zip("AB", histories, strict=False)))
    return figure


def opened(query="tab=timeline"):
    host = HeadlessHost(query)
    view = View(host)
    view.open()
    host.advance(2.0)
    return view, host


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        (KNOWN, "75"),
        ([(2, "h2d", 0, 4), (0, "kernel", 2, 8)], "50"),
        ([(2, "h2d", 0, 2), (0, "kernel", 2, 4)], "0"),
        ([(2, "h2d", 0, 2), (0, "kernel", 0, 4)], "100"),
    ],
)
def test_a_known_overlap_is_shown_as_exactly_that_number(spans, share):
    shown = figure_of(known(spans)).shown
    note = "of the shorter of copying and computing"
    assert f'title="{note}"><b>{share}</b><i>%</i>' in key_figures(shown)
    assert f"= {share} %" in how_computed(shown)


def test_streams_that_copy_nothing_overlap_side_by_side():
    spans = [(0, "kernel", 0, 6), (1, "kernel", 3, 8)]
    shown = figure_of(known(spans, "ds_sgd_c", STREAMS[:2])).shown
    assert "<b>38</b><i>%</i><span>of busy time two lanes or more work" in key_figures(shown)
    assert "3 ms ÷ 8 ms = 38 %" in how_computed(shown)


def test_figures_name_their_formulas_and_what_they_are_a_share_of():
    shown = figure_of(known()).shown
    text = key_figures(shown)
    assert "<b>60</b><i>%</i><span>of lane time; nothing at work 10 % of the epoch" in text
    assert "<b>125</b><i>k/s</i>" in text  # 1000 ratings in 8 ms of kernels
    assert "one stream: 12 ms, modelled" in text
    how = how_computed(shown)
    assert "N (24 + 8 f) bytes" in how
    assert "10 f N flops" in how
    assert "1 − 12 ms ÷ (3 × 10 ms) = 60 %" in how
    assert "8.0 KB ÷ 4 ms = 0.002 GB/s" in how


def test_kernels_of_a_device_are_beside_its_own_memory():
    history = known()
    history.backend, history.device = "cuda", "GPU of another"
    shown = figure_of(history).shown
    limits = {"cpu": 1e9, "GPU": 2e9}
    assert "that memory gives" not in key_figures(shown, limits)
    history.device = "GPU"
    assert "% of the 2 GB/s that memory gives" in key_figures(shown, limits)
    assert "% of the 2.0 GB/s that a triad of all threads reached" in how_computed(shown, limits)


def test_waits_are_told_by_reason_and_the_rest_is_not_hidden():
    text = reasons(figure_of(known()).shown)
    assert "copy not there yet" in text
    assert ">5 ms<" in text
    assert "between calls: no span" in text
    assert ">13 ms<" in text  # 30 ms of lanes, 12 at work, 5 of waits
    assert "A idle in all: 18 ms of 3 × 10 ms; 72 % of that: between calls." in text


def test_a_selection_is_added_up_by_kind():
    figure = figure_of(known())
    assert ">8 ms<" in selection(figure.shown, None)
    cut = selection(figure.shown, (3.0, 5.0))
    assert ">2 ms<" in cut  # 1 ms of either kernel
    assert "267 updates" in cut  # 500 / 3 + 500 / 5
    figure._brush((3.0, 5.0))
    assert figure.brush == (3.0, 5.0)
    figure.look_at(1)
    assert figure.brush is None


def test_each_lane_says_what_it_is_and_rectangles_lie_on_their_rows():
    figure = figure_of(known(), make_history(epochs=2, workers=2))
    names = figure._names.object
    assert names.count("CPU lane</span>") == 5
    work, wait = (figure.drawn.layers[n].data_source.data for n in ("work", "wait"))
    assert len(work["left"]) == 4 + 2
    assert set(work["run"]) == {"A", "B"}
    tops = {
        (r, lane): t for r, lane, t in zip(work["run"], work["lane"], work["top"], strict=True)
    }
    assert tops["B", "W0"] > max(t for (r, _), t in tops.items() if r == "A")
    assert set(wait["reason"]) == {"transfer", "barrier"}
    assert (
        "M0" in figure.drawn.words.data["text"]
        or "users, batch 0" in figure.drawn.words.data["text"]
    )
    figure.choose("B")
    assert set(figure.drawn.layers["work"].data_source.data["run"]) == {"B"}


def test_time_that_no_span_tells_of_is_told_above_the_lanes():
    (title,) = (label.text for label in figure_of(known()).drawn.titles.values() if label.visible)
    assert title == "A  DS_SGD_D, epoch 1: 10 ms, 1 ms of it without a span and cut out"
    (title,) = (
        label.text for label in figure_of(known(solve_ms=9.1)).drawn.titles.values()
        if label.visible
    )  # fmt: skip
    assert title == "A  DS_SGD_D, epoch 1: 9.1 ms"


def test_a_rectangle_of_a_few_pixels_has_no_edge_that_would_hide_it():
    spans = [(0, "kernel", 0, 1), (0, "kernel", 1, 2), (1, "kernel", 2, 900)]
    data = figure_of(known(spans, solve_ms=900.0)).drawn.layers["work"].data_source.data
    assert data["edge"] == [0.0, 0.0, 1.0]


def test_epochs_can_be_held_while_the_run_goes_on():
    long, short = make_history(epochs=5), make_history(epochs=3)
    figure = figure_of(long, short)
    assert [s.facts.epoch for s in figure.shown] == [5, 3]
    figure.look_at(4)
    assert [s.facts.epoch for s in figure.shown] == [4, 3]
    assert not figure.update(), "nothing new: nothing is drawn"
    figure.look_at(0)
    assert [s.facts.epoch for s in figure.shown] == [5, 3]


def test_a_zoom_is_kept_from_epoch_to_epoch():
    figure = figure_of(make_history(epochs=4))
    figure.figure.x_range.update(start=2.0, end=3.0)
    figure.look_at(2)
    assert (figure.figure.x_range.start, figure.figure.x_range.end) == (2.0, 3.0)
    assert figure.figure.x_range.reset_end > 9


def test_without_an_epoch_there_is_an_invitation_and_no_axes():
    figure = figure_of(make_history(epochs=0))
    assert figure.drawn.invite.visible
    assert not figure.figure.xaxis[0].visible
    assert "no epoch" in figure.summary
    assert "–" in key_figures([])


def test_the_tab_is_made_when_it_is_first_looked_at_and_drawn_only_while_it_shows():
    view, host = opened("")
    assert not view.pages.made
    view.show_tab("timeline")
    host.advance(1.0)
    page = view.pages.made["timeline"]
    assert [s.letter for s in page.figure.shown] == ["A", "B"]
    assert view.session.drawing.figures == [view.board.rmse, page.figure]
    view.show_tab("train")
    before = page.figure._state
    view.session.seek(2.0)
    host.advance(1.0)
    assert page.figure._state == before
    view.show_tab("timeline")
    host.advance(1.0)
    assert page.figure._state != before


def test_epoch_and_run_are_in_the_address_and_come_back():
    view, host = opened("tab=timeline&epoch=2&lanes=B")
    page = view.pages.made["timeline"]
    view.session.seek(view.session.end)
    host.advance(1.0)
    assert [(s.letter, s.facts.epoch) for s in page.figure.shown] == [("B", 2)]
    assert {"tab": "timeline", "epoch": "2", "lanes": "B"}.items() <= host.query.items()
    page._look(0)
    host.advance(1.0)
    assert "epoch" not in host.query
    later, _ = opened("epoch=3")
    assert later.query()["epoch"] == "3", "kept for when the tab is looked at"


def test_the_other_theme_colours_the_figure_in_place():
    view, _ = opened()
    figure = view.pages.made["timeline"].figure
    model = figure.figure
    view.set_theme("dark")
    assert figure.figure is model
    assert model.background_fill_color == TOKENS["dark"]["surface"]


def test_the_share_of_the_machines_memory_is_told_once_it_was_measured(monkeypatch):
    monkeypatch.setattr("mfviz.experiments.bandwidth.memory_limit", lambda: 20e9)
    view, host = opened()
    view.session.seek(view.session.end)
    host.advance(1.0)
    page = view.pages.made["timeline"]
    assert "that memory gives" not in page.keys.pane.object
    page._open()
    assert page.measure.visible
    assert not page.measure.disabled
    page._measure()
    deadline = time.monotonic() + 20
    while page._measuring:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        host.advance(0.1)
    assert "of the 20 GB/s that memory gives" in page.keys.pane.object
    assert "% of the 20.0 GB/s that a triad of all threads reached" in page.formulas.object
    assert not page.measure.visible


def test_a_recorded_run_tells_what_its_device_gave():
    history = known()
    history.backend, history.device = "cuda", "GPU of another"
    view, _ = opened()
    page = view.pages.made["timeline"]
    page.figure.show([("A", history)])
    page.refresh()
    assert page.limits == {}
    history.feed(
        [Measured(run="r", seq=0, t_ns=0, epoch=0, name=BANDWIDTH, value=2.0, unit="GB/s")]
    )
    page.refresh()
    assert page.limits == {"GPU of another": 2e9}
    assert "of the 2 GB/s that memory gives" in page.keys.pane.object

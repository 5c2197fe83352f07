"""Sentences and small HTML: what the page says about runs."""

from __future__ import annotations

import math
import re

import pytest

from mfviz.plots.style import STATES
from mfviz.views.chips import badge, chip, memory_size, pill, rate, rmse, seconds
from mfviz.views.runs_table import row
from mfviz.views.status import finding, page_state, sentence, shared_target
from mfviz.views.tracks import Recorded, Track
from mfviz.views.versus import table
from tests.fakes import make_events
from tests.views.stage import FakeRun


def track(letter, test_rmse, epoch_ms=10.0, status="done", **options):
    events = make_events(len(test_rmse) - 1, rmse=test_rmse, epoch_ms=epoch_ms, status=status)
    made = Track(letter, Recorded(events), epochs=len(test_rmse) - 1, **options)
    made.show(math.inf)
    return made


def words(html):
    return re.sub("<[^>]+>", "", html)


A = (1.1, 0.95, 0.9, 0.87, 0.86)
B = (1.1, 0.90, 0.86, 0.858, 0.857)


def test_the_verdict_names_both_axes_where_it_flips():
    pair = [track("A", A, epoch_ms=2.0), track("B", B, epoch_ms=50.0)]
    assert shared_target(pair) == 0.86
    assert finding(pair) == "Per epoch B leads, but per second A was first below 0.860."
    same = [track("A", A, epoch_ms=50.0), track("B", B, epoch_ms=2.0)]
    assert finding(same) == "Per epoch B leads, and per second B was first below 0.860."


def test_no_verdict_without_two_runs_or_when_one_diverged():
    assert finding([track("A", A)]) == ""
    assert finding([track("A", A), track("B", B, status="diverged")]) == ""
    assert finding([track("A", A[:2]), track("B", (1.1,))]) == ""


def test_equal_runs_are_called_equal():
    assert finding([track("A", A), track("B", A)]) == "Both reach the same RMSE after 4 epochs."


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("queued", "A is queued, 2 before it."),
        ("warming", "A compiles its kernels."),
        ("running", "A is at epoch 0 of 5."),
        ("paused", "A is paused at epoch 0 of 5, test RMSE –."),
        ("stopped", "A was stopped at epoch 0 of 5."),
    ],
)
def test_every_state_has_its_words(status, said):
    run = FakeRun("r")
    run.status = status
    shown = Track("A", run.log, run, epochs=5)
    assert words(sentence([shown], lambda track: 2)) == said
    assert page_state([shown]) == status


def test_a_reason_from_outside_is_escaped():
    run = FakeRun("r")
    run.status, run.reason = "failed", "<script>alert(1)</script>"
    html = sentence([Track("A", run.log, run)], lambda track: 0)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_an_empty_page_says_what_to_do():
    assert "press Run" in sentence([], lambda track: 0)
    assert page_state([]) == "empty"


@pytest.mark.parametrize("state", [*STATES, "replay"])
def test_a_state_is_never_colour_alone(state):
    html = pill(state)
    assert state in words(html)
    assert ("<svg" in html) == (state != "empty")


def test_numbers_are_written_with_digits_that_matter():
    assert rate(50.04e6) == "50.0 M"
    assert rate(823_000) == "823 k"
    assert rate(math.nan) == "–"
    assert rmse(0.85712, 3) == "0.857"
    assert rmse(math.inf) == "not finite"
    assert seconds(0.2341) == "0.234 s"
    assert memory_size(24e9) == "24 GB"
    assert memory_size(62e6) == "62 MB"


def test_badges_and_chips():
    assert 'class="badge exact"' in badge("exact at 2 workers")
    assert 'class="badge statistical"' in badge("statistical")
    assert "reconstruction" in badge("exact", reconstruction=True)
    assert chip("C") == '<span class="chip C">C</span>'


def test_the_better_value_is_the_heavier_one():
    html = table([track("A", A, epoch_ms=2.0), track("B", B, epoch_ms=50.0)])
    rows = {words(r.split("</th>")[0]): r for r in html.split("<tr>")[2:]}
    now = re.findall(r'class="(best)?">([^<]+)', rows["test RMSE now"])
    assert now == [("", "0.8600"), ("best", "0.8570")]
    assert ("best", "0.008 s") in re.findall(r'class="(best)?">([^<]+)', rows["solve time"])
    assert "In numbers" in table([track("A", A)])


def test_a_row_shows_a_run_and_a_diverged_one_offers_its_fix():
    shown = row(track("A", A))
    assert shown["best"] == 0.86
    assert words(shown["status"]) == "done"
    assert shown["epochs"] == "4 / 4"
    assert words(shown["determinism"]) == "exact"
    run = FakeRun("r")
    run.status, run.fix = "diverged", "lr=0.02"
    bad = row(Track("D", run.log, run, epochs=20, estimate_bytes=38_000_000))
    assert words(bad["determinism"]) == "try lr 0.02"
    assert words(bad["status"]) == "diverged at 0"
    assert bad["peak"] == 38.0
    assert math.isnan(bad["best"])

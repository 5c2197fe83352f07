"""The session behind a page: live runs, replays and what the buttons do, without a browser."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import pytest
from bokeh.plotting import figure

from mfviz.views.beat import PATIENCE_S, Beat
from mfviz.views.drawing import Drawing
from mfviz.views.headless import HeadlessHost
from mfviz.views.host import guarded
from tests.fakes import make_events
from tests.views.stage import FakeFigure, Stage


def letters(stage):
    return [track.letter for track in stage.session.shown]


def recording(name="recorded", epochs=5):
    return SimpleNamespace(events=make_events(epochs, run=name))


def test_an_idle_page_costs_nothing():
    stage = Stage()
    stage.host.advance(2.0)
    assert not stage.session.ticker.running
    updates = stage.figure.updates
    stage.host.advance(5.0)
    assert stage.figure.updates == updates


def test_run_shows_a_and_b_while_they_go_on():
    stage = Stage()
    a, b = stage.run()
    assert letters(stage) == ["A", "B"]
    assert stage.session.live
    a.play(2)
    b.play(1)
    stage.host.advance(0.2)
    assert [track.epoch for track in stage.session.pair] == [2, 1]
    assert stage.session.place == 2
    a.play(9)
    b.play(9)
    stage.host.advance(0.5)
    assert [track.status for track in stage.session.pair] == ["done", "done"]
    assert not stage.session.moving
    stage.host.advance(1.0)
    assert not stage.session.ticker.running


def test_pause_step_and_stop_reach_the_runs_that_go_on():
    stage = Stage()
    a, b = stage.run()
    a.play(1)
    b.play(9)
    stage.session.toggle()
    assert a.asked == ["pause"]
    assert b.asked == []
    assert stage.session.held
    assert not stage.session.moving
    stage.session.step()
    stage.session.unit = "checkpoint"
    stage.session.step()
    stage.session.toggle()
    assert a.asked[1:] == ["step epoch", "step checkpoint", "resume"]
    stage.session.stop()
    assert a.status == "stopped"
    assert b.asked == []


def test_a_changed_pace_reaches_live_runs_at_once():
    stage = Stage()
    a, b = stage.run()
    stage.session.set_pace(math.inf)
    assert a.pace == b.pace == math.inf


def test_an_edited_learning_rate_reaches_the_run_that_goes_on():
    stage = Stage(solver="sgd", compare="als")
    a, b = stage.run()
    a.solver.key, b.solver.key = "sgd", "als"
    a.play(1)
    b.play(1)
    stage.desk.edit(("A", "lr"), "0.011")
    stage.desk.edit(("B", "lam"), "0.5")
    stage.desk.edit(("both", "rank"), "3")
    assert a.asked == ["lr = 0.011"]
    assert b.asked == ["lam = 0.5"]
    stage.desk.choose_solver("A", "hogwild")
    stage.desk.edit(("A", "lr"), "0.02")
    assert a.asked == ["lr = 0.011"], "the field belongs to another solver now"


def test_scrubbing_shows_the_past_and_the_end_attaches_again():
    stage = Stage()
    a, b = stage.run()
    a.play(4)
    b.play(4)
    stage.host.advance(0.2)
    drawn = len(stage.figure.shown)
    stage.session.seek(1.0)
    stage.host.advance(0.1)
    assert [track.epoch for track in stage.session.pair] == [1, 1]
    assert len(stage.figure.shown) == drawn + 1
    a.play(5)
    stage.host.advance(0.3)
    assert stage.session.pair[0].epoch == 1, "a live run must not pull the view along"
    stage.session.seek(5.0)
    stage.host.advance(0.3)
    assert stage.session.attached
    assert stage.session.pair[0].epoch == 5


def test_a_replay_plays_at_its_pace_and_ends():
    stage = Stage()
    stage.session.set_pace(2.0)
    stage.session.replay([recording("a"), recording("b", epochs=3)])
    stage.host.advance(1.0)
    assert stage.session.place == pytest.approx(2.0, abs=0.25)
    assert [track.status for track in stage.session.pair] == ["replay", "replay"]
    stage.host.advance(3.0)
    assert [track.status for track in stage.session.pair] == ["done", "done"]
    assert not stage.session.playing
    stage.session.toggle()
    stage.host.advance(0.6)
    assert 0 < stage.session.place < 3, "play starts again from the beginning"


def test_steps_of_a_replay():
    stage = Stage()
    stage.session.replay([recording()], play=False)
    stage.session.reset()
    stage.session.step()
    stage.session.step()
    assert stage.session.pair[0].epoch == 2
    stage.session.back()
    assert stage.session.pair[0].epoch == 1
    stage.session.unit = "checkpoint"
    spans = len(stage.session.pair[0].history.spans)
    stage.session.step()
    assert len(stage.session.pair[0].history.spans) == spans + 1
    for _ in range(100):
        stage.session.step()
    assert stage.session.pair[0].history.ended


def test_reset_twice_gives_the_same_tables():
    stage = Stage()
    stage.session.replay([recording()], play=False)
    tables = []
    for _ in range(2):
        stage.session.reset()
        assert stage.session.place == 0
        stage.session.seek(3.0)
        tables.append(stage.session.pair[0].history.frame())
    assert tables[0].equals(tables[1])


def test_earlier_runs_keep_a_letter_and_the_oldest_leaves():
    stage = Stage(compare="")
    first, second, third, fourth, fifth = (stage.run()[0] for _ in range(5))
    by_letter = {track.letter: track.run for track in stage.session.tracks}
    assert by_letter["A"] is fifth
    assert first not in by_letter.values()
    assert {fourth, third, second} == {by_letter[letter] for letter in "CDE"}
    assert letters(stage) == ["A"]
    stage.session.choose(["C"])
    stage.host.advance(0.1)
    assert stage.figure.shown[-1] == ["A", "C"]


def test_a_run_keeps_its_letter_when_newer_ones_come():
    stage = Stage(compare="")
    first = stage.run()[0]
    stage.run()
    moved = {t.run.id: t.letter for t in stage.session.tracks}[first.id]
    stage.run()
    assert {t.run.id: t.letter for t in stage.session.tracks}[first.id] == moved


def test_the_recorded_runs_leave_when_something_is_run():
    stage = Stage()
    stage.session.replay([recording("a"), recording("b")], demo=True)
    stage.run()
    assert not any(track.demo for track in stage.session.tracks)
    assert len(stage.session.tracks) == 2


def test_run_stops_what_still_goes_on_but_a_double_click_is_one_press():
    stage = Stage()
    a, _ = stage.run()
    stage.session.run()
    assert len(stage.runs) == 2, "the second half of a double click"
    stage.host.advance(1.0)
    stage.session.run()
    assert a.asked == ["stop"]
    assert len(stage.runs) == 4


def test_run_waits_for_the_desk():
    stage = Stage()
    stage.desk.loading = True
    assert stage.run() == []
    assert stage.session.waiting_to_run
    stage.desk.loading = False
    stage.host.advance(0.3)
    assert len(stage.runs) == 2


def test_a_desk_that_is_not_ready_says_why_and_the_page_lives_on():
    stage = Stage()
    stage.desk.edit(("both", "rank"), "999999")
    assert stage.run() == []
    assert "rank" in stage.session.message
    stage.desk.edit(("both", "rank"), "8")
    assert len(stage.run()) == 2
    assert stage.session.message == ""


def test_closing_stops_the_runs_after_the_time_of_grace():
    stage = Stage(grace_s=0.0)
    a, b = stage.run()
    stage.host.close()
    deadline = time.monotonic() + 5
    while a.active or b.active:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert a.status == b.status == "stopped"


def test_a_page_that_reopens_owns_the_runs_again():
    stage = Stage(grace_s=0.2)
    a, b = stage.run()
    a.play(2)
    stage.host.close()
    other = Stage()
    other.session.owners = stage.owners
    other.session.adopt(stage.owners.claim([a.id, b.id], id(other.session)))
    time.sleep(0.4)
    other.host.advance(0.3)
    assert a.active
    assert b.active
    assert other.session.pair[0].epoch == 2


def test_a_part_that_fails_leaves_the_others_alive(monkeypatch, caplog):
    stage = Stage()
    monkeypatch.setattr(stage.host, "guard", guarded)

    def broken():
        raise RuntimeError("this part is broken")

    seen = []
    stage.session.watch(broken, 0.1)
    stage.session.watch(lambda: seen.append(1), 0.1)
    stage.run()
    assert seen
    assert "this part is broken" in caplog.text
    stage.session.stop()


def test_nothing_is_sent_before_the_browser_has_painted_what_it_has():
    stage = Stage()
    beat = stage.session.beat = Beat(figure(), lambda: stage.host.now, stage.session.ticker)
    (a,) = stage.run()[:1]
    a.play(1)
    stage.host.advance(0.3)
    assert beat.sent == 1
    drawn = stage.figure.drawn
    a.play(2)
    stage.host.advance(1.0)
    assert stage.figure.drawn == drawn, "the browser still owes an answer"
    beat._model.tags = [1]  # it took a second
    stage.host.advance(0.1)
    assert beat.sent == 2, "one long painting does not delay the next as long again"
    assert stage.figure.drawn == drawn + 1, "all that came meanwhile, at once"
    a.play(1)
    stage.host.advance(2 * PATIENCE_S)
    assert beat.sent > 2, "a browser that never answers still gets news"


def test_a_browser_that_paints_all_of_the_time_gets_a_rest():
    now = 10.0
    beat = Beat(figure(), lambda: now, HeadlessHost().every(0.02, lambda: None))
    assert beat.due(now)
    beat.send(now)
    assert not beat.due(10.05), "the answer is owed"
    now = 10.06
    beat._model.tags = [1]  # it took 60 ms
    assert not beat.due(10.07)
    assert beat.due(10.08)


@pytest.mark.parametrize(("took", "pause"), [(0.02, 0.7), (0.4, 0.7), (0.8, 0.82)])
def test_at_full_speed_news_is_sent_and_looked_for_less_often(took: float, pause: float):
    now, looks = 10.0, []
    host = HeadlessHost()
    ticker = host.every(0.05, lambda: looks.append(host.now))
    ticker.start()
    beat = Beat(figure(), lambda: now, ticker)
    beat.send(now)
    now += took
    beat._model.tags = [1]
    assert not beat.due(10.0 + pause - 0.01, rarely=True)
    assert beat.due(10.0 + pause + 0.01, rarely=True)
    host.advance(1.0)
    assert len(looks) == 10
    beat.due(now)
    host.advance(1.0)
    assert len(looks) == 30


def test_at_full_speed_dear_figures_are_drawn_less_often_still():
    host = HeadlessHost()
    drawing = Drawing(host)
    dear, plain = FakeFigure(), FakeFigure()
    dear.period = 0.25
    drawing.figures = [dear, plain]
    for rarely, times in ((False, 20), (True, 5)):
        dear.updates = plain.updates = 0
        for _ in range(20):
            host.advance(0.3)
            drawing.draw([], busy=True, rarely=rarely)
        assert (dear.updates, plain.updates) == (times, 20)


def test_a_dear_figure_that_shows_nothing_yet_does_not_wait():
    host = HeadlessHost()
    drawing = Drawing(host)
    dear = FakeFigure()
    dear.period, dear.empty = 0.25, True
    drawing.figures = [dear]
    for at in range(10):
        dear.empty = at < 4
        host.advance(0.1)
        drawing.draw([], busy=True, rarely=True)
    assert dear.updates == 5, "it waits once it has drawn something"


def test_a_fresh_run_is_drawn_once_it_has_something_to_show_or_a_little_later():
    stage = Stage(compare="")
    (first,) = stage.run()[:1]
    first.play(1)
    stage.host.advance(0.1)
    assert stage.figure.shown[-1] == ["A"]
    drawn = len(stage.figure.shown)
    (second,) = stage.run()[:1]
    stage.host.advance(0.1)
    assert len(stage.figure.shown) == drawn, "axes that vanish and return are laid out twice"
    second.play(1)
    stage.host.advance(0.1)
    assert len(stage.figure.shown) == drawn + 1
    stage.run()
    stage.host.advance(1.0)
    assert len(stage.figure.shown) == drawn + 2, "a slow start is shown as one"


def test_figures_move_before_the_rest_of_the_page_is_set_up():
    stage = Stage(awake=False)
    stage.session.whole = False
    repainted = []
    stage.session.watch(lambda: repainted.append(1), 0.1)
    stage.session.replay([recording()])
    stage.host.advance(1.0)
    assert stage.session.position == 0.0
    stage.session.wake(whole=False)
    stage.host.advance(0.5)
    assert stage.session.position > 0
    assert repainted == []
    stage.session.wake()
    stage.host.advance(0.2)
    assert repainted

"""Live runs in a real browser: streaming, control, ownership, two people at once."""

from __future__ import annotations

import re
import time

import pytest

from tests.ui.conftest import opening

pytestmark = pytest.mark.ui

LONG = {"data": "toy", "solver": "fpsgd", "compare": "none", "epochs": 2000, "pace": 5}
PAIR = {"data": "small-100k", "solver": "fpsgd", "compare": "als"}

# How often CSS variables of Bokeh's are asked for in a second of a live run.
STYLES_READ = """async () => {
  const ask = CSSStyleDeclaration.prototype.getPropertyValue
  let count = 0
  CSSStyleDeclaration.prototype.getPropertyValue = function (name) {
    if (name.startsWith("--bk-")) count++
    return ask.call(this, name)
  }
  await new Promise((done) => setTimeout(done, 1000))
  CSSStyleDeclaration.prototype.getPropertyValue = ask
  return count
}"""


def start(desk):
    """Start a run that goes on, on a page where nothing runs, and return its id."""
    desk.ready()
    desk.until("nothing runs", lambda: desk.button("Stop").is_disabled())
    desk.button("Reset").click()
    desk.until("no epochs are left", lambda: len(desk.epochs()) <= 1)
    run = desk.run()[0]
    desk.until("two epochs are shown", lambda: len(desk.epochs()) >= 2, seconds=30.0)
    return run


@pytest.fixture(scope="module")
def toy(chromium, served):
    """A page for tests that begin with a run of their own and stop it."""
    with opening(chromium, served) as open_page:
        yield open_page(LONG)


def test_two_solvers_stream_into_all_three_figures_while_they_run(opener):
    desk = opener({**PAIR, "epochs": 400, "b.epochs": 400, "pace": 5})
    desk.ready()
    runs = desk.run()
    assert len(runs) == 2
    desk.until("both go on", lambda: all(desk.told(run) for run in runs), seconds=30.0)
    late = []
    for _ in range(4):
        told = desk.told(runs[0])
        began = time.monotonic()
        desk.until("the epoch is on the page", lambda told=told: told in desk.epochs("A"))
        late.append(time.monotonic() - began)
        desk.page.wait_for_timeout(500)
    assert min(late) < 1.0, late
    for name in ("live-rmse", "live-timeline", "live-memory"):
        first = desk.source(name)
        assert {"A", "B"} <= set(first["run"]), name
    before = len(desk.epochs("A"))
    desk.until("the curve grows", lambda: len(desk.epochs("A")) > before)
    assert "running" in desk.status
    assert desk.page.evaluate(STYLES_READ) == 0, "Bokeh has the browser work out styles anew"
    assert desk.ended(runs[0]) is None, "all this was seen while the run went on"
    desk.button("Stop").click()
    desk.until("both runs have ended", lambda: all(desk.ended(run) for run in runs))


def test_real_ratings_are_chosen_by_mouse_and_stream_while_they_train(opener, data_dir):
    if not (data_dir / "ml-1m").is_dir():
        pytest.skip("needs the real ml-1m in MFVIZ_DATA_DIR")
    desk = opener({"pace": 2})
    desk.ready()
    desk.choose("Data", "MovieLens 1M")
    desk.until("the ratings are read", lambda: desk.page.get_by_text("1,000,209").count(), 60.0)
    desk.choose("Solver A", "FPSGD")
    desk.choose("Solver B", "ALS (exact)")
    desk.until("settings follow", lambda: {"fpsgd", "als"} <= set(desk.query.values()))
    desk.ready()
    runs = desk.run()
    desk.until("both go on", lambda: all(desk.told(run) for run in runs), seconds=60.0)
    late = []
    for _ in range(6):
        told = desk.told(runs[0])
        began = time.monotonic()
        desk.until("the epoch is on the page", lambda told=told: told in desk.epochs("A"))
        late.append(time.monotonic() - began)
        desk.page.wait_for_timeout(700)
    assert sorted(late)[len(late) // 2] < 1.0, late
    for name in ("live-rmse", "live-timeline", "live-memory"):
        assert {"A", "B"} <= set(desk.source(name)["run"]), name
    assert desk.ended(runs[0]) is None, "all this was seen while the run went on"
    desk.until("both are done", lambda: all(desk.ended(run) for run in runs), seconds=60.0)
    assert {desk.ended(run)["status"] for run in runs} == {"done"}


def test_pause_step_play_and_stop_by_mouse(toy):
    desk, run = toy, start(toy)
    desk.button("Pause").click()
    desk.until("it is paused", lambda: "paused" in desk.status)
    assert desk.button("Pause").count() == 0
    desk.page.wait_for_timeout(500)
    held = desk.epochs()
    desk.page.wait_for_timeout(1000)
    assert desk.epochs() == held
    desk.button("Step").click()
    desk.until("one more epoch", lambda: len(desk.epochs()) == len(held) + 1)
    desk.page.wait_for_timeout(500)
    assert len(desk.epochs()) == len(held) + 1
    desk.button("Play").click()
    desk.until("it goes on", lambda: len(desk.epochs()) > len(held) + 2)
    desk.button("Stop").click()
    desk.until("it is stopped", lambda: desk.ended(run), seconds=3.0)
    assert desk.ended(run)["status"] == "stopped"
    desk.until("the page says so", lambda: "stopped" in desk.status)
    desk.until("there is nothing to stop", lambda: desk.button("Stop").is_disabled())


def test_pause_step_and_stop_by_keyboard(toy):
    desk, run = toy, start(toy)
    keys = desk.page.keyboard
    keys.press("Space")
    desk.until("it is paused", lambda: "paused" in desk.status)
    desk.page.wait_for_timeout(500)
    held = len(desk.epochs())
    keys.press("ArrowRight")
    desk.until("one more epoch", lambda: len(desk.epochs()) == held + 1)
    keys.press("ArrowLeft")
    desk.until("the epoch before", lambda: len(desk.epochs()) == held)
    keys.press("Space")
    desk.until("it goes on", lambda: len(desk.epochs()) > held + 2)
    keys.press("s")
    desk.until("it is stopped", lambda: desk.ended(run), seconds=3.0)
    keys.press("r")
    desk.until("it is at the start", lambda: desk.epochs() == [0])
    keys.press("Control+Enter")
    desk.until("another run", lambda: desk.query["run"] != run)
    desk.until("its letter is A", lambda: len(desk.epochs()) >= 2)
    keys.press("s")


def test_the_scrubber_shows_the_past_of_a_run_that_goes_on(toy):
    desk = toy
    start(desk)
    desk.until("twenty epochs", lambda: len(desk.epochs()) > 20, seconds=30.0)
    desk.page.keyboard.press("Home")
    desk.until("the first epoch", lambda: desk.epochs() == [0])
    slider = desk.page.get_by_role("slider", name="Epoch")
    assert "epoch 0 of 2000" in slider.get_attribute("aria-valuetext")
    desk.page.keyboard.press("End")
    desk.until("the view follows again", lambda: len(desk.epochs()) > 25)
    desk.button("Stop").click()


def test_closing_the_page_stops_its_run(opener, served):
    desk = opener(LONG)
    run = start(desk)
    desk.page.close()
    deadline = time.monotonic() + 20
    while desk.ended(run) is None:
        assert time.monotonic() < deadline, "nobody sees the run, and it goes on"
        time.sleep(0.2)
    assert desk.ended(run)["status"] == "stopped"


def test_a_reload_owns_the_run_again(toy):
    desk, run = toy, start(toy)
    desk.page.reload()
    desk.button("Run").wait_for(timeout=30_000)
    desk.until("the run is shown again", lambda: len(desk.epochs()) >= 3, seconds=30.0)
    desk.page.wait_for_timeout(5000)
    assert desk.ended(run) is None
    assert desk.query["run"] == run
    desk.until("it can be stopped", lambda: desk.button("Stop").is_enabled())
    desk.button("Stop").click()
    desk.until("it is stopped", lambda: desk.ended(run))


def test_a_finished_run_is_opened_from_its_address(opener):
    desk = opener({**LONG, "epochs": 5, "pace": "max"})
    desk.ready()
    run = desk.run()[0]
    desk.until("it is done", lambda: desk.ended(run))
    desk.page.context.close()
    time.sleep(6)  # sessions and the time of grace are over
    again = opener({"run": run})
    again.until("its curve is there", lambda: again.epochs() == list(range(6)), seconds=30.0)
    assert "finished" in again.status


def test_two_people_press_run_together_and_both_finish(opener):
    query = {**PAIR, "epochs": 8, "b.epochs": 8, "pace": 10}
    first, second = opener(query), opener(query)
    for desk in (first, second):
        desk.ready()
    for desk in (first, second):
        desk.button("Run").click()
    for desk in (first, second):
        runs = desk.until("the runs are known", lambda d=desk: d.query.get("run")).split(",")
        for run in runs:
            desk.until("it has ended", lambda d=desk, r=run: d.ended(r), seconds=60.0)
            assert desk.ended(run)["status"] == "done"
        desk.until("the page says so", lambda d=desk: "finished" in d.status)


def test_the_second_in_the_queue_sees_its_place(opener, toy):
    first, run = toy, start(toy)
    second = opener(LONG)
    second.ready()
    second.button("Run").click()
    second.until("its place", lambda: "queued, 1 before" in second.status)
    first.button("Stop").click()
    first.until("the first is over", lambda: first.ended(run))
    second.until(
        "its turn",
        lambda: "queued" not in second.status and len(second.epochs()) >= 2,
        seconds=30.0,
    )
    second.button("Stop").click()


def test_a_diverged_run_says_why_and_offers_what_to_try(opener):
    desk = opener({"data": "toy", "solver": "sgd", "compare": "none", "lr": 9, "pace": "max"})
    desk.ready()
    desk.run()
    desk.until("it diverged", lambda: "diverged" in desk.status, seconds=30.0)
    fix = desk.page.get_by_role("button", name=re.compile("^Try lr"))
    words = fix.inner_text()
    fix.click()
    value = words.rsplit(" ", 1)[1]
    desk.until(
        "the field has it",
        lambda: float(desk.field("Learning rate").input_value()) == float(value),
    )
    desk.run()
    desk.until("it is done", lambda: "finished" in desk.status, seconds=30.0)
    assert desk.page.get_by_text("diverged at").count() == 1, "the earlier run stays in the table"


def test_axes_can_be_changed_while_it_runs(toy):
    desk = toy
    start(desk)
    axes = desk.page.get_by_role("group")
    for name in ("updates", "solve s", "wall s", "epoch"):
        axes.get_by_role("button", name=name, exact=True).click()
    desk.page.get_by_label("log y").click()
    desk.until("the address has it", lambda: desk.query.get("logy") == "true")
    before = len(desk.epochs())
    desk.until("the curve goes on", lambda: len(desk.epochs()) > before)
    desk.button("Stop").click()

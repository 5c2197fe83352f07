"""The page in a real browser: first seconds, names, themes, address, bad input."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.ui

COLUMNS = {
    "live-rmse": "run epoch updates solve_s wall_s train_rmse test_rmse",
    "live-timeline": "run lane op start_ms end_ms name epoch ratings bytes block reason measured",
    "live-memory": "run t_s place name bytes measured",
}
DEADLINE_S = 9.0  # three times what a warm server on a quiet machine is held to


def picture(page):
    """Pixels of a screenshot as (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), dtype=float)


def test_something_moves_soon_after_opening(opener):
    first = opener()
    first.ready()  # the server is warm from here on, and nobody else looks at it
    first.page.close()
    began = time.monotonic()
    desk = opener()
    seen = {0}

    def moved():
        seen.add(len(desk.epochs()))
        return len(seen - {0}) >= 2

    desk.until("the curve moves", moved, seconds=30.0)
    assert time.monotonic() - began < DEADLINE_S
    before = picture(desk.page)
    desk.page.wait_for_timeout(1000)
    assert np.abs(before - picture(desk.page)).mean() > 0.05, "nothing moves on the screen"
    assert "Recorded run." in desk.status


def test_names_that_others_rely_on(desk):
    for name in ("Run", "Pause", "Step", "Stop", "Reset"):
        desk.until(f"{name} is there", lambda name=name: desk.button(name).count() == 1)
    assert desk.page.get_by_role("status").count() == 1
    for name in ("Share", "Toggle theme", "Help", "Previous epoch"):
        assert desk.button(name).count() == 1, name
    for source, columns in COLUMNS.items():
        assert set(columns.split()) <= set(desk.source(source)), source
    unnamed = [
        element.evaluate("e => e.outerHTML.slice(0, 120)")
        for element in desk.page.get_by_role("button").all()
        if not element.evaluate("e => (e.getAttribute('aria-label') || e.innerText || e.title)")
    ]
    assert unnamed == []


def test_the_recorded_run_ends_with_a_finding_and_kernels_get_warm(desk):
    desk.until("the replay has ended", lambda: "finished" in desk.status, seconds=30.0)
    assert "leads" in desk.status
    desk.page.get_by_text("live ready").wait_for(timeout=150_000)


def test_fields_have_labels(desk):
    desk.ready()
    for label in ("Data", "Solver A", "Solver B", "Rank", "Seed", "step by"):
        assert desk.page.get_by_label(label).count() >= 1, label


def test_both_themes_by_button_and_by_key(desk):
    bright = picture(desk.page).mean()
    assert bright > 200
    desk.page.keyboard.press("d")
    desk.until("the page is dark", lambda: picture(desk.page).mean() < 80)
    assert desk.query.get("theme") == "dark"
    desk.button("Toggle theme").click()
    desk.until("the page is light", lambda: picture(desk.page).mean() > 200)


def test_the_page_fits_its_window(desk):
    for width, height in ((1000, 700), (1280, 720), (1440, 900)):  # the last as it was opened
        desk.page.set_viewport_size({"width": width, "height": height})
        desk.page.wait_for_timeout(300)
        assert desk.page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("Run", "Reset"):
            box = desk.button(name).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height


def test_help_opens_by_key_and_closes(desk):
    desk.page.keyboard.press("?")
    dialog = desk.page.get_by_role("dialog")
    dialog.wait_for(timeout=5000)
    dialog.get_by_text("play or pause").wait_for(timeout=5000)
    desk.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden", timeout=5000)


def test_settings_are_in_the_address_and_come_back(opener):
    asked = {
        "data": "small-100k", "solver": "dsgd", "compare": "als", "rank": "12",
        "b.lam": "0.2", "x": "solve_s", "logy": "true", "pace": "50", "seed": "3",
    }  # fmt: skip
    desk = opener(asked)
    desk.ready()
    desk.until("the address is complete", lambda: "workers" in desk.query)
    assert asked.items() <= desk.query.items()
    again = opener(desk.query)
    again.ready()
    again.until("the address is complete", lambda: "workers" in again.query)
    assert again.query == desk.query
    assert again.field("Rank").input_value() == "12"


def test_an_address_out_of_bounds_is_mended_and_says_so(opener):
    desk = opener({"rank": "999999", "solver": "magic", "pace": "-1", "x": "y"})
    desk.until("the notice is there", lambda: "4096 is used" in desk.status)
    for words in ("rank is 999999", "No solver is called 'magic'", "pace is -1", "x is y"):
        assert words in desk.status
    desk.until("the address is mended", lambda: desk.query.get("rank") == "4096")


def test_a_value_out_of_bounds_is_refused_with_a_sentence(desk):
    desk.ready()
    rank = desk.field("Rank")
    rank.fill("100000")
    rank.press("Enter")
    desk.page.get_by_text("it must be a whole number from 1 to 4096").first.wait_for()
    desk.until("Run is disabled", lambda: desk.button("Run").is_disabled())
    rank.fill("16")
    rank.press("Enter")
    desk.until("Run is back", lambda: desk.button("Run").is_enabled())


def test_a_file_that_is_not_there_is_a_sentence(opener):
    desk = opener({"data": "/nowhere/ratings.csv"})
    desk.until(
        "the drawer says so",
        lambda: desk.page.get_by_text("there is no such file").count(),
        seconds=60.0,
    )
    desk.until("Run is disabled", lambda: desk.button("Run").is_disabled())


def test_keys_in_a_field_stay_in_the_field(desk):
    desk.ready()
    desk.field("Rank").focus()
    desk.page.keyboard.press("d")
    desk.page.wait_for_timeout(500)
    assert "theme" not in desk.query

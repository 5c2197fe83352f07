"""The Data tab without a browser: tabs, address, what is told of the chosen ratings."""

from __future__ import annotations

import time

import pytest

from mfviz.views.headless import HeadlessHost
from mfviz.views.page import View, build

# bokeh 3.9 calls DataFrame.reset_index(inplace=True), which pandas 3.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
    pytest.mark.usefixtures("instant"),
]


def opened(query=""):
    host = HeadlessHost(query)
    view = View(host)
    view.open()
    host.advance(0.5)
    return view, host


def drawn(view, host):
    """Let the portrait arrive, which is made on a thread of its own."""
    deadline = time.monotonic() + 20
    while any(canvas.object is None for canvas in view.pages.made["data"].canvas.values()):
        assert time.monotonic() < deadline, "the ratings were never drawn"
        time.sleep(0.01)
        host.advance(0.1)
    return {name: canvas.object for name, canvas in view.pages.made["data"].canvas.items()}


def test_a_tab_shows_the_ratings_and_the_other_comes_back():
    view, host = opened()
    assert not view.pages.made, "nothing is made before it is looked at"
    assert not view.pages.view.visible
    neighbours = list(view.main)
    view.show_tab("data")
    assert list(view.main) == neighbours, "else a browser sets them up anew, without their style"
    assert view.pages.view.visible
    assert "data" in view.pages.made
    assert [view.board.view.visible, view.pages.made["data"].view.visible] == [False, True]
    drawn(view, host)
    assert f"{view.desk.problem.n_users:,}" in view.pages.made["data"].facts.pane.object
    assert view.desk.problem.fingerprint in view.pages.made["data"].facts.pane.object
    view.show_tab("train")
    assert [view.board.view.visible, view.pages.made["data"].view.visible] == [True, False]


def test_the_tab_is_in_the_address_and_comes_back():
    view, host = opened("tab=data")
    assert view.tab == "data"
    host.advance(2.0)
    assert host.query["tab"] == "data"
    view.show_tab("train")
    assert "tab" not in view.query()


def test_a_tab_that_is_not_there_is_train():
    view, _ = opened("tab=secrets")
    assert view.tab == "train"


def test_other_ratings_are_drawn_anew():
    view, host = opened("tab=data")
    before = drawn(view, host)
    view.desk.choose_data("small-100k")
    host.advance(1.0)
    deadline = time.monotonic() + 20
    while view.pages.made["data"].canvas["values"].object is before["values"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        host.advance(0.6)
    assert f"{view.desk.problem.n_users:,}" in view.pages.made["data"].facts.pane.object


def test_both_themes_are_drawn():
    view, host = opened("tab=data")
    bright = drawn(view, host)["cells"].background_fill_color
    view.set_theme("dark")
    assert view.pages.made["data"].canvas["cells"].object.background_fill_color != bright


def test_tabs_tell_what_was_chosen_and_follow(monkeypatch):
    page = build(HeadlessHost())
    view = page.view
    view.host.advance(0.5)
    told: list[str] = []
    view.on_tab = told.append
    view.show_tab("data")
    view.show_tab("data")
    assert told == ["data"]

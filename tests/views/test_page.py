"""The page as a whole, without a browser: parts, address, theme, and what it does not import."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mfviz.plots.style import TOKENS
from mfviz.resources import asset
from mfviz.views.board import Board
from mfviz.views.headless import HeadlessHost
from mfviz.views.host import NotebookHost, ScriptHost, here, wished_theme
from mfviz.views.keys import KEYS
from mfviz.views.page import PAGE_NAMES, View, build
from mfviz.views.session import PACES
from mfviz.views.tabs import TABS
from mfviz.views.theme import material, sheet, variables
from tests.views.stage import Stage

# bokeh 3.9 calls DataFrame.reset_index(inplace=True), which pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


def make_view(query=""):
    host = HeadlessHost(query)
    view = View(host)
    view.open()
    host.advance(0.5)
    return view, host


def test_the_page_opens_on_the_recorded_runs_and_plays_them(instant):
    view, host = make_view()
    host.advance(1.0)
    assert [track.demo for track in view.session.pair] == [True, True]
    assert view.session.playing
    epochs = view.board.rmse.source.data["epoch"]
    host.advance(1.0)
    assert len(view.board.rmse.source.data["epoch"]) > len(epochs) > 0
    assert "Recorded run" in view.board.status.text.pane.object
    host.advance(30.0)
    assert not view.session.playing
    assert "first below" in view.board.status.text.pane.object


def test_every_setting_is_in_the_address_and_comes_back(instant):
    view, host = make_view(
        "solver=fpsgd&compare=als&rank=12&b.lam=0.2&x=solve_s&logy=true&epoch=2&lanes=B"
        "&fit.data=ML25M&fit.rank=8&fit.on=limit&fit.limit=500"
    )
    view.session.set_pace(50.0)
    view.session.unit = "checkpoint"
    view.set_theme("dark")
    view.show_tab("data")
    host.advance(2.0)
    written = host.query
    assert written["rank"] == "12"
    assert written["b.lam"] == "0.2"
    assert set(PAGE_NAMES) - set(written) == {"logx"}
    again, _ = make_view("&".join(f"{name}={value}" for name, value in written.items()))
    assert again.desk.notices == []
    assert again.query() == written


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("rank=999999", "rank is 999999"),
        ("pace=3.2", "pace is 3.2"),
        ("pace=x", "pace is x"),
        ("x=colour", "x is colour"),
        ("run=nothing", "Run nothing is not on this machine"),
        ("run=../../etc", "not on this machine"),
    ],
)
def test_an_address_that_asks_too_much_is_mended_with_a_notice(instant, query, said):
    view, _ = make_view(query)
    assert said in " ".join(view.desk.notices)
    assert said in view.board.status.text.pane.object
    assert view.session.pace in PACES


def test_keys_reach_the_session(instant):
    view, _ = make_view()
    view.act("reset")
    view.act("step")
    assert view.session.place == 1.0
    view.act("back")
    assert view.session.place == 0.0
    view.act("end")
    assert view.session.place == view.session.end
    view.act("toggle")
    assert view.session.playing
    actions = {action for action, _, _ in KEYS.values()} - {"theme", "help"}
    for action in actions - {"run"}:
        view.act(action)
    for at, tab in enumerate(TABS, 1):
        view.act(KEYS[str(at)][0])
        assert view.tab == tab


def test_the_drawer_follows_the_desk(instant):
    view, host = make_view("solver=sgd&compare=none")
    drawer = view.drawer
    assert drawer.solver.value == "SGD"
    labels = [widget.label for widget in drawer.main.objects]
    assert labels == ["Rank", "λ", "Stop after", "Learning rate", "Seed"]
    view.desk.choose_solver("B", "als")
    labels = [widget.label for widget in drawer.main.objects]
    assert labels[:4] == ["Rank", "Workers · B", "λ · A", "λ · B"]
    field = drawer.main.objects[0]
    field.value = "100000"
    host.advance(0.1)
    assert field.error_state
    assert "whole number from 1 to 4096" in field.helper_text
    assert drawer.run.disabled
    field.value = "16"
    host.advance(0.1)
    assert not field.error_state
    assert not drawer.run.disabled
    assert "fits" in drawer.check.pane.object


def test_an_unavailable_data_set_is_listed_but_cannot_be_chosen(instant, monkeypatch):
    monkeypatch.delenv("MFVIZ_DATA_DIR", raising=False)
    view, _ = make_view()
    assert "MovieLens 1M" in view.drawer.data.options
    assert "MovieLens 1M" in view.drawer.data.disabled_options


def test_an_own_file_is_asked_for_by_its_path(instant):
    view, host = make_view()
    view.drawer.data.value = "own file"
    assert view.drawer.path.visible
    view.drawer.path.value = " /some/ratings.csv "
    host.advance(0.1)
    assert view.desk.data == "/some/ratings.csv"
    assert view.drawer.path.visible


def test_the_status_offers_the_fix_of_a_diverged_run(instant):
    stage = Stage(compare="")
    board = Board(stage.session, "light", {})
    run = stage.run()[0]
    run.status, run.fix = "diverged", "lr=0.02"
    stage.host.advance(0.3)
    assert board.status.fix.visible
    assert board.status.fix.label == "Try lr 0.02"
    board.status._apply()
    assert stage.desk.settings.value(("A", "lr")) == 0.02


def test_the_table_has_a_row_a_run_and_an_empty_slot(instant):
    stage = Stage()
    board = Board(stage.session, "light", {})
    a, b = stage.run()
    a.play(2)
    stage.host.advance(1.0)
    keys = [key for key, _, _ in board.runs.grid.heads]

    def shown(line: int, key: str) -> str:
        return board.runs.grid.rows[line]["cells"][keys.index(key)][0]

    assert [line["letter"] for line in board.runs.grid.rows] == ["A", "B", ""]
    assert shown(0, "epochs") == "2 / 5"
    assert "press Run" in shown(2, "status")
    a.play(9)
    b.play(9)
    stage.host.advance(1.0)
    assert "done" in shown(1, "status")


def test_a_click_on_an_earlier_run_shows_it_and_takes_it_away_again(instant):
    stage = Stage()
    board = Board(stage.session, "light", {})
    for run in (*stage.run(), *stage.run()):
        run.play(9)
    stage.host.advance(1.0)
    grid = board.runs.grid
    assert [(line["letter"], line["choosable"]) for line in grid.rows[:3]] == [
        ("A", False), ("B", False), ("C", True)
    ]  # fmt: skip
    for chosen in ({"C"}, set()):
        grid._handle_msg({"letter": "C", "fix": False})
        stage.host.advance(1.0)
        assert set(stage.session.chosen) == chosen
        assert grid.rows[2]["chosen"] == bool(chosen)
    for nonsense in ({"letter": "Z"}, {"letter": "A"}, {}):
        grid._handle_msg(nonsense)
    stage.host.advance(1.0)
    assert not stage.session.chosen


@pytest.mark.parametrize(
    ("told", "theme"),
    [({}, "light"), ({"Sec-Ch-Prefers-Color-Scheme": '"dark"'}, "dark"),
     ({"sec-ch-prefers-color-scheme": "light"}, "light")],
)  # fmt: skip
def test_a_page_begins_in_the_theme_of_the_system_and_its_address_tells_another(
    told, theme, instant
):
    host = HeadlessHost()
    host.theme = wished_theme(told)
    view = View(host)
    assert view.theme == view.board.rmse.theme == theme
    assert "theme" not in view.query()
    other = "light" if theme == "dark" else "dark"
    view.set_theme(other)
    assert view.query()["theme"] == other
    asked = HeadlessHost(f"theme={other}")
    asked.theme = theme
    assert View(asked).theme == other


def test_both_themes_colour_everything(instant):
    view, _ = make_view()
    for theme in ("dark", "light"):
        view.set_theme(theme)
        for figure in view.board.figures:
            assert figure.theme == theme
    assert set(material()) == {"light", "dark"}
    for theme, tokens in TOKENS.items():
        assert tokens["surface"] in variables()
        assert material()[theme]["palette"]["primary"]["main"] == tokens["accent"]


def test_the_style_sheet_uses_known_colours_and_writes_none():
    text = asset("style.css").read_text()
    known = set(re.findall(r"--(mf-[\w-]+):", variables())) | {
        "mf-unit", "mf-what", "mf-meter", "mf-lift",
    }  # fmt: skip
    used = set(re.findall(r"var\(--(mf-[\w-]+)", text))
    assert used <= known, used - known
    colours = set(re.findall(r"#[0-9A-Fa-f]{3,8}\b", text)) - {"#fff"}
    assert not colours
    with pytest.raises(KeyError):
        sheet("nothing")


def test_hosts_are_found(instant):
    assert isinstance(here(), ScriptHost)
    import asyncio

    async def inside():
        return here()

    assert isinstance(asyncio.run(inside()), NotebookHost)


def test_build_returns_a_page_for_any_host(instant):
    import panel as pn

    page = build(HeadlessHost())
    assert isinstance(page, pn.viewable.Viewable)
    assert page.view.session.tracks


def test_a_page_opens_without_numba():
    code = (
        "import sys\n"
        "from mfviz.views.headless import HeadlessHost\n"
        "from mfviz.views.readiness import Readiness\n"
        "Readiness.begin = lambda self: None\n"
        "from mfviz.views.page import build\n"
        "page = build(HeadlessHost())\n"
        "assert page.view.session.tracks\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr

"""The Memory tab without a browser: every solver's verdict, Table S1, the stack over time."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from mfviz.backends import cuda
from mfviz.experiments.fits import demands, places
from mfviz.plots.style import MEMORY, TOKENS
from mfviz.solvers.base import registry
from mfviz.theory.memory import MIB, S1_RANK, TABLE_S1
from mfviz.views.fit_table import fit_table
from mfviz.views.headless import HeadlessHost
from mfviz.views.live_steps import StepsFigure
from mfviz.views.page import View
from tests.fakes import make_history

# bokeh 3.9 calls DataFrame.reset_index(inplace=True), which pandas 3.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
    pytest.mark.usefixtures("instant", "no_device"),
]
ML32M = (200_948, 84_432, 25_600_163)


@pytest.fixture
def no_device(monkeypatch):
    monkeypatch.setattr(cuda, "why_not", lambda: "there is none.")


def opened(query="tab=memory"):
    host = HeadlessHost(query)
    view = View(host)
    view.open()
    host.advance(2.0)
    return view, host, view.pages.made.get("memory")


def rows(page_or_text):
    """Rows of the table as words, without tags."""
    text = page_or_text if isinstance(page_or_text, str) else page_or_text.table.pane.object
    body = text.split("<tbody>")[1].split("</tbody>")[0]
    return [re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row)) for row in body.split("<tr>")[1:]]


def table(place="limit", limit=1000.0, rank=S1_RANK, measured=None, published=None, shape=ML32M):
    found = places(limit)[place]
    return fit_table(
        demands(registry(), shape, found, rank=rank, workers=2), found, measured=measured or {},
        published=published or {},
    )  # fmt: skip


def test_every_solver_is_there_for_the_chosen_data_and_those_of_the_desk_come_first():
    view, _, page = opened("tab=memory&solver=als&compare=dsgd")
    found = rows(page)
    titles = [cls.title for cls in registry().values()]
    assert len(found) == len(titles)
    first = {registry()[key].title for key in ("als", "dsgd")}
    assert all(any(title in row for row in found[:2]) for title in first)
    assert "fits" in found[-1]
    problem = view.desk.problem
    assert f"{problem.train.nnz:,} training ratings, rank" in page.title.pane.object


def test_verdicts_follow_the_limit():
    found = {row.split()[0]: row for row in rows(table(limit=1000.0))}
    assert "does not fit" in found["MSGD"]
    assert "does not fit" not in found["DS-SGD-D"]
    assert all("does not fit" in row for row in rows(table(limit=300.0)))
    assert 'class="limit"' in table(limit=1000.0)
    assert 'class="limit"' not in table(limit=9000.0), "far off the scale"


def test_table_s1_is_beside_what_is_modelled_and_says_what_was_not_identified():
    text = table(published=TABLE_S1["ML32M"].mib)
    found = rows(text)
    msgd = next(row for row in found if "MSGD" in row and "FAMPSGD" not in row)
    assert "1,038" in msgd
    (difference,) = re.findall(r"1,038 [+−±](\d+)", msgd)
    assert int(difference) <= 2
    ours = next(row for row in found if "DS-SGD-D" in row)
    assert "layout not identified" in ours
    assert "888" in ours
    for title, value in (("FAMPSGD", "1,282"), ("CUMF_CCD", "1,140")):
        assert any(title.lower() in row.lower() and value in row for row in found)
    assert "Table S1" not in table()


def test_what_a_run_held_is_a_circle_beside_its_prediction():
    found = table("cpu", measured={"als": ("B", 900 * MIB)})
    als = next(row for row in found.split("<tr>") if "ALS" in row)
    assert 'class="chip B"' in als
    assert ">900<" in als
    assert 'class="dot"' in als


def test_a_data_set_of_the_table_brings_its_rank_and_a_device_its_verdicts():
    view, host, page = opened()
    page.choose("shape", "ML32M")
    assert page.rank == S1_RANK
    assert "200,948 × 84,432, 25,600,163 training ratings, rank 40" in page.title.pane.object
    page.choose("place", "RTX 3060 (as named)")
    assert page.place == "rtx-3060"
    assert "reproduced" in page.table.pane.object
    host.advance(1.0)
    assert {"fit.data": "ML32M", "fit.rank": "40", "fit.on": "rtx-3060"}.items() <= (
        host.query.items()
    )
    page.choose("shape", "chosen data")
    page.choose("place", "cpu")
    assert view.pages.query() == {"tab": "memory", "fit.on": "cpu"}


def test_at_first_it_is_asked_for_the_place_of_run_a(monkeypatch):
    device = cuda.Found(0, "a GPU", (9, 0), 24 * 10**9)
    monkeypatch.setattr(cuda, "why_not", lambda: None)
    monkeypatch.setattr(cuda, "devices", lambda: [device])
    monkeypatch.setattr(cuda, "free_bytes", lambda index=0: 20 * 10**9)
    view, host, page = opened("tab=memory&solver=msgd&compare=none&backend=cuda")
    assert page.where.value == "this machine, a GPU"
    assert "On the CPU only" in page.table.pane.object
    view.desk.choose_backend("A", "cpu")
    host.advance(2.0)
    assert page.where.value == "this machine, CPU"
    assert "fit.on" not in host.query


def test_choices_come_back_from_the_address_and_nonsense_is_left_out():
    _, _, page = opened("tab=memory&fit.data=ML25M&fit.rank=8&fit.on=limit&fit.limit=500")
    assert (page.shape, page.rank, page.place, page.limit) == ("ML25M", 8, "limit", 500.0)
    assert "this is rank 8" in page.table.pane.object
    assert page.most.visible
    _, _, page = opened("tab=memory&fit.data=secrets&fit.rank=0&fit.on=moon&fit.limit=-1")
    assert (page.shape, page.rank, page.limit) == ("chosen data", 0, 1200.0)
    assert "this machine" in page.where.value
    page.choose("rank", "many")
    page.choose("limit", "no number")
    assert (page.rank, page.limit) == (0, 1200.0)


def test_the_stack_over_time_is_that_of_the_run():
    figure = StepsFigure("A")
    history = make_history(epochs=3)
    figure.show([("A", history)])
    areas = {part: r.data_source.data for part, r in figure._areas.items()}
    assert max(areas["P"]["y"]) == pytest.approx(4000 / MIB)
    assert max(areas["Q"]["y"]) == pytest.approx(6000 / MIB)
    assert len(areas["buffers"]["x"]) == 0
    assert figure._model.location == pytest.approx(6000 / MIB)
    assert "model" in figure._model_label.text
    assert not figure.update(), "nothing new: nothing is drawn"
    figure.show([("B", history)])
    assert len(figure._areas["P"].data_source.data["x"]) == 0


def test_bands_are_named_where_they_are_high_enough():
    figure = StepsFigure("A")
    figure.show([("A", make_history(epochs=2))])
    assert [t for t in figure.words.data["text"] if t] == ["P 0.0038", "Q 0.0019"]


def test_a_band_loses_its_name_where_a_sample_of_the_process_lies_on_it():
    figure = StepsFigure("A")
    figure.show([("A", make_history(epochs=2))])
    words = figure.words.data
    at = words["text"].index("P 0.0038")
    x, y = words["x"][at], words["y"][at] * MIB
    aside = 0.45 * figure.steps.end_s  # px are seconds here
    for dx, there in ((0.0, False), (aside, True)):
        figure.steps = replace(figure.steps, samples=np.array([[x + dx, y]]))
        figure._write_words()
        assert ("P 0.0038" in figure.words.data["text"]) == there
        assert "Q 0.0019" in figure.words.data["text"]


def test_both_runs_stand_side_by_side_and_follow_the_theme():
    view, host, page = opened()
    view.session.seek(view.session.end)
    host.advance(1.0)
    assert [panel.visible for panel in page.panels] == [True, True]
    assert view.session.drawing.figures == [view.board.rmse, *page.figures]
    assert page.figures[0].steps.peak_bytes > 0
    assert "held" in page.lists["A"].pane.object
    view.set_theme("dark")
    figure = page.figures[1]
    assert figure.figure.background_fill_color == TOKENS["dark"]["surface"]
    assert figure._areas["P"].glyph.fill_color == MEMORY["dark"]["P"]

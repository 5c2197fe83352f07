"""The Data tab in a real browser: by mouse, by keyboard, from the address, in both themes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from tests.data.samples import KNOWN
from tests.ui.conftest import opening

pytestmark = pytest.mark.ui

FIGURES = """
() => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()])
  .filter((model) => model.type === "Figure" && model.inner_width > 0)
  .flatMap((model) => [...model.below, ...model.left].map((axis) => axis.axis_label))
"""


def labels(desk):
    """Axis labels of the figures that the browser has drawn."""
    return set(desk.page.evaluate(FIGURES))


def test_the_ratings_are_shown_and_training_goes_on_behind_them(opener):
    desk = opener({"data": "toy", "solver": "sgd", "compare": "none", "pace": 5, "epochs": 2000})
    desk.ready()
    run = desk.run()[0]
    desk.page.get_by_role("tab", name="Data").click()
    desk.page.get_by_text("share of the hottest item").wait_for(timeout=15_000)
    wanted = {"rank", "rating", "item, by its ratings"}
    desk.until("all three are drawn", lambda: wanted <= labels(desk))
    assert desk.query["tab"] == "data"
    before = len(desk.epochs())
    desk.until("the run goes on", lambda: len(desk.epochs()) > before)
    desk.choose("Data", "Synthetic 100K")
    desk.page.get_by_text("943", exact=True).wait_for(timeout=30_000)
    desk.button("Toggle theme").click()
    desk.until("the address is dark", lambda: desk.query.get("theme") == "dark")
    desk.page.get_by_role("tab", name="Data").press("ArrowRight")  # the last one; then the first
    desk.page.get_by_text("A versus B").or_(desk.page.get_by_text("In numbers")).wait_for()
    desk.until("the address follows", lambda: "tab" not in desk.query)
    desk.button("Stop").click()
    desk.until("it is stopped", lambda: desk.ended(run))


@pytest.fixture(scope="module")
def desk(chromium, served):
    """The tab as its address opens it, for one file after the other."""
    with opening(chromium, served) as open_page:
        yield open_page({"tab": "data", "solver": "sgd", "compare": "none"})


def test_the_address_opens_it(desk):
    desk.page.get_by_text("share of the hottest item").wait_for(timeout=30_000)
    chosen = desk.page.get_by_role("tab", selected=True)
    assert chosen.inner_text() == "Data"


def test_a_file_that_is_no_ratings_says_why(desk, tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("roses are red\nviolets are blue\n")
    desk.page.get_by_label("Choose a file of ratings").set_input_files(path)
    desk.page.get_by_text("poem.txt, line 2").first.wait_for(timeout=30_000)
    assert desk.button("Use these ratings").count() == 0


def test_a_file_of_25_megabytes_is_sent_previewed_and_trained(desk, tmp_path):
    rng = np.random.default_rng(0)
    count = 2_200_000
    table = {
        "user": rng.integers(1, 5000, count), "item": rng.integers(1, 3000, count),
        "rating": rng.integers(1, 11, count) / 2,
    }  # fmt: skip
    path = tmp_path / "mine.csv"
    csv.write_csv(pa.table(table), path)
    assert path.stat().st_size > 25e6
    chooser = desk.page.get_by_label("Choose a file of ratings")
    chooser.set_input_files(path)
    desk.page.get_by_text("2,200,000 ratings of 4,999 users").wait_for(timeout=60_000)
    desk.button("Use these ratings").click()
    desk.until("the ratings are on the desk", lambda: "mine.csv" in desk.query["data"], 60.0)
    desk.ready()
    run = desk.run()[0]
    desk.until("it trains", lambda: len(desk.epochs()) >= 2, seconds=60.0)
    desk.button("Stop").click()
    desk.until("it is stopped", lambda: desk.ended(run))


@pytest.mark.data
def test_every_real_file_is_read_rightly_and_split_by_time(desk, data_dir):
    chooser = desk.page.get_by_label("Choose a file of ratings")
    for known in KNOWN:
        chooser.set_input_files(data_dir / known.name / known.file)
        counts = (
            f"{known.ratings:,} ratings of {known.users:,} users for {known.items:,} items, from"
        )
        line = desk.page.get_by_text(counts)
        line.wait_for(timeout=60_000)
        assert f"mean {known.mean:.6g};" in line.inner_text()
    desk.button("Use these ratings").click()
    desk.until("the ratings are on the desk", lambda: "combined_data" in desk.query["data"], 60.0)
    desk.choose("Test ratings", "The latest")
    desk.until("it is in the address", lambda: desk.query.get("split") == "time")
    desk.page.get_by_text("the test ratings are the latest").first.wait_for(timeout=30_000)

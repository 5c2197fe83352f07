"""What is held out, as the Data tab offers it: a list, a field, reasons, and the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfviz.data.ways import Way
from mfviz.views.desk import Desk
from mfviz.views.headless import HeadlessHost
from mfviz.views.loading import Loader
from mfviz.views.session import Session
from mfviz.views.split_choice import KINDS, SplitChoice
from tests.data.samples import TEXT, write
from tests.views.stage import make_desk, ready

LATEST = "The latest"
OWN = "A file of its own"


class At:
    """A card on a desk of ratings that are really read."""

    def __init__(self, data: str, query: str = "") -> None:
        self.host = HeadlessHost(query)
        self.desk = Desk(self.host, {"data": data, "solver": "sgd"}, ready=ready(), load=Loader())
        self.desk.complete()
        self.card = SplitChoice(Session(self.host, self.desk))

    def choose(self, title: str) -> None:
        self.card.kinds.value = title
        self.settle()

    def write(self, name: str, text: str) -> None:
        self.card.amounts[name].value = text
        self.settle()

    def settle(self) -> None:
        """Let the page's thread and the loading one finish."""
        for _ in range(3):
            self.host.advance(0.1)
            self.desk.complete()

    @property
    def shown(self) -> dict[str, str]:
        fields = self.card.amounts.items()
        return {name: widget.value for name, widget in fields if widget.visible}

    @property
    def said(self) -> Any:
        return self.card.reasons.pane.object


@pytest.fixture
def timed(tmp_path: Path) -> str:
    lines = [f"{at % 7}\t{at % 5}\t{at % 5 + 1}\t{880000000 + at}" for at in range(100)]
    write(tmp_path / "u1.test", TEXT)
    return str(write(tmp_path / "u1.base", "\n".join(lines) + "\n"))


def test_each_way_is_one_of_the_kinds() -> None:
    words = ("random-0.2", "time", "leave-3", "leave-3-latest", "official", "file:x")
    found = [[kind.title for kind in KINDS if kind.fits(Way.read(word))] for word in words]
    assert found == [[kind.title] for kind in KINDS]


def test_ratings_are_held_out_as_chosen(timed: str) -> None:
    at = At(timed)
    assert (at.card.kinds.value, at.shown) == ("Drawn by the seed", {"share": "10"})
    drawn = at.desk.problem
    at.choose(LATEST)
    assert at.desk.query()["split"] == "time"
    problem = at.desk.problem
    assert problem is not None
    assert drawn is not None
    assert problem.fingerprint != drawn.fingerprint
    assert any("the latest" in notice for notice in problem.notices)
    at.write("share", "20 %")
    assert at.desk.query()["split"] == "time-0.2"
    assert at.desk.problem is not None
    assert at.desk.problem.train.nnz == 80
    assert "20 % test" in at.desk.about_data()
    at.choose("Some of each user, drawn")
    assert at.shown == {"count": "1"}
    at.write("count", "2")
    assert at.desk.query()["split"] == "leave-2"
    assert at.desk.problem.test.nnz == 14
    at.choose("Official test set")
    assert at.shown == {}
    assert at.desk.problem.train.nnz == 100
    at.choose("Drawn by the seed")
    assert "split" not in at.desk.query()
    assert at.desk.problem.fingerprint == drawn.fingerprint


def test_a_file_is_asked_for_before_anything_changes(timed: str, tmp_path: Path) -> None:
    at = At(timed)
    before = at.desk.problem
    at.choose(OWN)
    assert at.desk.problem is before
    assert at.shown == {"path": ""}
    path = str(write(tmp_path / "mine.csv", "1\t1\t4\n2\t2\t3\n"))
    at.write("path", path)
    assert at.desk.query()["split"] == f"file:{path}"
    assert at.desk.problem is not None
    assert at.desk.problem.test.nnz == 2
    at.write("path", "nowhere.csv")
    assert "nowhere.csv" in at.said
    assert not at.desk.preflight().ready


@pytest.mark.parametrize(
    ("title", "name", "text", "says"),
    [
        ("Drawn by the seed", "share", "100", "no share"),
        ("Drawn by the seed", "share", "a lot", "no share"),
        ("Some of each user, drawn", "count", "0", "no whole number"),
        ("Some of each user, drawn", "count", "1.5", "no whole number"),
        (OWN, "path", " ", "Write the path"),
    ],
)
def test_what_cannot_be_is_said_at_the_field(
    title: str, name: str, text: str, says: str, timed: str
) -> None:
    at = At(timed)
    at.choose(title)
    before = at.desk.way
    at.write(name, text)
    field = at.card.amounts[name]
    assert at.desk.way == before
    assert field.error_state
    assert says in field.helper_text
    at.choose(LATEST)
    assert not field.error_state


def test_what_ratings_do_not_offer_is_greyed_with_its_reason() -> None:
    at = At("toy")
    assert at.card.kinds.disabled_options == [LATEST, "The latest of each user",
                                              "Official test set"]  # fmt: skip
    assert "No split by time, because its ratings have no times that were recognised." in at.said
    assert "No official test set, because a synthetic set has none." in at.said
    at = At("toy", "split=time")
    assert "no split by time, because its ratings have no times" in at.said
    assert at.desk.problem is None


def test_the_address_sets_it_and_other_ratings_are_not_asked_for_what_they_lack(
    timed: str,
) -> None:
    at = At(timed, "split=leave-2")
    assert at.card.kinds.value == "Some of each user, drawn"
    assert at.shown == {"count": "2"}
    at.desk.choose_data("toy")
    at.settle()
    assert at.desk.query()["split"] == "leave-2"
    at.desk.choose_data(timed)
    at.settle()
    at.choose(LATEST)
    at.desk.choose_data("toy")
    at.settle()
    assert "split" not in at.desk.query()
    assert at.desk.problem is not None


def test_a_word_in_the_address_that_names_no_way_leaves_a_sentence() -> None:
    desk = make_desk("split=moon&solver=sgd")
    assert desk.way == Way()
    assert any("'moon'" in notice for notice in desk.notices)
    assert not any("which is no setting" in notice for notice in desk.notices)

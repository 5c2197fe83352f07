"""Every solver in a real browser: it trains, draws its lanes, tells its card and its promise."""

from __future__ import annotations

import pytest

from mfviz.solvers.base import registry
from tests.ui.conftest import opening

pytestmark = pytest.mark.ui

SOLVERS = registry()
KEYS = sorted(SOLVERS)
EPOCHS = 20
PAIRS = list(zip(KEYS[::2], [*KEYS[1::2], KEYS[0]], strict=False))


def test_the_pairs_leave_no_solver_out():
    assert {key for pair in PAIRS for key in pair} == set(KEYS)


@pytest.fixture(scope="module")
def toy(chromium, served):
    """One page for all pairs, which are chosen one after the other."""
    with opening(chromium, served) as open_page:
        yield open_page(
            {"data": "toy", "solver": PAIRS[0][0], "compare": PAIRS[0][1], "workers": 2,
             "pace": 10, "epochs": EPOCHS, "b.epochs": EPOCHS}
        )  # fmt: skip


def chosen(desk, pair):
    """Whether the page is set to train this pair, for as long as all others."""
    query = desk.query
    lengths = {query.get("epochs"), query.get("b.epochs", query.get("epochs"))}
    return (query.get("solver"), query.get("compare"), lengths) == (*pair, {str(EPOCHS)})


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_it_runs_live_with_timeline_card_and_badge(toy, pair):
    desk = toy
    desk.ready()
    for label, key in zip(("Solver A", "Solver B"), pair, strict=True):
        desk.choose(label, SOLVERS[key].title)
    desk.until("the pair is chosen", lambda: chosen(desk, pair))
    desk.ready()
    runs = dict(zip("AB", desk.run(), strict=True))
    desk.until("both stream", lambda: all(map(desk.told, runs.values())), seconds=30.0)
    assert not all(desk.ended(run) for run in runs.values()), "seen while they go on"
    desk.until("both are over", lambda: all(desk.ended(r) for r in runs.values()), seconds=60.0)
    desk.until("all is shown", lambda: all(max(desk.epochs(run)) == EPOCHS for run in runs))
    spans = desk.source("live-timeline")
    table = desk.page.get_by_role("table", name="Runs")
    for key, (letter, run) in zip(pair, runs.items(), strict=True):
        assert desk.ended(run)["status"] == "done", desk.ended(run)
        assert "kernel" in {
            op for op, who in zip(spans["op"], spans["run"], strict=True) if who == letter
        }, "work on its lanes"
        row = table.get_by_role("row", name=SOLVERS[key].title).first.inner_text()
        promise = desk.events(run)[0]["determinism"]
        assert promise in row
        assert ("reconstruction" in row) == SOLVERS[key].reconstruction
        card = SOLVERS[key].card.parallel.split(". ")[0].rstrip(".")
        assert desk.page.get_by_title(card).count() >= 1, "the drawer says what is parallel"

"""Every solver in a real browser: it trains, draws its lanes, tells its card and its promise."""

from __future__ import annotations

import pytest

from mfviz.solvers.base import registry

pytestmark = pytest.mark.ui

SOLVERS = registry()
KEYS = sorted(SOLVERS)
EPOCHS = 20
PAIRS = list(zip(KEYS[::2], [*KEYS[1::2], KEYS[0]], strict=False))


def test_the_pairs_leave_no_solver_out():
    assert {key for pair in PAIRS for key in pair} == set(KEYS)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_it_runs_live_with_timeline_card_and_badge(opener, pair):
    desk = opener(
        {"data": "toy", "solver": pair[0], "compare": pair[1], "workers": 2, "pace": 10,
         "epochs": EPOCHS, "b.epochs": EPOCHS}
    )  # fmt: skip
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

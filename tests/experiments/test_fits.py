"""Does it fit: every solver answers for every place, by its own memory model."""

from __future__ import annotations

import pytest

from mfviz.backends import cuda
from mfviz.experiments.fits import DEVICES, demands, places
from mfviz.solvers.base import registry
from mfviz.theory.memory import MIB, S1_RANK, S1_TRAIN, TABLE_S1

ML1M = (6040, 3706, 900_188)


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "why_not", lambda: "there is none.")


@pytest.mark.usefixtures("no_device")
def test_every_solver_answers_for_this_machine() -> None:
    place = places()["cpu"]
    assert place.measured
    assert place.free_bytes > 10**7
    found = demands(registry(), ML1M, place, rank=32, workers=2)
    assert {d.key for d in found} == set(registry())
    assert not any(d.reason for d in found)
    sizes = [d.total_bytes for d in found]
    assert sizes == sorted(sizes, reverse=True)
    for d in found:
        low, high = registry()[d.key].param.workers.bounds
        solver = registry()[d.key].make(rank=32, workers=min(max(2, low), high))
        assert d.total_bytes == solver.memory(*ML1M).total_bytes
        assert d.fits(place)


@pytest.mark.usefixtures("no_device")
def test_a_device_is_asked_of_those_that_run_there() -> None:
    place = places(limit_mib=1.0)["limit"]
    found = demands(registry(), ML1M, place, rank=32, workers=2)
    for d in found:
        assert bool(d.reason) == ("cuda" not in registry()[d.key].backends)
        assert not d.fits(place)
        if not d.reason:
            assert d.parts["context"] == 404 * MIB
            assert d.total_bytes % (2 * MIB) == 0, "a device gives out granules"


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize("name", TABLE_S1)
def test_the_reproduced_rows_of_table_s1_are_within_one_granule(name: str) -> None:
    table = TABLE_S1[name]
    shape = (table.users, table.items, round(S1_TRAIN * table.ratings))
    found = demands(registry(), shape, places()["t4"], rank=S1_RANK, workers=2)
    by_key = {d.key: d.total_bytes / MIB for d in found}
    for key in ("msgd", "ds_sgd_c"):
        assert abs(by_key[key] - table.mib[key]) <= 2


@pytest.mark.usefixtures("no_device")
def test_settings_of_a_solver_count_and_refused_ones_say_why() -> None:
    place = places()["t4"]
    shape = (1000, 1000, 8_000_000)
    whole, small = (
        demands(
            registry(), shape, place, rank=32, workers=2, settings={"ds_sgd_d": {"batch": batch}}
        )
        for batch in (0, 1_000_000)
    )
    buffers = [
        next(d.parts["buffers"] for d in found if d.key == "ds_sgd_d") for found in (whole, small)
    ]
    assert buffers == [48 * 2_000_000, 48 * 1_000_000]
    wrong = demands(registry(), shape, place, rank=32, workers=2, settings={"msgd": {"lr": -1.0}})
    assert "lr is -1" in next(d.reason for d in wrong if d.key == "msgd")


@pytest.mark.usefixtures("no_device")
def test_named_devices_are_told_from_this_machine() -> None:
    found = places()
    named = [p for p in found.values() if "as named" in p.title]
    assert [p.free_bytes for p in named] == [size * 10**9 for size in DEVICES.values()]
    assert not any(p.measured for p in named)
    assert [key for key, p in found.items() if p.measured] == ["cpu"]


def test_devices_of_this_machine_are_listed_with_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = cuda.Found(0, "a GPU", (9, 0), 24 * 10**9)
    monkeypatch.setattr(cuda, "devices", lambda: [one])
    monkeypatch.setattr(cuda, "free_bytes", lambda index: 20 * 10**9)
    place = places()["cuda0"]
    assert (place.title, place.free_bytes, place.measured) == (
        "this machine, a GPU", 20 * 10**9, True
    )  # fmt: skip
    assert place.context_bytes == 0  # what is free was told with the context in place

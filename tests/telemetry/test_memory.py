from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.telemetry import memory
from mfviz.telemetry.memory import PARTS, Ledger, MemoryModel, MemoryPart, available_bytes


@given(
    shape=st.one_of(st.integers(0, 50), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    kind=st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8]),
)
def test_arrays_are_aligned_and_counted_to_the_byte(shape: Any, kind: Any) -> None:
    ledger = Ledger()
    array = ledger.empty("a", shape, kind, fill=0)
    assert array.shape == np.empty(shape).shape
    assert array.dtype == kind
    assert array.flags.c_contiguous
    assert array.ctypes.data % 64 == 0 or array.size == 0
    assert ledger.held_bytes == array.nbytes
    assert not array.any()


def test_each_change_is_told() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    ledger = Ledger(lambda kind, **fields: told.append((kind, fields)))
    ledger.empty("P", (2, 16), np.float32, part="P")
    ledger.register("ratings", [np.zeros(3, np.int32), np.zeros(5)], part="ratings by user")
    ledger.free("P")
    ledger.close()
    assert [(kind, f["name"], f["bytes"], f["part"]) for kind, f in told] == [
        ("allocated", "P", 128, "P"),
        ("allocated", "ratings", 52, "ratings by user"),
        ("freed", "P", 128, "P"),
        ("freed", "ratings", 52, "ratings by user"),
    ]


def test_the_high_water_mark_stays() -> None:
    ledger = Ledger()
    ledger.register("a", 100, part="buffers")
    ledger.free("a")
    ledger.register("b", 60, part="buffers")
    assert (ledger.held_bytes, ledger.high_water_bytes) == (60, 100)
    ledger.close()
    assert (ledger.held_bytes, ledger.by_part()) == (0, {})


def test_names_are_unique_within_a_place() -> None:
    ledger = Ledger()
    ledger.register("a", 1, part="P")
    ledger.register("a", 1, part="P", place="gpu0")
    with pytest.raises(ValueError, match="held already"):
        ledger.register("a", 1, part="P")
    with pytest.raises(ValueError, match="no memory part"):
        ledger.register("b", 1, part="stuff")


def test_parts_come_in_the_order_in_which_they_are_drawn() -> None:
    ledger = Ledger()
    for part in reversed(PARTS):
        ledger.register(part, 8, part=part)
    assert tuple(ledger.by_part()) == PARTS


def test_a_model_adds_up_by_part() -> None:
    model = MemoryModel((
        MemoryPart("q", "Q", "host", "4 n f", 5),
        MemoryPart("p", "P", "host", "4 m f", 3),
        MemoryPart("more q", "Q", "host", "4 n", 2),
        MemoryPart("none", "buffers", "host", "0", 0),
    ))  # fmt: skip
    assert model.total_bytes == 10
    assert list(model.by_part().items()) == [("P", 3), ("Q", 7)]


def test_the_machine_has_some_memory() -> None:
    available, total = available_bytes()
    assert 0 < available <= total


@pytest.mark.parametrize("names", memory.CONTAINER)
def test_a_container_has_no_more_than_its_limit(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    whole = available_bytes()[1]
    contents = ("3000000\n", "2500000\n", "anon 7\ninactive_file 400000\n")
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_bytes() == (900_000, 3_000_000)
    (tmp_path / names[0]).write_text("max\n")
    assert available_bytes()[1] == whole

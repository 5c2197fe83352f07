"""Tables whose columns have names: Parquet, and CSV where the caller chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mfviz.data.formats import read
from mfviz.errors import DataError
from tests.data.samples import ROWS, TIMES, parquet_bytes, rows, times, write


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "x", "when,Größe,what,who\n5,4,30,7\n6,3.5,10,2\n")
    found = read(path, columns=("who", "what", "Größe", "when"))
    assert rows(found) == ROWS[:2]
    assert times(found) == [5, 6]
    assert found.notices == ()
    bare = write(tmp_path / "y", "4;x;30;7\n3.5;y;10;2\n")
    assert rows(read(bare, columns=(4, 3, 1))) == ROWS[:2]
    assert rows(read(bare, columns=("4", "3", "1"))) == ROWS[:2]
    with pytest.raises(DataError, match="no column 'whom'; there are when, Größe, what, who"):
        read(path, columns=("whom", "what", "Größe"))
    with pytest.raises(DataError, match=r"no column '5'; the columns have no names.*from 1 to 4"):
        read(bare, columns=(5, 1, 2))
    with pytest.raises(DataError, match="one column is chosen twice"):
        read(bare, columns=(1, 1, 2))
    with pytest.raises(DataError, match=r"2 column.s. are chosen"):
        read(bare, columns=(1, 2))


FRAME = pd.DataFrame({
    "timestamp": TIMES,
    "rating": [4.0, 3.5, 1.0, 5.0],
    "userId": [7, 2, 7, 11],
    "movieId": [30, 10, 10, 20],
})  # fmt: skip


@pytest.mark.parametrize("ids", [int, str, "category", "int16", float])
def test_parquet(ids: Any, tmp_path: Path) -> None:
    frame = FRAME.assign(userId=FRAME["userId"].astype(str if ids == "category" else ids))
    if ids == "category":
        frame["userId"] = frame["userId"].astype("category")
    frame.to_parquet(tmp_path / "x", row_group_size=2)
    found = read(tmp_path / "x")
    assert rows(found) == ROWS
    assert times(found) == TIMES
    assert found.notices == ()


def test_parquet_columns_can_be_chosen_and_dates_are_times(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "a": [4, 3], "b": ["30", "10"], "c": [7, 2],
        "d": pd.to_datetime(["2020-01-02", "2020-01-01"]),
    })  # fmt: skip
    frame.to_parquet(tmp_path / "x")
    with pytest.raises(DataError, match=r"found the columns a, b, c, d; .*choose the columns"):
        read(tmp_path / "x")
    found = read(tmp_path / "x", columns=("c", "b", "a", "d"))
    assert rows(found) == [(7, 30, 4.0), (2, 10, 3.0)]
    assert times(found) == [1577923200, 1577836800]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (parquet_bytes(user=[1, None], item=[1, 2], rating=[1, 2]), "row 2: found no value.*user"),
        (parquet_bytes(user=[1, 2], item=[1, 2], rating=[1.0, None]), "row 2: found no value"),
        (parquet_bytes(user=[1, 2], item=[1, 2], rating=[1.0, np.nan]), "row 2: found the rating"),
        (parquet_bytes(user=[1, 2], item=[1, 2], rating=["1", "2"]), "rating.*type string"),
        (parquet_bytes(user=[1.5, 2], item=[1, 2], rating=[1, 2]), "'user' holds no ids.*1.5"),
        (parquet_bytes(user=[[1], [2]], item=[1, 2], rating=[1, 2]), "of type list"),
        (parquet_bytes(user=["", "a"], item=[1, 2], rating=[1, 2]), "holds no ids"),
        (parquet_bytes(a=[1], b=[2]), "found the columns a, b"),
        (parquet_bytes(user=[1], item=[1], rating=[1])[:-20], "may be truncated"),
        (parquet_bytes(user=pa.array([], pa.int64()), item=pa.array([], pa.int64()),
                       rating=pa.array([], pa.float32())), "found no rating"),
    ],
)  # fmt: skip
def test_parquet_files_that_are_wrong(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read(write(tmp_path / "x", content))


def test_parquet_of_any_damage_gives_one_sentence(tmp_path: Path) -> None:
    whole = parquet_bytes(user=[1, 2] * 50, item=list(range(100)), rating=[1.0, 2.0] * 50)
    for at in range(4, len(whole) - 4, 7):
        broken = bytearray(whole)
        broken[at] ^= 0x55
        try:
            read(write(tmp_path / "x", bytes(broken)))
        except DataError:
            continue  # any other error fails the test

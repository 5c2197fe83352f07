"""Files of ratings in every spelling are read alike, whatever they are called."""

from __future__ import annotations

import csv
import io
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfviz.data import columns, grouped
from mfviz.data.formats import read, read_parts
from mfviz.data.ratings import Ratings

Row = tuple[Any, Any, float]
ROWS: list[Row] = [(7, 30, 4.0), (2, 10, 3.5), (7, 10, 1.0), (11, 20, 5.0)]


def rows(found: Ratings) -> list[Row]:
    users, items = found.user_ids[found.u].tolist(), found.item_ids[found.i].tolist()
    return list(zip(users, items, found.r.tolist(), strict=True))


def write(folder: Path, content: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def joined(delimiter: str, *, times: bool = False, end: str = "\n") -> str:
    return "".join(
        delimiter.join([str(u), str(i), str(r), *(["9783"] if times else [])]) + end
        for u, i, r in ROWS
    )


SPELLINGS = {
    "u.data": joined("\t", times=True),
    "ratings.dat": joined("::", times=True),
    "three fields and two colons": joined("::"),
    "ratings.csv": "userId,movieId,rating,timestamp\r\n" + joined(",", times=True, end="\r\n"),
    "no header": joined(","),
    "no last line end": joined(",").rstrip("\n"),
    "line ends of an old Mac": joined(",", end="\r"),
    "semicolon": "user;item;rating\n" + joined(";"),
    "decimal comma": "user;item;rating\n" + joined(";").replace(".", ","),
    "bar": joined("|"),
    "space": joined(" "),
    "spaces after commas": joined(", "),
    "byte order mark": "\ufeff" + joined(","),
    "byte order mark and header": "\ufeffuser,item,rating\n" + joined(","),
    "blank lines": "\n\nuser,item,rating\n\n" + joined(",", end="\n\n"),
    "comments": "% bip weighted\n# user item rating\n" + joined(" "),
    "quotes": 'user,item,rating\n"7","30","4.0"\n"2",10,3.5\n7,10,"1"\n11,20,5\n',
    "another order": "rating,title,item,user\n4,a,30,7\n3.5,b,10,2\n1,c,10,7\n5,d,20,11\n",
    "an index column": ",user,item,rating\n0,7,30,4\n1,2,10,3.5\n2,7,10,1\n3,11,20,5\n",
    "delimiter in quotes": 'user,t,item,rating\n7,"a,b",30,4\n2,"c ""d""",10,3.5\n7,,10,1\n'
    "11,x,20,5\n",
    "floats as ids": "user,item,rating\n7.0,30.0,4\n2.0,10.0,3.5\n7.0,10.0,1\n11.0,20.0,5\n",
    "exponents": "7,30,4e0\n2,10,.35e1\n7,10,+1.\n11,20,50E-1\n",
    "a hint for spreadsheets": "sep=;\nuser;item;rating\n" + joined(";"),
    "white space of any length": joined("  \t"),
    "netflix": "30:\n7,4,2005-09-06\n10:\n2,3.5,2005-05-13\n7,1,2005-10-19\n"
    "20:\n11,5,2004-01-01\n",
    "netflix from Windows": "30:\r\n7,4,2005-09-06\r\n40:\r\n10:\r\n2,3.5,2005-05-13\r\n"
    "7,1,2005-10-19\r\n\r\n20:\r\n11,5,2004-01-01",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_read_alike(spelling: str, tmp_path: Path) -> None:
    found = read(write(tmp_path, SPELLINGS[spelling], "ratings.gz"))
    assert rows(found) == ROWS
    assert found.name == "ratings.gz"
    assert found.notices == ()


@pytest.mark.parametrize(
    "names",
    [
        "user,item,rating",
        "userId,movieId,rating",
        "user_id,book_id,score",
        "UID,IID,Value",
        '"User ID","Movie ID","Stars"',
    ],
)
def test_usual_column_names_are_known(names: str, tmp_path: Path) -> None:
    assert rows(read(write(tmp_path, names + "\n" + joined(",")))) == ROWS
    turned = ",".join(reversed(names.split(",")))
    swapped = "".join(f"{r},{i},{u}\n" for u, i, r in ROWS)
    found = read(write(tmp_path, turned + "\n" + swapped))
    assert rows(found) == ROWS
    assert found.notices == ()


def test_unknown_column_names_are_taken_in_order_and_told(tmp_path: Path) -> None:
    found = read(write(tmp_path, "who,what,how\n" + joined(",")))
    assert rows(found) == ROWS
    assert found.notices == ("Columns read as user, item and rating: 'who', 'what', 'how'.",)
    found = read(write(tmp_path, "how,item,who\n4,30,7\n3.5,10,2\n1,10,7\n5,20,11\n"))
    assert "'how', 'item', 'who'" in found.notices[0]


def test_two_names_for_one_thing_are_told(tmp_path: Path) -> None:
    found = read(write(tmp_path, "user,title,movie,movieId,rating\n1,x,2,7,3\n"))
    assert rows(found) == [(1, 2, 3.0)]
    assert "Columns read as user, item and rating: 'user', 'movie', 'rating'." in found.notices


def test_a_wide_table_without_names_is_told(tmp_path: Path) -> None:
    found = read(write(tmp_path, "1,2,3,a,b\n1,3,3,a,b\n"))
    assert rows(found) == [(1, 2, 3.0), (1, 3, 3.0)]
    assert "The first three of 5 columns without names" in found.notices[0]


def test_duplicates_are_kept_and_told(tmp_path: Path) -> None:
    found = read(write(tmp_path, "1,1,3\n1,1,4\n2,1,5\n"))
    assert rows(found) == [(1, 1, 3.0), (1, 1, 4.0), (2, 1, 5.0)]
    assert any(notice.startswith("1 repeated") for notice in found.notices)


IDS = [
    ["u17", "u3", "Zoë"],
    [str(uuid.UUID(int=k)) for k in (5, 1, 9)],
    ["007", "7", "08"],
    [-5, 0, 2**40],
    [2**63 - 1, -(2**63), 1],
    [str(2**63), str(2**90), "1"],
    ["#1", "%2", "@3"],
    ["1e5", "2e5", "0x10"],
    ["1.0", "2.5", "3.0"],
    ["-0", "0", "+0"],
    ["日本", "한국", "ไทย"],
    ["a b", "a  b", "a.b"],
]


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("delimiter", [",", "\t", "::", ";", "|"])
def test_ids_of_any_type_come_back(ids: list[Any], delimiter: str, tmp_path: Path) -> None:
    wanted = [(u, i, 3.5) for u in ids for i in reversed(ids)]
    text = "".join(f"{u}{delimiter}{i}{delimiter}{r}\n" for u, i, r in wanted)
    found = read(write(tmp_path, text))
    assert rows(found) == wanted
    assert found.user_numbers(ids).tolist() == [found.user_ids.tolist().index(u) for u in ids]


def test_latin_1_is_read_where_text_is_not_utf_8(tmp_path: Path) -> None:
    found = read(write(tmp_path, "Zoë,Amélie,4\nBob,Heat,3\n".encode("latin-1")))
    assert rows(found) == [("Zoë", "Amélie", 4.0), ("Bob", "Heat", 3.0)]


def test_arrays_in_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "mine.data"
    users, items, values = (np.array(column) for column in zip(*ROWS, strict=True))
    with path.open("wb") as file:
        np.savez_compressed(file, u=users.astype(">i8"), i=items.astype("u2"), r=values)
    assert rows(read(path)) == ROWS
    with path.open("wb") as file:
        np.savez(file, u=users.astype(str), i=items, r=values.astype("f2"), extra=np.eye(2))
    assert rows(read(path)) == [(str(u), i, r) for u, i, r in ROWS]


def test_a_file_larger_than_a_block_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(columns, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(grouped, "CHUNK_BYTES", 37)
    wanted = [
        (int(u), int(i), float(r))
        for u, i, r in zip(
            rng.integers(0, 300, 5000), rng.integers(0, 99, 5000), rng.integers(1, 6, 5000),
            strict=True,
        )
    ]  # fmt: skip
    text = "".join(f"{u}::{i}::{r}\n" for u, i, r in wanted)
    assert rows(read(write(tmp_path, text))) == wanted
    wanted.sort(key=lambda row: row[1])
    lines = []
    for at, (u, i, r) in enumerate(wanted):
        if at == 0 or wanted[at - 1][1] != i:
            lines.append(f"{i}:")
        lines.append(f"{u},{r:g},2005-01-01")
    assert rows(read(write(tmp_path, "\n".join(lines)))) == wanted


def test_parts_are_joined_in_order(tmp_path: Path) -> None:
    one = write(tmp_path, "5,8,1\n3,9,2\n", "one")
    two = write(tmp_path, "4,9,3\n5,7,4\n", "two")
    text = write(tmp_path, "u4,9,5\n", "three")
    assert rows(read_parts([one, two], name="both")) == [
        (5, 8, 1),
        (3, 9, 2),
        (4, 9, 3),
        (5, 7, 4),
    ]
    found = read_parts([one, text], name="mixed")
    assert rows(found) == [("5", 8, 1), ("3", 9, 2), ("u4", 9, 5)]
    assert found.name == "mixed"


plain_text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=6
)


@given(
    wanted=st.lists(
        st.tuples(plain_text.map("u{}".format), plain_text, st.floats(-1e6, 1e6, width=32)),
        min_size=1,
        max_size=20,
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
def test_what_the_csv_module_writes_is_read_back(
    wanted: list[Row], delimiter: str, end: str, tmp_path: Path
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["user", "item", "rating"])
    writer.writerows((u, f"i{i}", r) for u, i, r in wanted)
    found = read(write(tmp_path, out.getvalue()))
    assert rows(found) == [(u, f"i{i}", r) for u, i, r in wanted]


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "shape", "mean"),
    [
        ("ml-100k/u.data", (943, 1682, 100_000), 3.529860),
        ("ml-100k/u1.base", (943, 1650, 80_000), 3.528350),
        ("ml-100k/u1.test", (459, 1410, 20_000), 3.535900),
        ("ml-1m/ratings.dat", (6040, 3706, 1_000_209), 3.581564),
        ("ml-latest-small/ratings.csv", (610, 9724, 100_836), 3.501557),
        ("movietweetings-100k/ratings.dat", (16_554, 10_506, 100_000), 7.324820),
        ("netflix-sample/combined_data_1.txt", (38_152, 20, 42_813), 3.334711),
    ],
)
def test_real_files_have_their_known_size_and_mean(
    file: str, shape: tuple[int, int, int], mean: float, data_dir: Path
) -> None:
    found = read(data_dir / file)
    assert (found.n_users, found.n_items, found.nnz) == shape
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.notices == ()


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("ml-100k/u.data", [6110, 11370, 27145, 34174, 21201]),
        ("ml-1m/ratings.dat", [56174, 107557, 261197, 348971, 226310]),
    ],
)
def test_real_files_have_their_known_counts(file: str, counts: list[int], data_dir: Path) -> None:
    found = read(data_dir / file)
    assert [int((found.r == star).sum()) for star in range(1, 6)] == counts


@pytest.mark.data
def test_real_ids_keep_their_leading_zeros(data_dir: Path) -> None:
    found = read(data_dir / "movietweetings-100k/ratings.dat")
    assert "0104257" in found.item_ids.tolist()
    assert found.scale == (0.0, 10.0)

"""The formats that the field uses, written small and exact, each recognised from its content."""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfviz.data import catalog
from mfviz.data.formats import read, read_parts
from mfviz.data.ratings import NO_TIME
from mfviz.errors import DataError
from tests.data.samples import (
    ROWS,
    TEXT,
    TIMES,
    arrow_packed,
    parquet_bytes,
    rows,
    times,
    write,
    zipped,
)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "two gz": lambda content: gzip.compress(content[:30]) + gzip.compress(content[30:]),
    "bz2": bz2.compress,
    "zst": arrow_packed("zstd"),
    "lz4": arrow_packed("lz4"),
}


@pytest.mark.parametrize("packing", PACK)
def test_compressed_text_is_read_as_a_stream(packing: str, tmp_path: Path) -> None:
    pack = PACK[packing]
    assert rows(read(write(tmp_path / "file", pack(TEXT.encode())))) == ROWS
    quoted = '"user","item","rating"\n"a,b",1,2\n"c",1,3\n'.encode("utf-8-sig")
    assert rows(read(write(tmp_path / "file", pack(quoted)))) == [("a,b", 1, 2.0), ("c", 1, 3.0)]
    netflix = b"30:\n7,4,2005-09-06\n10:\n2,3.5,2005-05-13\n7,1,2005-10-19\n"
    assert rows(read(write(tmp_path / "file", pack(netflix)))) == ROWS[:3]
    with pytest.raises(DataError, match="line 5: found the rating 'x'"):
        read(write(tmp_path / "file", pack((TEXT + "1\t2\tx\t3\n").encode())))


@pytest.mark.parametrize("packing", PACK)
def test_a_truncated_stream_is_told(packing: str, tmp_path: Path) -> None:
    whole = PACK[packing]((TEXT * 400).encode())
    for cut in (5, len(whole) // 2, len(whole) - 1):
        path = write(tmp_path / "file", whole[:cut])
        with pytest.raises(DataError, match="truncated"):
            read(path)


ARCHIVES: dict[str, dict[str, str | bytes]] = {
    "ml-100k": {"ml-100k/README": "x", "ml-100k/u.data": TEXT, "ml-100k/u1.base": "1\t1\t1\t0\n"},
    "ml-1m": {"ml-1m/movies.dat": "1::é::x\n", "ml-1m/ratings.dat": TEXT.replace("\t", "::")},
    "ml-25m": {
        "ml-25m/": "",
        "ml-25m/tags.csv": "userId,movieId,tag\n1,2,x\n",
        "ml-25m/ratings.csv": "userId,movieId,rating,timestamp\r\n"
        + TEXT.replace("\t", ",").replace("\n", "\r\n"),
    },
    "any name, alone": {"__MACOSX/x": "y", "README.md": "z", "sub/mine": TEXT},
    "compressed inside": {"ratings.csv.gz": gzip.compress(TEXT.replace("\t", ",").encode())},
    "a name that climbs": {"../../ratings.dat": TEXT},
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_official_zip_is_read_where_it_is(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a/b/archive", zipped(**ARCHIVES[case]))
    found = read(path)
    assert rows(found) == ROWS
    assert times(found) == TIMES
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_a_member_of_a_zip_has_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(tmp_path))
    write(tmp_path / "ml-100k.zip", zipped(**ARCHIVES["ml-100k"]))
    assert catalog.load("ml-100k").nnz == 4
    assert catalog.load("ml-100k").name == "ml-100k"
    assert rows(catalog.load("ml-100k.zip/ml-100k/u1.base")) == [(1, 1, 1.0)]
    with pytest.raises(DataError, match=r"no ratings in it as ml-100k/u9.base"):
        catalog.load("ml-100k.zip/ml-100k/u9.base")


def test_an_archive_of_several_is_not_guessed_at(tmp_path: Path) -> None:
    path = write(tmp_path / "x.zip", zipped(**{"one": TEXT, "t\nwo": TEXT}))
    with pytest.raises(DataError, match=r"zip archive \(one, t\?wo\).*x.zip/NAME"):
        read(path)
    assert rows(read(path / "one")) == ROWS


def test_an_archive_of_thousands_is_to_be_unpacked(tmp_path: Path) -> None:
    many = {f"mv_{k:07}.txt": f"{k}:\n7,4,2005-09-06\n" for k in range(1, 80)}
    with pytest.raises(DataError, match=r"79 files of ratings in a zip.*Unpack it"):
        read(write(tmp_path / "x.zip", zipped(**many)))


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    whole = bytearray(zipped(**{"ratings.dat": TEXT * 50}))
    whole[60] ^= 0xFF
    with pytest.raises(DataError, match="truncated"):
        read(write(tmp_path / "x.zip", bytes(whole)))
    locked = bytearray(zipped(**{"ratings.dat": TEXT}))
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= 1
    with pytest.raises(DataError, match="encrypted"):
        read(write(tmp_path / "x.zip", bytes(locked)))


MOVIES = {
    "mv_0000002.txt": "2:\n9,3,2005-05-13\n",
    "mv_0000001.txt": "1:\r\n7,4,2005-09-06\r\n9,5,2005-09-07",
    "mv_0000010.txt": "10:\n7,1,2004-01-01\n",
}


def test_netflix_movies_lie_in_a_folder(tmp_path: Path) -> None:
    for name, text in MOVIES.items():
        write(tmp_path / "download/training_set" / name, text)
    found = catalog.load(tmp_path / "download")
    assert rows(found) == [(7, 1, 4.0), (9, 1, 5.0), (9, 2, 3.0), (7, 10, 1.0)]
    assert times(found)[0] == pd.Timestamp("2005-09-06").timestamp()
    assert rows(read(write(tmp_path / "kit.zip", zipped(**MOVIES)))) == rows(found)
    write(tmp_path / "download/training_set/mv_0000002.txt", "2:\n9,x,2005-05-13\n")
    with pytest.raises(DataError, match=r"mv_0000002.txt, line 2: found the rating 'x'"):
        catalog.load(tmp_path / "download")


def test_a_colon_in_a_rating_is_no_header(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: found '8:1,3,2005"):
        read(write(tmp_path / "x", "1:\n7,4,2005-09-06\n8:1,3,2005-09-06\n"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (("7", "12"), [7, 12]),
        (("007", "7"), ["007", "7"]),
        (("0x7", "7"), ["0x7", "7"]),
        (("-0", "0"), ["-0", "0"]),
        (("-7", "7"), [-7, 7]),
        (("9000000000", "7"), [9000000000, 7]),
        (("1", "2000000000"), [1, 2000000000]),
        (("ann", "7"), ["ann", "7"]),
    ],
)
def test_users_of_netflix_are_who_they_are_however_they_are_written(
    written: tuple[str, str], ids: list[int | str], end: str, tmp_path: Path
) -> None:
    lines = ["30:", *(f"{user},{at},2005-09-06" for at, user in enumerate(written, 1)), ""]
    found = read(write(tmp_path / "file", end.join(lines)))
    assert rows(found) == [(ids[0], 30, 1.0), (ids[1], 30, 2.0)]
    assert times(found) == [1125964800] * 2


def test_dates_that_are_none_cost_only_the_times(tmp_path: Path) -> None:
    found = read(write(tmp_path / "x", "1:\n7,4,2005-09-06\n8,3,soon\n"))
    assert found.nnz == 2
    assert found.times is None
    assert any("no split by time" in notice for notice in found.notices)
    found = read(write(tmp_path / "x", TEXT.replace("878887116", "soon")))
    assert found.nnz == 4
    assert found.times is None


KDD = "7|2\n30\t90\t4\t01:26:00\n10\t0\t0\t00:00:01\n2|1\n10\t50\t3811\t13:24:00\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_kdd_cup_names_the_user_above(end: str, tmp_path: Path) -> None:
    found = read(write(tmp_path / "x", KDD.replace("\n", end)))
    assert rows(found) == [(7, 30, 90.0), (7, 10, 0.0), (2, 10, 50.0)]
    assert times(found) == [4 * 86400 + 5160, 1, 3811 * 86400 + 48240]
    assert found.notices == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (KDD.replace("7|2", "7|3"), r"line 1: 7\|3 announces 3 ratings, but 2 follow"),
        (KDD[: KDD.rindex("10")], r"line 4: 2\|1 announces 1 ratings, but 0 follow"),
        (KDD[:-15], "line 5: the file ends in the middle"),
        (KDD.replace("30\t90", "30\tx"), "line 2: found the rating 'x'"),
        ("7|2\n30\t4\t01:26:00\n", "line 2: .*without a score.*validation"),
        (KDD.replace("10\t0\t0", "10\t0"), r"line 3: found '10.*must be 'user.count' or item"),
    ],
)
def test_kdd_cup_files_that_are_wrong(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read(write(tmp_path / "x", text))


def test_yahoo_255_is_no_rating(tmp_path: Path) -> None:
    found = read(write(tmp_path / "x", "1\t5\t90\n1\t6\t255\n2\t6\t0\n3\t7\t255\n"))
    assert rows(found) == [(1, 5, 90.0), (2, 6, 0.0)]
    assert found.n_users == 2
    assert "2 ratings of 255 (never play again) left out." in found.notices
    # Elsewhere 255 is a number as any other.
    assert read(write(tmp_path / "x", "1,5,90\n1,6,255\n")).nnz == 2
    assert read(write(tmp_path / "x", "1\t5\t900\n1\t6\t255\n")).nnz == 2


JESTER = "2,-7.82,99,8.79,99,99,99\n6,4.08,-0.29,6.36,4.37,-2.38,-9.66\n0,99,99,99,99,99,99\n"


def test_jester_is_a_table(tmp_path: Path) -> None:
    one = write(tmp_path / "j/jester-data-1.csv", JESTER)
    found = read(one)
    assert [row[:2] for row in rows(found)] == [(1, 1), (1, 3), *((2, k) for k in range(1, 7))]
    assert found.r[:3].tolist() == pytest.approx([-7.82, 8.79, 4.08])
    assert (found.nnz, found.n_users, found.n_items) == (8, 2, 6)
    assert found.notices == ("10 cells of the table are 99: not rated.",)
    assert read(write(tmp_path / "x", JESTER.replace(",", "\t"))).nnz == 8
    write(tmp_path / "j/jester-data-2.csv", JESTER)
    assert catalog.load(tmp_path / "j").user_ids.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (JESTER + "2,1,2,3,99,99,99\n", "line 4: found 3 ratings, where the first column counts"),
        (JESTER + "2,1,12,99,99,99,99\n", "line 4: found the rating 12; it must be from -10 to"),
        (JESTER + "2,1,,99,99,99,99\n", "line 4: found no rating"),
        (JESTER + "2,1,2,99\n", "line 4: found 4 field"),
    ],
)
def test_jester_tables_that_are_wrong(text: str, says: str, tmp_path: Path) -> None:
    text = JESTER * 20 + text  # the accident lies below the lines that are looked at
    says = says.replace("line 4", "line 64")
    with pytest.raises(DataError, match=says):
        read(write(tmp_path / "x", text))


MATRIX = "%%MatrixMarket matrix coordinate real general\n% made\n11 30 4\n" + "".join(
    f"{u} {i} {r}\n" for u, i, r in ROWS
)


@pytest.mark.parametrize("run", [" ", "  ", "\t", " \t "])
def test_matrix_market(run: str, tmp_path: Path) -> None:
    assert rows(read(write(tmp_path / "x", MATRIX.replace(" ", run)))) == ROWS
    assert rows(read(write(tmp_path / "x", gzip.compress(MATRIX.encode())))) == ROWS


def test_what_scipy_writes_is_read(tmp_path: Path) -> None:
    from scipy import io as scipy_io
    from scipy import sparse

    matrix = sparse.coo_matrix(([4.0, 3.5], ([6, 1], [29, 9])), shape=(11, 30))
    scipy_io.mmwrite(tmp_path / "x.mtx", matrix)
    assert sorted(rows(read(tmp_path / "x.mtx"))) == [(2, 10, 3.5), (7, 30, 4.0)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MATRIX.replace("11 30 4", "11 30 5"), "line 3: 5 entries are announced, but 4 follow"),
        (MATRIX.replace("11 30 4", "10 30 4"), r"line 7: found row '11'; it must be from 1 to 10"),
        (MATRIX.replace("\n7 30", "\n0 30"), "line 4: found row '0'"),
        (MATRIX.replace("\n7 30", "\nx 30"), "line 4: found row 'x'"),
        (MATRIX.replace("real", "pattern"), "line 1: .*'coordinate' one of 'real' or 'integer'"),
        (MATRIX.replace("coordinate", "array"), "line 1: .*'coordinate'"),
        (MATRIX.replace("general", "symmetric"), "line 1: found a 'symmetric' matrix"),
        (MATRIX[:50], "comments only|line 2: found"),
        (MATRIX[:-5], "line 7: the file ends in the middle"),
        (MATRIX.replace("11 30 4\n", ""), "line 3: found '7 30 4.0'"),
    ],
)
def test_matrices_that_are_wrong(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read(write(tmp_path / "x", text))


def test_libmf_goodbooks_and_double_delimiters(tmp_path: Path) -> None:
    assert rows(read(write(tmp_path / "x", "0 0 3.5\n1 2 -1e-1\n"))) == [
        (0, 0, 3.5),
        (1, 2, pytest.approx(-0.1)),
    ]
    books = "user_id,book_id,rating\n1,258,5\n2,4081,4\n"
    assert rows(read(write(tmp_path / "x", books))) == [(1, 258, 5.0), (2, 4081, 4.0)]
    jester_2 = "1\t\t5\t\t0.219\n1\t\t7\t\t-9.281\n"
    assert [row[:2] for row in rows(read(write(tmp_path / "x", jester_2)))] == [(1, 5), (1, 7)]
    wide = "  7   30  4\n  2   10  3.5\n  7   10  1\n 11   20  5\n"
    assert rows(read(write(tmp_path / "x", wide))) == ROWS


@pytest.mark.parametrize(
    "written",
    [
        ["1577881800", "1577923200"],
        ["1577881800.5", "1.5779232e9"],
        ["2020-01-01T12:30:00Z", "2020-01-02T00:00:00.9Z"],
        ["2020-01-01 13:30:00+01:00", "2020-01-02 00:00:00.25+00:00"],
        ["2020-01-01 12:30:00.123456", "2020-01-02 00:00:00"],
        ["2020-01-01 12:30", "2020-01-02"],
    ],
)
def test_times_are_read_however_they_are_written(written: list[str], tmp_path: Path) -> None:
    text = "user,item,rating,date\n" + "".join(
        f"1,{k},3,{time}\n" for k, time in enumerate(written)
    )
    assert times(read(write(tmp_path / "x", text))) == [1577881800, 1577923200]


def test_times_come_along_where_a_file_has_them(tmp_path: Path) -> None:
    found = read(write(tmp_path / "x", TEXT.replace("\t", "::")))
    assert times(found) == TIMES
    found = read(write(tmp_path / "x", TEXT.replace("878887116", "0")))
    assert times(found)[2] == NO_TIME
    dated = "date,user,item,rating\n2020-01-02,1,2,3\n2020-01-01 12:30:00,2,2,3\n"
    assert times(read(write(tmp_path / "x", dated))) == [1577923200, 1577881800]
    assert read(write(tmp_path / "x", "1,2,3,4\n")).times is None
    both = read_parts([write(tmp_path / "a", TEXT), write(tmp_path / "b", "1,2,3\n")], name="both")
    assert both.times is None


def test_an_npz_may_hold_times(tmp_path: Path) -> None:
    with open(tmp_path / "x", "wb") as file:
        np.savez(file, u=[1, 2], i=[1, 2], r=[1, 2], t=[5, 6])
    assert times(read(tmp_path / "x")) == [5, 6]


def test_a_folder_is_read_by_its_usual_files(tmp_path: Path) -> None:
    write(tmp_path / "a/ratings.csv", "1,2,3\n")
    write(tmp_path / "a/ratings.csv.gz", gzip.compress(b"1,2,4\n"))
    assert rows(catalog.load(tmp_path / "a")) == [(1, 2, 3.0)]
    write(tmp_path / "b/deep/ratings.csv.zst", arrow_packed("zstd")(b"1,2,4\n"))
    assert rows(catalog.load(tmp_path / "b")) == [(1, 2, 4.0)]
    for part in (1, 2):
        write(tmp_path / f"c/train_{part}.txt", f"{part}\t2\t4\n")
    assert catalog.load(tmp_path / "c").nnz == 2
    write(tmp_path / "d/some.zip", zipped(**{"u.data": TEXT}))
    assert catalog.load(tmp_path / "d").nnz == 4


def test_archives_and_tables_in_archives_are_refused(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        archive.add(write(tmp_path / "ratings.dat", TEXT))
    with pytest.raises(DataError, match=r"tar archive.*Unpack it first"):
        read(tmp_path / "x.tgz")
    inner = parquet_bytes(user=[1], item=[1], rating=[1])
    with pytest.raises(DataError, match=r"in an archive.*Unpack it first"):
        read(write(tmp_path / "x", gzip.compress(inner)))
    with pytest.raises(DataError, match=r"in an archive.*Unpack it first"):
        read(write(tmp_path / "x", gzip.compress(gzip.compress(TEXT.encode()))))


def test_spreadsheets_are_to_be_saved_as_csv(tmp_path: Path) -> None:
    sheet = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    with pytest.raises(DataError, match=r"jester.xls: found an old Excel sheet.*as CSV"):
        read(write(tmp_path / "jester.xls", sheet))
    with pytest.raises(DataError, match=r"in it jester-data-1.xls: found an old Excel sheet"):
        read(write(tmp_path / "jester-data-1.zip", zipped(**{"jester-data-1.xls": sheet})))
    book = zipped(**{"[Content_Types].xml": "x", "xl/workbook.xml": "x", "xl/styles.xml": "x"})
    with pytest.raises(DataError, match=r"of a spreadsheet, save the sheet as CSV"):
        read(write(tmp_path / "ratings.xlsx", book))


def test_nothing_is_written_where_an_archive_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.zip", zipped(**{"/etc/ratings.dat": TEXT, "..\\u.data": TEXT}))
    monkeypatch.chdir(tmp_path)
    assert read(path).nnz == 4
    assert os.listdir(tmp_path) == ["x.zip"]

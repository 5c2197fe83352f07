"""A file that is no file of ratings gives one clear sentence, and nothing is lost in silence."""

from __future__ import annotations

import gzip
import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfviz.data import content as contents
from mfviz.data.formats import read, read_parts
from mfviz.data.sniff import sniff
from mfviz.errors import DataError

GOOD = "userId,movieId,rating,timestamp\n" + "".join(
    f"{u},{u % 7 + 10},{u % 5 + 1}.5,97830{u:04}\n" for u in range(1, 41)
)
DATA = GOOD.replace("userId,movieId,rating,timestamp\n", "")
NETFLIX = "1:\n7,4,2005-09-06\n8,3,2005-09-07\n2:\n9,5,2004-01-01\n"


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def zipped(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


ONE = np.array([1, 2])
TEXT = {
    "empty": ("", "the file is empty"),
    "blank": ("  \n \r\n\t\n", "the file is empty"),
    "header only": ("userId,movieId,rating\n", "found no rating"),
    "header without a line end": ("userId,movieId,rating", "found no rating"),
    "one word": ("hello\n", "line 1: found 'hello'.*separated by"),
    "wrong delimiter": ("1#2#3\n4#5#6\n", "line 1: found '1#2#3'.*Is this the right file"),
    "two columns": ("user,item\n1,2\n", "line 1: found 'user,item'"),
    "cut in a field": (GOOD[:-12], r"line 41: the file ends in the middle.*'40,15,1.*truncated"),
    "cut before a rating": (DATA + "7,10,", r"line 41: .*ends in the middle.*truncated"),
    "a field too many": (GOOD + "1,2,3,4,5\n", r"line 42: found 5 field.*have 4.*comma"),
    "a field too few": (DATA.replace("9,12,5.5,", "9,12,"), "line 9: found 3 field"),
    "no rating": (DATA.replace("9,12,5.5", "9,12,"), "line 9: found no rating"),
    "no user": (DATA.replace("\n9,12", "\n,12"), "line 9: found no user"),
    "no item": (DATA.replace("\n9,12", "\n9,  "), "line 9: found no item"),
    "a word as rating": (DATA.replace("9,12,5.5", "9,12,five"), "line 9: found the rating 'five'"),
    "NaN": (DATA.replace("9,12,5.5", "9,12,NaN"), "line 9: found the rating 'NaN'.*finite"),
    "infinity": (DATA.replace("9,12,5.5", "9,12,-inf"), "line 9: found the rating '-inf'"),
    "too large": (DATA.replace("9,12,5.5", "9,12,1e99"), "line 9: found the rating '1e99'"),
    "underscore": (DATA.replace("9,12,5.5", "9,12,5_5"), "line 9: found the rating '5_5'"),
    "bad first line": ("1,2,x\n" + DATA, "line 1: found 3 field"),
    "bad only line": ("1,2,x\n", "line 1: found the rating 'x'"),
    "a blank line of spaces": (DATA + "   \n1,2,3,4\n", "line 41: found 1 field"),
    "an open quote": (DATA + '"41,2,3,4\n42,2,3,4\n', "line 41: found a quote that is not closed"),
    "an open quote at the end": (DATA + '41,2,3,"4\n42,2,3,4\n', "line 41: found a quote"),
    "a header of another width": (
        ";user;item;rating\n1;2;3\n4;5;6\n",
        "line 1: found 4 column names",
    ),
    "a word between colons": ("1::2::3::4\n1::2::3:x:4\n", "line 2: found 3 field"),
    "a control character": (DATA + "4\x011,2,3,4\n", "line 41: found a control character"),
    "an endless id": (DATA + "x" * 300 + ",2,3,4\n", "line 41: found 300 characters as user"),
    "a colon in an id": ("1::2::3\n1::Alien: 3::3\n", "line 2: found a colon inside 'Alien: 3'"),
    "two colons with a word": ("1::2::3\n1:x:2::3\n", r"line 2: found 2 field.*'::'"),
    "decimal commas in a comma file": ("1,2,3\n1,2,3,5\n", "line 2: found 4 field"),
    "a time where the rating should be": (
        "1,2,978300760,4\n1,3,978300761,5\n",
        "line 1: found the rating '978300760', which looks like a time.*choose the columns",
    ),
    "JSON": ('[{"user":1,"item":2,"rating":3}]\n', "line 1: .*JSON or a web page.*as CSV"),
    "JSON lines": ('{"user":1,"item":2,"rating":3}\n' * 3, "line 1: .*JSON or a web page"),
    "a page of the web": ("<!DOCTYPE html>\n<p>a, b, c</p>\n", "line 1: .*a web page"),
    "titles": ("1|Toy Story (1995)|01-Jan-1995|x\n", "line 1: found the rating '01-Jan-1995'"),
    "netflix with a bad line": (NETFLIX.replace("8,3,", "8;3,"), "line 3: found '8;3,2005-09-07'"),
    "netflix with a bad rating": (NETFLIX.replace("8,3,", "8,x,"), "line 3: found the rating 'x'"),
    "netflix without a user": (NETFLIX.replace("8,3,", ",3,"), "line 3: found no user"),
    "netflix with words": (NETFLIX.replace("8,3,", "8é,3,"), "line 3: found '8é,3,2005"),
    "netflix with an endless movie": (
        NETFLIX.replace("2:", "9" * 20 + ":"),
        "line 4: found '99999999999999999999:'; it must be 'movie:'",
    ),
    "netflix cut": (NETFLIX[:-14], "line 5: the file ends in the middle"),
    "netflix without ratings": ("1:\n2:\n", "found no rating|cannot be read"),
}
BINARY = {
    "zero bytes": (b"1,2,3\n4,\0,5\n", "line 2: found binary data"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "found binary data"),
    "a tail of zeros": (GOOD.encode() * 3000 + bytes(4096), "line 123001: |line 42"),
    "two encodings": (
        "Zoë,a,3\n".encode() + "Zoë,b,4\n".encode("latin-1"),
        "line 2: found 'Zoë,b,4', which is not UTF-8 as other lines are",
    ),
    "one endless line": (b"x" * 200_000, "line 1: found no line end"),
    "cut gzip": (gzip.compress(GOOD.encode())[:-9], "truncated"),
    "bad gzip": (gzip.compress(GOOD.replace("1.5", "x").encode()), "line 6: found the rating 'x'"),
    "zip": (zipped(**{"a.xml": "x", "b.xml": "y"}), "zip archive.*a.xml.*unpack it first"),
    "empty zip": (zipped(), "zip archive.*empty"),
    "cut zip": (zipped(a="b")[:-8], "cannot be read"),
    "parquet": (b"PAR1\x15\x04", "Parquet file cannot be read.*truncated"),
    "one array": (b"\x93NUMPY\x01\0", "numpy.savez"),
    "UTF-16": (GOOD.encode("utf-16"), "UTF-16.*UTF-8"),
    "cut npz": (npz(u=ONE, i=ONE, r=ONE)[:-30], "cannot be read"),
    "npz without r": (npz(u=ONE, i=ONE), "found the arrays u, i; r missing"),
    "npz of objects": (npz(u=np.array([1, None]), i=ONE, r=ONE), "Python objects"),
    "npz of two axes": (npz(u=np.eye(2), i=ONE, r=ONE), r"array u has shape \(2, 2\)"),
    "npz of three lengths": (npz(u=ONE, i=ONE, r=np.ones(3)), "2 users, 2 items and 3 ratings"),
    "npz with NaN": (npz(u=ONE, i=ONE, r=ONE * np.nan), "rating 1 is nan"),
    "npz with broken ids": (npz(u=ONE * 0.3, i=ONE, r=ONE), "user id 1 is 0.3"),
    "npz of words": (npz(u=ONE, i=ONE, r=np.array(["a", "b"])), "no numbers"),
    "empty npz": (npz(u=ONE[:0], i=ONE[:0], r=ONE[:0]), "found no rating"),
}
CASES = BINARY | {case: (text.encode(), says) for case, (text, says) in TEXT.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_gives_one_clear_sentence(case: str, tmp_path: Path) -> None:
    content, says = CASES[case]
    path = tmp_path / "bad.dat"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert re.search(says, message), message
    assert str(path) in message
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 600


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(DataError, match="no path"):
        read("a\0b")
    with pytest.raises(DataError, match="cannot be read"):
        read("x" * 5000)
    with pytest.raises(DataError, match="no regular file"):
        read(os.devnull)


def test_a_file_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(GOOD)

    def refused(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(DataError, match="Permission denied"):
        read(path)


def test_a_bad_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(GOOD)
    (tmp_path / "b").write_text("1,2,x\n")
    with pytest.raises(DataError, match=r"b, line 1"):
        read_parts([tmp_path / "a", tmp_path / "b"], name="both")


def test_a_line_without_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "LONGEST_LINE", 1000)
    (tmp_path / "a").write_text(DATA + "1" * 5000 + "\n")
    with pytest.raises(DataError, match="line 41: found more than 1,000 characters"):
        read(tmp_path / "a")


BASES = [
    GOOD,
    DATA,
    DATA.replace(",", "\t"),
    DATA.replace(",", "::"),
    "user;item;rating\n" + "".join(f"u{k};i{k % 3};{k % 5},5\n" for k in range(12)),
    GOOD.replace("\n", "\r\n"),
    "\ufeff" + GOOD,
    '"user","item","rating"\n' + "".join(f'"a{k}","b""{k % 4}",{k}\n' for k in range(9)),
    "".join(f"{-k} {10**18 + k} {k}e-1\n" for k in range(9)),
    NETFLIX,
]
SCRAPS = ["\n", "\r", "\r\n", ",", ";", "\t", "::", ":", '"', " ", "\0", "é", "nan", "-", "x", "9"]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Text of ratings with a few accidents."""
    content = draw(st.sampled_from(BASES)).encode()
    encoding = draw(st.sampled_from(["utf-8", "latin-1"]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.sampled_from([0, 0, 1, 2, 30])))
        scrap = draw(st.sampled_from(SCRAPS)).encode(encoding)
        content = content[:at] + scrap + content[to:]
    return content[: draw(st.one_of(st.none(), st.integers(0, len(content))))]


@given(content=st.one_of(broken(), st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None
)
def test_whatever_the_bytes_the_answer_is_ratings_or_one_error(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "fuzz"
    path.write_bytes(content)
    try:
        found = read(path)
    except DataError as error:
        message = str(error)
        assert str(path) in message
        assert "\n" not in message
        return
    if not re.match(rb"(\xef\xbb\xbf)?\s*\d+:\s", content):
        wanted = slowly(content)
        users, items = found.user_ids[found.u].tolist(), found.item_ids[found.i].tolist()
        back = [tuple(map(str, pair)) for pair in zip(users, items, strict=True)]
        assert back == [row[:2] for row in wanted]
        np.testing.assert_allclose(found.r, [row[2] for row in wanted], rtol=1e-6, atol=1e-30)


def slowly(content: bytes) -> list[tuple[str, str, float]]:
    """Read text line by line, with the dialect that is recognised, and refuse nothing."""
    lines = re.split("\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
    dialect = sniff("", lines)
    rows = [dialect.split(line) for line in lines[dialect.skip :] if line]
    assert {len(fields) for fields in rows} == {dialect.width}
    user, item, rating = ([fields[at] for fields in rows] for at in dialect.at)
    values = [float(value.replace(",", ".")) for value in rating]
    return list(zip(decoded(user), decoded(item), values, strict=True))


def decoded(column: list[str]) -> list[str]:
    """Ids of a column as UTF-8 if they all are, else as latin-1."""
    try:
        column = [text.encode("latin-1").decode() for text in column]
    except UnicodeDecodeError:
        pass
    return [text.strip() for text in column]

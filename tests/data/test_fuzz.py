"""Whatever is done to a file: its ratings are right, or one sentence says what is wrong."""

from __future__ import annotations

import gzip
import io
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfviz.data.formats import read
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError
from tests.data.samples import Row, arrow_packed, parquet_bytes, rows, write, zipped

FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
TRIPLES = [(u, (u * 5) % 11 + 1, (u * 7) % 9 / 2 + 0.5) for u in range(1, 25)]


def delimited(delimiter: str, header: str = "") -> str:
    lines = [delimiter.join(map(str, (*row, 978_300_000 + row[0]))) for row in TRIPLES]
    return "\n".join([*([header] if header else []), *lines]) + "\n"


def netflix() -> str:
    return "".join(f"{i}:\n{u},{r},2005-09-06\n{u + 1},{r},2005-09-07\n" for u, i, r in TRIPLES)


def kdd_cup() -> str:
    return "".join(
        f"{u}|2\n{i}\t{20 * r:g}\t7\t01:26:00\n{i + 1}\t10\t8\t11:00:59\n" for u, i, r in TRIPLES
    )


def jester() -> str:
    cells = [[99.0] * 8 for _ in range(24)]
    for u, i, r in TRIPLES:
        cells[u - 1][i % 8] = cells[u - 1][(i + 3) % 8] = r
    return "".join("2," + ",".join(f"{value:g}" for value in row) + "\n" for row in cells)


def matrix_market() -> str:
    lines = "".join(f"{u} {i} {r}\n" for u, i, r in TRIPLES)
    return f"%%MatrixMarket matrix coordinate real general\n% x\n30 12 {len(TRIPLES)}\n{lines}"


TEXTS: dict[str, str] = {
    "u.data": delimited("\t"),
    "ratings.dat": delimited("::"),
    "ratings.csv": delimited(",", "userId,movieId,rating,timestamp"),
    "quoted": '"user","item","rating"\n' + "".join(f'"{u}","a,{i}",{r}\n' for u, i, r in TRIPLES),
    "libmf": "".join(f"{u} {i} {r}\n" for u, i, r in TRIPLES),
    "padded": "".join(f"{u:5} {i:6}   {r}\n" for u, i, r in TRIPLES),
    "netflix": netflix(),
    "kdd cup": kdd_cup(),
    "jester": jester(),
    "matrix market": matrix_market(),
}
NAMES = sorted(TEXTS)


def answer(content: bytes, folder: Path) -> Ratings | None:
    """Ratings of a file; None where one good sentence refuses it. Anything else fails."""
    path = write(folder / "fuzz", content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return read(path)
    except DataError as error:
        message = str(error)
    assert str(path) in message, message
    assert message.isprintable(), message
    assert len(message) < 700 + 2 * len(str(path)), message
    return None


def sizes(text: str) -> int:
    """Ratings of one of the texts, by the number of its lines or cells."""
    lines = [line for line in re.split("\r\n|\r|\n", text) if line.strip()]
    if lines[0].startswith("2,") and len(lines[0].split(",")) == 9:
        return sum(cell != "99" for line in lines for cell in line.split(",")[1:])
    if lines[0].startswith("%%"):
        return len(lines) - 3
    headers = re.compile(r"\d+(:|\|\d+)|.*[Uu]ser.*")
    return sum(not headers.fullmatch(line) for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_the_texts_themselves_are_read(name: str, tmp_path: Path) -> None:
    found = answer(TEXTS[name].encode(), tmp_path)
    assert found is not None
    assert found.nnz == sizes(TEXTS[name])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n\n",
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=["CRLF", "CR", "BOM", "BOM and CRLF", "no last end", "blank end", "blank lines"],
)
def test_line_ends_and_marks_change_nothing(
    name: str, change: Callable[[str], str], tmp_path: Path
) -> None:
    wanted = answer(TEXTS[name].encode(), tmp_path)
    found = answer(change(TEXTS[name]).encode(), tmp_path)
    assert wanted is not None
    assert found is not None
    assert rows(found) == rows(wanted)
    for pack in (gzip.compress, arrow_packed("zstd"), lambda text: zipped(**{"u.data": text})):
        packed = answer(pack(change(TEXTS[name]).encode()), tmp_path)
        assert packed is not None
        assert rows(packed) == rows(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_loses_nothing_in_silence(name: str, tmp_path: Path) -> None:
    whole = TEXTS[name].encode()
    wanted = rows(read(write(tmp_path / "whole", whole)))
    for cut in range(1, len(whole), 3):
        found = answer(whole[:cut], tmp_path)
        if found is None:
            continue
        # What is left before the cut is there; only the last number may be cut as well.
        got = rows(found)
        left = whole[:cut].decode()
        if name == "jester" and "\n" not in left:
            continue  # a cut row alone is no table yet
        assert got[:-1] == wanted[: len(got) - 1], left[-40:]
        assert len(got) == sizes(left), left[-40:]
        if name == "matrix market":
            assert len(got) == len(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_lines_give_the_same_ratings_or_a_sentence(name: str, tmp_path: Path) -> None:
    wanted = rows(read(write(tmp_path / "whole", TEXTS[name])))
    for seed in range(12):
        lines = TEXTS[name].splitlines(keepends=True)
        random.Random(seed).shuffle(lines)
        found = answer("".join(lines).encode(), tmp_path)
        if found is None or name == "netflix":
            continue  # no line of Netflix's says where it belongs
        if name == "jester":
            assert sorted(found.r.tolist()) == sorted(row[2] for row in wanted)
        else:
            assert sorted(rows(found)) == sorted(wanted)


SCRAPS = [
    *("\n", "\r", "\r\n", ",", ";", "\t", "::", ":", "|", '"', " ", "  ", "\0", "é", "nan", "-"),
    *("x", "9", "99", "1e999", "9" * 30, "-5", "%", "#", "\u2028", "\x1a", "\x85", "0"),
]


@st.composite
def accidents(draw: st.DrawFn) -> tuple[str, bytes]:
    """One of the texts with a few accidents, and its name."""
    name = draw(st.sampled_from(NAMES))
    content = TEXTS[name].encode()
    encoding = draw(st.sampled_from(["utf-8", "latin-1", "utf-16-le"]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.sampled_from([0, 0, 1, 2, 30])))
        scrap = draw(st.sampled_from(SCRAPS)).encode(encoding, errors="replace")
        content = content[:at] + scrap + content[to:]
    return name, content


@given(case=accidents())
@settings(FUZZ, max_examples=500)
def test_accidents_lose_no_line_in_silence(case: tuple[str, bytes], tmp_path: Path) -> None:
    name, content = case
    found = answer(content, tmp_path)
    if found is None:
        return
    if name == "jester":
        assert any("not rated" in notice for notice in found.notices), content
        assert 40 <= found.nnz <= 50
        return
    lines = re.split("\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
    headers = {"netflix": r"\d+:\s*", "kdd cup": r"\d+\|\d+\s*"}.get(name, "(?!)")
    body = [line for line in lines if line and not re.fullmatch(headers, line, re.ASCII)]
    comments = sum(line.lstrip()[:1] in ("%", "#") for line in body[:4])
    extra = {"matrix market": 1, "ratings.csv": 1, "quoted": 1}.get(name, 0) + comments
    assert len(body) - extra - 1 <= found.nnz <= len(body), (name, content)
    assert np.isfinite(found.r).all()


ids = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**63, 2**80),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=1).map(
        "x{}".format
    ),
)


@given(
    triples=st.lists(
        st.tuples(ids, ids, st.floats(-(2.0**99), 2.0**99, width=32)), min_size=1, max_size=15
    ),
    delimiter=st.sampled_from([",", "\t", ";"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    header=st.sampled_from(["", "user{0}item{0}rating", '"user"{0}"item"{0}"rating"']),
    mark=st.booleans(),
)
@FUZZ
def test_ids_of_any_size_and_sign_come_back(
    triples: list[Row], delimiter: str, end: str, header: str, mark: bool, tmp_path: Path
) -> None:
    lines = [header.format(delimiter)] if header else []
    for u, i, r in triples:
        quoted = [f'"{str(name).replace(chr(34), chr(34) * 2)}"' for name in (u, i)]
        lines.append(delimiter.join([*quoted, repr(r)]))
    text = ("\ufeff" if mark else "") + end.join(lines) + end
    found = answer(text.encode(), tmp_path)
    assert found is not None
    got = [(str(u), str(i), r) for u, i, r in rows(found)]
    assert [row[:2] for row in got] == [(str(u), str(i)) for u, i, _ in triples]
    np.testing.assert_allclose([row[2] for row in got], [row[2] for row in triples], rtol=1e-6)


def npz() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, u=[1, 2] * 20, i=np.arange(40), r=np.ones(40), t=np.arange(40))
    return out.getvalue()


BINARIES = {
    "npz": npz(),
    "parquet": parquet_bytes(user=[1, 2] * 20, item=list(range(40)), rating=[1.0] * 40),
    "gz": gzip.compress(TEXTS["u.data"].encode()),
    "zst": arrow_packed("zstd")(TEXTS["u.data"].encode()),
    "zip": zipped(**{"ml/README": "x", "ml/ratings.dat": TEXTS["ratings.dat"]}),
}


@given(
    name=st.sampled_from(sorted(BINARIES)),
    flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), max_size=3),
    keep=st.floats(0, 1),
    cut=st.booleans(),
)
@settings(FUZZ, max_examples=400)
def test_damaged_archives_give_ratings_or_a_sentence(
    name: str, flips: list[tuple[int, int]], keep: float, cut: bool, tmp_path: Path
) -> None:
    content = bytearray(BINARIES[name])
    for at, change in flips:
        content[at % len(content)] ^= change
    if cut:
        content = content[: int(keep * len(content))]
    found = answer(bytes(content), tmp_path)
    if name in ("gz", "zip", "npz") and found is not None:
        assert found.nnz == (40 if name == "npz" else len(TRIPLES))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fuzz"]

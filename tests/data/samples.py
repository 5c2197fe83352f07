"""Small files of ratings, and how tests write and read them back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from mfviz.data.ratings import Ratings

Row = tuple[Any, Any, float]
ROWS: list[Row] = [(7, 30, 4.0), (2, 10, 3.5), (7, 10, 1.0), (11, 20, 5.0)]
TEXT = "7\t30\t4\t881250949\n2\t10\t3.5\t891717742\n7\t10\t1\t878887116\n11\t20\t5\t880606923\n"
TIMES = [881250949, 891717742, 878887116, 880606923]


class Known(NamedTuple):
    """What a real set holds; ``no_times`` begins why there is no split by time."""

    name: str
    file: str
    users: int
    items: int
    ratings: int
    mean: float
    no_times: str = ""


KNOWN = [
    Known("ml-100k", "u.data", 943, 1682, 100_000, 3.529860),
    Known("ml-1m", "ratings.dat", 6040, 3706, 1_000_209, 3.581564, "512,559 of its 1,000,209"),
    Known("ml-latest-small", "ratings.csv", 610, 9724, 100_836, 3.501557),
    Known("movietweetings-100k", "ratings.dat", 16_554, 10_506, 100_000, 7.324820),
    Known("netflix-sample", "combined_data_1.txt", 38_152, 20, 42_813, 3.334711),
]


def rows(found: Ratings) -> list[Row]:
    users, items = found.user_ids[found.u].tolist(), found.item_ids[found.i].tolist()
    return list(zip(users, items, found.r.tolist(), strict=True))


def times(found: Ratings) -> list[int]:
    assert found.times is not None
    return found.times.tolist()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(**members: str | bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def arrow_packed(method: str) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, method) as stream:
            stream.write(content)
        return bytes(out.getvalue().to_pybytes())

    return pack


def parquet_bytes(**columns: Any) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    return out.getvalue()

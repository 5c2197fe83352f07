"""Real files are read alike by name, from Python, compressed and in an archive."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

import mfviz
from mfviz.data.given import load_problem
from mfviz.data.holdout import why_no_times

pytestmark = pytest.mark.data

# Name, its file, users, items, ratings, mean, and why there is no split by time.
KNOWN = [
    ("ml-100k", "u.data", 943, 1682, 100_000, 3.529860, ""),
    ("ml-1m", "ratings.dat", 6040, 3706, 1_000_209, 3.581564, "512,559 of its 1,000,209"),
    ("ml-latest-small", "ratings.csv", 610, 9724, 100_836, 3.501557, ""),
    ("movietweetings-100k", "ratings.dat", 16_554, 10_506, 100_000, 7.324820, ""),
    ("netflix-sample", "combined_data_1.txt", 38_152, 20, 42_813, 3.334711, ""),
]


@pytest.mark.parametrize("known", KNOWN, ids=[known[0] for known in KNOWN])
def test_counts_and_means(
    known: tuple[str, str, int, int, int, float, str],
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, file, users, items, count, mean, no_times = known
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(data_dir))
    found = mfviz.load(name)
    assert (found.n_users, found.n_items, found.nnz) == (users, items, count)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert why_no_times(found).startswith(no_times)
    assert bool(why_no_times(found)) == bool(no_times)
    content = (data_dir / name / file).read_bytes()
    (tmp_path / "packed").write_bytes(gzip.compress(content, 1))
    with zipfile.ZipFile(
        tmp_path / "official.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as z:
        z.writestr(f"{name}/README", "terms")
        z.writestr(f"{name}/{file}", content)
    for path in (tmp_path / "packed", tmp_path / "official.zip"):
        again = mfviz.load(path)
        assert np.array_equal(again.u, found.u)
        assert np.array_equal(again.i, found.i)
        assert np.array_equal(again.r, found.r)
        assert np.array_equal(again.item_ids, found.item_ids)


def test_the_official_split_of_movielens_100k(data_dir: Path) -> None:
    found = load_problem(data_dir / "ml-100k/u1.base", by="official")
    assert found.train.nnz == 80_000
    assert found.test.nnz + found.set_aside == 20_000

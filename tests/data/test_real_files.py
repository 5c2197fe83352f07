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
from tests.data.samples import KNOWN, Known

pytestmark = pytest.mark.data


STARS_100K = {1: 6110, 2: 11370, 3: 27145, 4: 34174, 5: 21201}
STARS_1M = {1: 56174, 2: 107557, 3: 261197, 4: 348971, 5: 226310}


@pytest.mark.parametrize("known", KNOWN, ids=[known.name for known in KNOWN])
def test_counts_and_means(
    known: Known,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, file, users, items, count, mean, no_times = known
    counts = {"ml-100k": STARS_100K, "ml-1m": STARS_1M}.get(name)
    monkeypatch.setenv("MFVIZ_DATA_DIR", str(data_dir))
    found = mfviz.load(name)
    assert (found.n_users, found.n_items, found.nnz) == (users, items, count)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    if counts:
        assert dict(zip(*np.unique(found.r, return_counts=True), strict=True)) == counts
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

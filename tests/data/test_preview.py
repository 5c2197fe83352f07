"""The preview of a file: its own lines beside what was read from them."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.data.preview import LONGEST, ROWS, preview
from mfviz.errors import DataError


def test_lines_and_rows_stand_side_by_side(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("item,user,rating\nfilm a,7,3.5\nfilm b,7,1\nfilm a,9,5\n")
    found = preview(path)
    assert found.lines == ("item,user,rating", "film a,7,3.5", "film b,7,1", "film a,9,5")
    assert found.rows == (
        ("7", "film a", "3.5", ""), ("7", "film b", "1", ""), ("9", "film a", "5", "")
    )  # fmt: skip
    assert (found.ratings.n_users, found.ratings.n_items) == (2, 2)


def test_times_are_shown_where_they_are_known(tmp_path):
    path = tmp_path / "u.data"
    path.write_text("1\t2\t3\t881250949\n2\t2\t4\t881250950\n")
    assert [row[3] for row in preview(path).rows] == ["881250949", "881250950"]


def test_it_stays_small_whatever_the_file(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(
        "user,item,rating,words\n" + "".join(f"{k},1,2,{'x' * 500}\n" for k in range(99))
    )
    found = preview(path)
    assert len(found.lines) == len(found.rows) == ROWS
    assert max(map(len, found.lines)) <= LONGEST + 1
    assert found.ratings.nnz == 99


def test_a_binary_file_has_rows_and_no_lines(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, u=[1, 2], i=[3, 3], r=[4.0, 5.0])
    found = preview(path)
    assert found.lines == ()
    assert found.rows == (("1", "3", "4", ""), ("2", "3", "5", ""))


def test_what_cannot_be_read_says_why(tmp_path):
    path = tmp_path / "page.csv"
    path.write_text("<html>not found</html>")
    with pytest.raises(DataError):
        preview(path)

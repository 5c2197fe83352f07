"""Files sent to the page: pieces, refusals, preview and use, without a browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.views.dropzone import DropZone, _safe
from mfviz.views.upload import Upload
from tests.views.stage import Stage

CSV = b"user,item,rating\n1,5,3\n1,6,4\n2,5,5\n2,5,5\n"


class Sender:
    """A browser's part: sends a file in pieces, as it is asked for them."""

    def __init__(self, **params: Any) -> None:
        self.files: list[Path] = []
        self.told: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.zone = DropZone(self.files.append, self.told.append, **params)
        self.zone._send_msg = self.asked.append

    def piece(self, name, size, at, piece):
        self.zone._handle_msg({"name": name, "size": size, "at": at, "piece": piece})

    def send(self, name, content, step):
        for at in range(0, len(content), step):
            self.piece(name, len(content), at, content[at : at + step])


@given(st.binary(min_size=1, max_size=300), st.integers(1, 64))
def test_pieces_make_the_file_again(content, step):
    sender = Sender()
    try:
        sender.send("ratings.csv", content, step)
        (path,) = sender.files
        assert path.read_bytes() == content
        assert sender.asked[-1] == {"next": len(content)}
        assert sender.told == []
    finally:
        sender.zone.close()
    assert not path.exists()


def test_a_second_file_of_the_name_replaces_the_first():
    sender = Sender()
    sender.send("r.csv", b"old and long", 4)
    sender.send("r.csv", b"new", 4)
    assert sender.files[1].read_bytes() == b"new"
    sender.zone.close()


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([(10, 0, b"abc"), (10, 7, b"def")], "did not arrive whole"),
        ([(4, 0, b"abcdef")], "did not arrive whole"),
        ([(4, 0, b"")], "did not arrive whole"),
        ([(4, 0, "text")], "did not arrive whole"),
        ([(0, 0, b"")], "is empty"),
        ([(101, 0, b"a")], "at most"),
        ([(101, 0, None)], "at most"),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(messages, said):
    sender = Sender(limit=100)
    for size, at, piece in messages:
        sender.piece("r.csv", size, at, piece)
    assert sender.files == []
    assert said in sender.told[-1]
    assert sender.asked[-1] == {"next": None}
    sender.zone.close()


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\\b\\..\\c.csv", ".bashrc", "x" * 300, "", "<b>&.csv", "/"]
)
def test_a_name_stays_in_the_folder(name):
    assert _safe(name).strip(".")
    assert not set(_safe(name)) & set("/\\<>&")
    assert len(_safe(name)) <= 80


def wait(stage, look):
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)
        stage.host.advance(0.1)


def test_a_file_is_previewed_and_then_used(tmp_path):
    stage = Stage()
    upload = Upload(stage.session)
    path = tmp_path / "mine.csv"
    path.write_bytes(CSV)
    upload.read(path)
    wait(stage, lambda: upload.use.visible)
    page = upload.found.pane.object
    assert "4 ratings of 2 users for 2 items" in page
    assert "user,item,rating" in page
    assert "twice" in page or "repeated" in page or "duplicate" in page
    assert stage.session.desk.data != str(path), "nothing is used before it is accepted"
    upload.accept()
    assert stage.session.desk.data == str(path)
    assert not upload.use.visible


def test_a_bad_file_is_a_sentence_without_our_folders(tmp_path):
    stage = Stage()
    upload = Upload(stage.session)
    path = tmp_path / "broken.csv"
    path.write_text("user,item,rating\n1,2,many\n")
    upload.read(path)
    wait(stage, lambda: "Reading" not in upload.found.pane.object)
    assert "broken.csv" in upload.found.pane.object
    assert "line 2" in upload.found.pane.object
    assert str(tmp_path) not in upload.found.pane.object
    assert not upload.use.visible

"""A download arrives whole and checked, or leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mfviz.data.catalog import entry, load
from mfviz.data.download import download, get
from mfviz.data.entries import Entry
from mfviz.errors import DataError

ROWS = "1::7::3::0\n2::8::4::0\n"


def zipped(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


ARCHIVE = zipped(
    **{
        "ml-1m/ratings.dat": ROWS,
        "ml-1m/README": "terms",
        "ml-1m/users.dat": "private",
        "../../ratings.csv": "1,2,3\n",
    }
)


class Server:
    """Answers with what it is told to."""

    def __init__(self) -> None:
        self.body, self.status, self.short = ARCHIVE, 200, 0
        self.tag, self.parts = "", True  # its version, and whether it sends parts of a file
        self.asked: list[str] = []
        self.ranges: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.asked.append(handler.path)
                self.ranges.append(handler.headers.get("Range", ""))
                body, status = self.body, self.status
                if self.ranges[-1] and self.parts and status == 200:
                    at = int(self.ranges[-1].removeprefix("bytes=").removesuffix("-"))
                    status, body = (206, body[at:]) if at < len(body) else (416, b"")
                handler.send_response(status)
                if status == 206:
                    handler.send_header(
                        "Content-Range", f"bytes {at}-{len(self.body) - 1}/{len(self.body)}"
                    )
                if self.tag:
                    handler.send_header("ETag", self.tag)
                handler.send_header("Content-Length", str(len(body) + self.short))
                handler.end_headers()
                handler.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.close()


@pytest.fixture
def remote(server: Server) -> Entry:
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    return replace(entry("ml-1m"), url=f"{server.url}/ml-1m.zip", checksum=f"sha256:{digest}")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_set_is_fetched_once_and_unpacked(server: Server, remote: Entry, tmp_path: Path) -> None:
    folder = download(remote, tmp_path / "new" / "cache", progress=False)
    assert left(folder) == ["README", "ratings.csv", "ratings.dat"]
    assert (folder / "ratings.dat").read_text() == ROWS
    assert left(folder.parent) == ["ml-1m"]
    assert left(tmp_path) == ["new"]
    assert download(remote, folder.parent, progress=False) == folder
    assert server.asked == ["/ml-1m.zip"]


def test_an_md5_does_too(remote: Entry, tmp_path: Path) -> None:
    digest = hashlib.md5(ARCHIVE).hexdigest()
    assert download(replace(remote, checksum=f"md5:{digest}"), tmp_path, progress=False).is_dir()


def test_what_was_fetched_is_found_by_name(
    remote: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MFVIZ_DATA_DIR", raising=False)
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    download(remote, tmp_path / "data", progress=False)
    assert load("ml-1m").nnz == 2


def test_a_single_file_is_fetched_and_looked_at(
    server: Server, remote: Entry, tmp_path: Path
) -> None:
    plain = replace(remote, url=f"{server.url}/ratings.dat", checksum="")
    server.body = b"<html>moved</html>\n"
    with pytest.raises(DataError, match=r"ratings\.dat, line 1"):
        download(plain, tmp_path, progress=False)
    assert left(tmp_path) == []
    server.body = ROWS.encode()
    assert left(download(plain, tmp_path, progress=False)) == ["ratings.dat"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"body": ARCHIVE[:-5] + b"12345"}, "has not the published checksum"),
        ({"status": 404}, "answers 404"),
        ({"short": 99}, "cannot be fetched|published checksum"),
    ],
)
def test_a_failed_download_leaves_nothing_behind(
    change: dict[str, Any], says: str, server: Server, remote: Entry, tmp_path: Path
) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(DataError, match=says) as caught:
        download(remote, tmp_path, progress=False)
    assert remote.url in str(caught.value)
    assert left(tmp_path) == []


def test_an_archive_without_ratings_is_refused(
    server: Server, remote: Entry, tmp_path: Path
) -> None:
    server.body = zipped(a="b")
    digest = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(DataError, match="holds no ratings"):
        download(replace(remote, checksum=f"sha256:{digest}"), tmp_path, progress=False)
    assert left(tmp_path) == []


def test_no_connection_says_what_to_do(remote: Entry, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    away = replace(remote, url=f"http://127.0.0.1:{port}/ml-1m.zip")
    with pytest.raises(DataError, match=r"no connection.*elsewhere.*MFVIZ_DATA_DIR"):
        download(away, tmp_path, progress=False)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written_to(remote: Entry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written to"):
        download(remote, tmp_path / "file", progress=False)


def test_an_interruption_leaves_nothing_behind(
    remote: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mfviz.data.download._unpack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(remote, tmp_path, progress=False)
    assert left(tmp_path) == []


def test_a_bar_of_the_caller_is_filled(remote: Entry, tmp_path: Path) -> None:
    class Bar:
        total = 0
        seen = 0

        def update(self, count: int) -> None:
            self.seen += count

        def reset(self) -> None:
            self.seen = 0

        def close(self) -> None:
            pass

    bar = Bar()
    download(remote, tmp_path, progress=bar)
    assert bar.seen == bar.total == len(ARCHIVE)


@pytest.fixture
def broken(server: Server, remote: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the first 40 bytes of a download wait."""
    monkeypatch.setattr("mfviz.data.fetching.BLOCK_BYTES", 10)
    server.tag, server.body, server.short = '"one"', ARCHIVE[:40], len(ARCHIVE) - 40
    with pytest.raises(DataError, match="cannot be fetched"):
        download(remote, tmp_path, progress=False)
    server.body, server.short = ARCHIVE, 0
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == ARCHIVE[:40]
    assert part.name.startswith(".ml-1m-")
    return tmp_path


def test_a_broken_download_goes_on_where_it_was(
    server: Server, remote: Entry, broken: Path
) -> None:
    folder = download(remote, broken, progress=False)
    assert server.ranges == ["", "bytes=40-"]
    assert (folder / "ratings.dat").read_text() == ROWS
    assert left(broken) == ["ml-1m"]


def test_it_may_break_off_again_and_again(server: Server, remote: Entry, broken: Path) -> None:
    server.body, server.short = ARCHIVE[:90], len(ARCHIVE) - 90
    with pytest.raises(DataError, match="cannot be fetched"):
        download(remote, broken, progress=False)
    server.status = 503
    with pytest.raises(DataError, match="answers 503"):
        download(remote, broken, progress=False)
    server.body, server.short, server.status = ARCHIVE, 0, 200
    download(remote, broken, progress=False)
    assert server.ranges == ["", "bytes=40-", "bytes=90-", "bytes=90-"]
    assert left(broken) == ["ml-1m"]


@pytest.mark.parametrize(
    ("change", "ranges"),
    [
        ({"tag": '"two"'}, ["", "bytes=40-", ""]),  # another version
        ({"parts": False}, ["", "bytes=40-"]),  # all of it, though a part was wanted
        ({"tag": ""}, ["", "bytes=40-", ""]),
    ],
)
def test_parts_of_two_versions_are_never_joined(
    change: dict[str, Any], ranges: list[str], server: Server, remote: Entry, broken: Path
) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    folder = download(remote, broken, progress=False)
    assert server.ranges == ranges
    assert (folder / "ratings.dat").read_text() == ROWS
    assert left(broken) == ["ml-1m"]


def test_more_than_there_is_by_now_is_fetched_anew(
    server: Server, remote: Entry, broken: Path
) -> None:
    (part,) = broken.iterdir()
    part.write_bytes(ARCHIVE + b"more")
    download(remote, broken, progress=False)
    assert server.ranges[-1] == ""
    assert left(broken) == ["ml-1m"]


def test_a_part_with_wrong_bytes_is_found_by_the_checksum(remote: Entry, broken: Path) -> None:
    (part,) = broken.iterdir()
    part.write_bytes(b"x" * 40)
    with pytest.raises(DataError, match="published checksum"):
        download(remote, broken, progress=False)
    assert left(broken) == []
    download(remote, broken, progress=False)


def test_who_looks_on_may_stop_it(server: Server, remote: Entry, tmp_path: Path) -> None:
    class Bar:
        total = 0

        def update(self, count: int) -> None:
            if count:
                raise DataError("Stopped.")

        def close(self) -> None:
            pass

    server.tag = '"one"'
    with pytest.raises(DataError, match="Stopped"):
        download(remote, tmp_path, progress=Bar())
    assert [name[-5:] for name in left(tmp_path)] == [".part"]


def test_get_asks_for_the_licence_first(server: Server) -> None:
    with pytest.raises(DataError, match=r"licence is accepted.*GroupLens"):
        get("ml-1m", accept_licence=False)
    with pytest.raises(DataError, match="nothing to get"):
        get("toy", accept_licence=True)
    with pytest.raises(DataError, match="no public download"):
        get("netflix-sample", accept_licence=True)
    with pytest.raises(DataError, match="Did you mean"):
        get("ml-1mm", accept_licence=True)
    assert server.asked == []

"""Public data sets on the Data tab: terms, a download that is watched and stopped, then use."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfviz.data import catalog
from mfviz.views import downloads
from mfviz.views.controls import Drawer
from mfviz.views.downloads import Downloads
from tests.data.test_download import ARCHIVE, Server
from tests.views.stage import Stage

TITLE = "MovieLens 1M"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server that stands for the official address of ml-1m, and empty folders."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MFVIZ_DATA_DIR", raising=False)
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloads, "_running", {})
    made = Server()
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    known = tuple(
        replace(e, url=f"{made.url}/ml-1m.zip", checksum=f"sha256:{digest}", bytes=len(ARCHIVE))
        if e.name == "ml-1m" else e
        for e in catalog.entries()
    )  # fmt: skip
    monkeypatch.setattr(catalog, "ENTRIES", known)
    yield made
    made.close()


class At:
    """The card beside a drawer, and what stands on it."""

    def __init__(self, title: str = TITLE) -> None:
        self.stage = Stage()
        self.drawer = Drawer(self.stage.session)
        self.card = Downloads(self.stage.session)
        self.card.names.value = title
        self.stage.host.advance(0.1)

    def press(self) -> None:
        self.card.button.clicks += 1
        self.stage.host.advance(0.1)

    def until(self, look: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 20
        while not look():
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
            self.stage.host.advance(0.3)

    @property
    def said(self) -> Any:
        return self.card.about.pane.object

    @property
    def offer(self) -> Any:
        return self.card.button.label


def test_terms_and_size_are_shown_and_nothing_is_fetched_before_it_is_agreed_to(
    server: Server,
) -> None:
    at = At()
    assert "no redistribution" in at.said
    assert "1,000,209 ratings" in at.said
    assert at.offer == "Agree and download 0.0 MB"
    at.card.names.value = "MovieLens 25M"
    at.stage.host.advance(0.1)
    assert at.offer == "Agree and download 262 MB"
    assert "262 MB to fetch, checksum known" in at.said
    assert server.asked == []


def test_a_set_is_downloaded_and_used(server: Server) -> None:
    at = At()
    assert TITLE in at.drawer.data.disabled_options
    at.press()
    at.until(lambda: at.offer == "Use these ratings")
    assert server.asked == ["/ml-1m.zip"]
    assert "It is on this machine." in at.said
    assert not at.card.meter.visible
    assert TITLE not in at.drawer.data.disabled_options
    at.press()
    assert at.stage.desk.data == "ml-1m"
    assert server.asked == ["/ml-1m.zip"]


def test_a_download_is_watched_from_every_page_and_stopped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[downloads.Download] = []
    monkeypatch.setattr(downloads.Download, "start", lambda self: begun.append(self))
    at, other = At(), At()
    at.press()
    (found,) = begun
    assert "Asking the server" in at.said
    found.total = 8_000_000
    found.update(2_000_000)
    for page in (at, other):
        page.card.refresh()
        assert "2.0 MB of 8.0 MB arrived" in page.said
        assert page.card.meter.visible
        assert page.card.meter.value == 25
        assert page.offer == "Stop"
    other.press()
    assert len(begun) == 1
    monkeypatch.setattr("mfviz.data.download.get", lambda name, progress, **_: progress.update(1))
    found._work()
    at.card.refresh()
    assert "Stopped." in at.said
    assert at.offer.startswith("Agree and download")


def test_what_goes_wrong_is_a_sentence_and_can_be_tried_again(server: Server) -> None:
    at = At()
    server.status = 503
    at.press()
    at.until(lambda: "answers 503" in at.said)
    assert at.offer.startswith("Agree and download")
    server.status = 200
    at.press()
    at.until(lambda: at.offer == "Use these ratings")


def test_a_set_without_a_download_tells_how_to_bring_ones_own(server: Server) -> None:
    at = At("Netflix Prize sample")
    assert "may not be redistributed" in at.said
    assert "MFVIZ_DATA_DIR" in at.said
    assert not at.card.button.visible
    at.press()
    assert server.asked == []

"""Fixtures that all tests share.

Real ratings are looked for in ``MFVIZ_DATA_DIR``; a test that needs them is skipped, with the
reason, where they are absent. Nothing but this machine is ever connected to.
"""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from mfviz import browser as browsers

# The same examples on each run, and no verdict on the speed of a busy machine.
settings.register_profile("mfviz", deadline=None, derandomize=True)
settings.load_profile("mfviz")

gc.disable()  # until all is imported: it stays as long as the tests run

ROOT = Path(__file__).resolve().parent.parent


def has(plugin: str) -> bool:
    return importlib.util.find_spec(plugin) is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the settings of pytest-timeout where it is absent: a machine with a GPU may be bare."""
    if not has("pytest_timeout"):
        parser.addini("timeout", "seconds of a test at most; needs pytest-timeout")


def pytest_configure(config: pytest.Config) -> None:
    for plugin, marker in (("pytest_timeout", "timeout"), ("xdist", "xdist_group")):
        if not has(plugin):
            config.addinivalue_line("markers", f"{marker}(value): has no effect without {plugin}")


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but seldom, and never at what is there now.

    A full look at what the libraries have made takes longer than most tests.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a socket of the file system
    if address[0] in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse every connection that would leave this machine."""
    patch = pytest.MonkeyPatch()
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if not _is_local(address):
            raise OSError(f"a test wanted to connect to {address}; tests stay on this machine")
        connect(self, address)

    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _own_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep runs and downloads of tests out of the user's folders."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("MFVIZ_RUNS_DIR", str(base / "runs"))
    monkeypatch.setenv("MFVIZ_CACHE_DIR", str(base / "cache"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real ratings."""
    value = os.environ.get("MFVIZ_DATA_DIR", "")
    if not value or not Path(value).is_dir():
        pytest.skip("needs real ratings: set MFVIZ_DATA_DIR to a folder that holds ml-100k, ml-1m")
    return Path(value)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Executable of a Chromium; on CI its absence is a failure, elsewhere a skip."""
    found = browsers.find()
    if found is None:
        reason = "needs Chromium or Chrome: install one, or set CHROMIUM to its path"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[Any]:
    """A headless Chromium, driven by Playwright (its ``Browser``)."""
    sync_api = pytest.importorskip("playwright.sync_api")
    flags = [*browsers.FLAGS, "--no-sandbox", "--disable-gpu"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=flags)
        yield browser
        browser.close()

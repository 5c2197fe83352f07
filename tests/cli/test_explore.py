from __future__ import annotations

import os
import re
import socket
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from panel.io.server import DocHandler
from tornado.httputil import HTTPHeaders

from mfviz import browser, serve
from mfviz.early_head import EarlyHead
from mfviz.errors import MfvizError, ParameterError
from mfviz.views.host import THEME_HINT


@pytest.fixture
def taken() -> Any:
    """A port that somebody listens on."""
    with socket.socket() as holder:
        holder.bind((serve.ADDRESS, 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_free_port_is_found_when_the_usual_one_is_taken(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "PORT", taken)
    port = serve.free_port()
    assert port != taken
    assert serve.free_port(port) == port


def test_a_port_that_is_taken_or_no_port_is_refused(mfviz: Any, taken: int) -> None:
    said = mfviz("explore", "--port", taken)
    assert said.code == 2
    assert f"port {taken} is taken" in said.err
    assert said.err.count("\n") == 1
    for port in (0, -1, 70_000):
        with pytest.raises(ParameterError, match="from 1 to 65535"):
            serve.free_port(port)


def test_the_server_gets_the_right_flags() -> None:
    made = serve.arguments(5123, show=True)
    words = " ".join(made)
    assert made[0] == "serve"
    assert Path(made[1]).is_file()
    for flag in (
        "--address 127.0.0.1",
        "--port 5123",
        "--allow-websocket-origin 127.0.0.1:5123",
        "--allow-websocket-origin localhost:5123",
        "--check-unused-sessions 1000",
        "--unused-session-lifetime 2000",
        "--show",
    ):
        assert flag in words
    assert "--num-threads" not in words
    assert "--show" not in serve.arguments(5123)
    assert "--auth-module" not in words
    assert "--auth-module" in serve.arguments(5123, token=True)


def fetch(url: str, jar: CookieJar | None = None) -> tuple[int, str]:
    handlers = [] if jar is None else [urllib.request.HTTPCookieProcessor(jar)]
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def port() -> int:
    """A port by chance, as another worker looks for the first free one meanwhile."""
    with socket.socket() as probe:
        probe.bind((serve.ADDRESS, 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_page_is_served_on_this_machine(port: int) -> None:
    with serve.server(port) as url:
        status, text = fetch(url)
        assert status == 200
        assert "<title>mfviz" in text, "the page's script has failed"
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.headers["Content-Length"] is None, "sent before its length is known"
            again = answer.read().decode()
        pieces = [re.split("<body>|</body>", page) for page in (text, again)]
        assert pieces[0][0] == pieces[1][0]
        assert [len(page) for page in pieces] == [3, 3], "whole, and nothing comes twice"
        assert again.count("importShim(") == 1, "components are loaded ahead"
        assert "_get_css_value" in again, "Bokeh is eased before it draws"
        assert fetch(url.rsplit("/", 1)[0] + "/")[0] == 200
        dark = _asked(url, {"Sec-CH-UA": "any", "Sec-CH-Prefers-Color-Scheme": '"dark"'})
        chosen = _asked(f"{url}?theme=dark", {"Sec-CH-UA": "any"})
        light = _asked(f"{url}?theme=light", {"Sec-CH-Prefers-Color-Scheme": "dark"})
        assert ":root { color-scheme: dark" in dark
        assert dark.split("<body>")[0] == chosen.split("<body>")[0]
        assert light.split("<body>")[0] == text.split("<body>")[0]
        with pytest.raises(ParameterError, match="taken"):
            serve.free_port(port)
    assert serve.free_port(port) == port


def _asked(url: str, headers: dict[str, str]) -> str:
    """The page as a browser gets it whose request has these headers."""
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Critical-CH"] == answer.headers["Accept-CH"] == THEME_HINT
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("headers", "asked", "again", "theme"),
    [
        ({}, "", False, "light"),
        ({"Sec-CH-UA": "any"}, "", True, "light"),
        ({"Sec-CH-UA": "any"}, "dark", False, "dark"),
        ({"Sec-CH-UA": "any", "Sec-CH-Prefers-Color-Scheme": "dark"}, "", False, "dark"),
        ({"Sec-CH-UA": "any", "Sec-CH-Prefers-Color-Scheme": "dark"}, "light", False, "light"),
    ],
)
def test_a_browser_that_can_tell_its_theme_is_asked_once(
    headers: dict[str, str],
    asked: str,
    again: bool,
    theme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(EarlyHead, "get_argument", lambda self, name, default: asked or default)
    page: Any = object.__new__(EarlyHead)
    page.request = SimpleNamespace(headers=HTTPHeaders(headers))
    assert (page._can_tell, page._theme) == (again, theme)


def test_a_page_that_begins_in_another_way_is_loaded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    monkeypatch.setattr(DocHandler, "write", lambda self, chunk: written.append(chunk))
    monkeypatch.setattr(EarlyHead, "heads", {})
    monkeypatch.setattr(EarlyHead, "_theme", "light")
    first, later = (object.__new__(EarlyHead) for _ in range(2))
    first.write("<head>old</head><body>\n1</body>")
    later._sent = EarlyHead.heads["light"]
    later.write("<head>old</head><body>\n2</body>")
    later.write("<head>new</head><body>\n3</body>")
    assert written == [
        "<head>old</head><body>\n1</body>", "2</body>", "<script>location.reload()</script>"
    ]  # fmt: skip
    assert EarlyHead.heads == {"light": "<head>new</head><body>\n"}


@pytest.mark.slow
def test_a_token_keeps_everybody_else_out(port: int) -> None:
    with serve.server(port, token="open-sesame") as url:
        base = url.rsplit("/", 1)[0]
        assert fetch(url)[0] == 403
        assert fetch(f"{base}/login?token=wrong")[0] == 403
        assert fetch(f"{base}/login")[0] == 403
        jar = CookieJar()
        status, text = fetch(f"{base}/login?token=open-sesame", jar)
        assert status == 200
        assert "open-sesame" not in text
        assert fetch(url, jar)[0] == 200
        assert fetch(url)[0] == 403


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "free_port", lambda port: 99_999)
    with pytest.raises(MfvizError, match=r"ended with code 2.*port is 99999"), serve.server():
        pass


def test_desktop_without_any_window_says_what_to_install(
    mfviz: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "find", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = mfviz("explore", "--desktop")
    assert said.code == 2
    assert "mfviz[desktop]" in said.err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the stand-in for a browser is a shell script")
def test_desktop_ends_with_its_window(
    mfviz: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    window = tmp_path / "window"
    window.write_text(f'#!/bin/sh\necho "$@" > {told}\n')
    window.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(window))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    port = serve.free_port()
    assert mfviz("explore", "--desktop", "--port", port).code == 0
    words = told.read_text()
    assert f"--app=http://127.0.0.1:{port}/login?token=" in words
    assert "--user-data-dir=" in words
    profile = Path(words.split("--user-data-dir=")[1].split()[0])
    assert not profile.exists()
    assert serve.free_port(port) == port


def test_the_browser_of_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "my-browser"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(own))
    assert browser.find() == str(own)
    monkeypatch.setenv("CHROMIUM", "")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(browser, "PLACES", ())
    assert browser.find() is None

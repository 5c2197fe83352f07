"""Serving the page on this machine, and the window of ``mfviz explore --desktop``.

The page is served by ``panel serve`` with the flags below. It listens on 127.0.0.1 only, because
whoever reaches it may start computations.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from mfviz import browser
from mfviz.errors import MfvizError, ParameterError
from mfviz.resources import app

__all__ = ["ADDRESS", "TOKEN", "arguments", "desktop", "free_port", "page_url", "serve", "server"]

ADDRESS = "127.0.0.1"
PORT = 5006
TOKEN = "MFVIZ_TOKEN"  # environment variable that tells the server to ask for a token

# Look for closed pages every second and end their sessions two seconds later, so that the run of a
# page that went away stops. No --num-threads: what takes long (loading, compiling, training) has
# a thread of its own, so that the parts of a page may trust that they are never called twice
# at a time.
SESSIONS = ("--check-unused-sessions", "1000", "--unused-session-lifetime", "2000")


def free_port(port: int | None = None) -> int:
    """Find a port to listen on.

    Parameters
    ----------
    port : int, optional
        The port that the user asked for; without it 5006 is tried, then the next twenty, then
        whatever the system offers.

    Returns
    -------
    int

    Raises
    ------
    ParameterError
        If the port asked for is out of range or taken.
    """
    if port is not None:
        if not 1 <= port <= 65535:
            raise ParameterError(f"port is {port}; it must be from 1 to 65535.", "port")
        if not _is_free(port):
            raise ParameterError(
                f"port {port} is taken by another program; leave --port out to get a free one.",
                "port",
            )
        return port
    for candidate in range(PORT, PORT + 20):
        if _is_free(candidate):
            return candidate
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def page_url(port: int) -> str:
    """Address of the page."""
    return f"http://{ADDRESS}:{port}/{app('explorer.py').stem}"


def arguments(port: int, *, show: bool = False, token: bool = False) -> list[str]:
    """Return the arguments of ``panel serve`` for the page.

    Parameters
    ----------
    port : int
    show : bool
        Open the page in the default browser.
    token : bool
        Let in only who brings the token of the environment variable ``MFVIZ_TOKEN``.
    """
    made = ["serve", str(app("explorer.py")), "--address", ADDRESS, "--port", str(port)]
    # Both names of this machine: Bokeh refuses the socket of an origin that it was not told of.
    for name in (ADDRESS, "localhost"):
        made += ["--allow-websocket-origin", f"{name}:{port}"]
    made += SESSIONS
    if show:
        made.append("--show")
    if token:
        made += ["--auth-module", str(Path(__file__).with_name("token_gate.py"))]
    return made


def serve(port: int, *, show: bool = False) -> None:
    """Serve the page until interrupted, in this process.

    Parameters
    ----------
    port : int
        A free port, see :func:`free_port`.
    show : bool
        Open the page in the default browser.
    """
    from panel.command import main as panel

    from mfviz import early_head

    early_head.install()
    gc.disable()  # there is none yet; the first page has it looked for once all is imported
    threading.Thread(target=_import_page, name="mfviz-import", daemon=True).start()
    sys.argv = ["panel", *arguments(port, show=show, token=bool(os.environ.get(TOKEN)))]
    panel()


@contextlib.contextmanager
def server(
    port: int | None = None,
    *,
    token: str = "",
    settings: Mapping[str, str] | None = None,
    wait_s: float = 60.0,
) -> Iterator[str]:
    """Run the server in a process of its own for as long as the block lasts.

    Parameters
    ----------
    port : int, optional
        See :func:`free_port`.
    token : str
        If given, pages need it.
    settings : mapping of str to str, optional
        Environment variables of the server.
    wait_s : float
        How long the server may take to answer.

    Yields
    ------
    str
        Address of the page.

    Raises
    ------
    MfvizError
        If the server does not answer in time.
    """
    chosen = free_port(port)
    command = [sys.executable, "-m", "mfviz", "explore", "--port", str(chosen)]
    environment = {**os.environ, **(settings or {}), TOKEN: token}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _await(f"http://{ADDRESS}:{chosen}/static/js/bokeh.min.js", process, wait_s)
            yield page_url(chosen)
        except MfvizError as error:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()[-5:]
            raise MfvizError(f"{error} It said: {' | '.join(said) or 'nothing'}") from None
        finally:
            _end(process)


def desktop(port: int | None = None) -> None:
    """Show the page in a window of its own, and end with the window.

    The server is a child process that lets in only this window: it asks for a random token, which
    the window brings once and keeps as a cookie.

    Raises
    ------
    MfvizError
        If there is neither pywebview nor a Chromium-like browser.
    """
    has_webview = importlib.util.find_spec("webview") is not None
    found = browser.find()
    if not has_webview and found is None:
        raise MfvizError(
            "no window can be opened: found neither pywebview nor Chromium, Chrome or Edge. "
            "Install one (pip install 'mfviz[desktop]'), or use mfviz explore --show."
        )
    token = secrets.token_urlsafe(32)
    with server(port, token=token) as url:
        entry = f"{url.rsplit('/', 1)[0]}/login?token={token}"
        if has_webview:
            import webview

            webview.create_window("mfviz", entry, width=1440, height=900)
            webview.start()
        else:
            _app_window(str(found), entry)


def _app_window(executable: str, url: str) -> None:
    """Open a browser in app mode with a profile of its own, and wait until it is closed."""
    profile = tempfile.mkdtemp(prefix="mfviz-window-")
    flags = [*browser.FLAGS, f"--user-data-dir={profile}", "--window-size=1440,900"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium's sandbox refuses to work for root
    try:
        subprocess.run(
            [executable, *flags, f"--app={url}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _import_page() -> None:
    """Import what the first page needs while the server starts, so that it opens sooner.

    An error is left to the page's script, which meets it again and shows it.
    """
    with contextlib.suppress(Exception):
        importlib.import_module("mfviz.views.page")


def _await(url: str, process: subprocess.Popen[bytes], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MfvizError(f"the page's server ended with code {process.returncode}.")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise MfvizError(f"the page's server did not answer within {wait_s:g} s.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""The head of the page goes out before the page is built.

Building a page keeps the server busy for about a second, in which the browser would only wait. The
head is the same for everybody: sent ahead, its scripts load and its first words are on the screen
meanwhile. So does the code of Material's components, which would be asked for last.

A page begins in the theme of its reader's system. A browser tells that only when it is asked to,
so the first request of one that can is answered with that question alone; it comes again at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

from bokeh.server.urls import per_app_patterns
from panel.io.server import DocHandler
from tornado.log import access_log

from mfviz.views.host import THEME_HINT, wished_theme

__all__ = ["EarlyHead", "install"]

# While a page is built nobody hands out scripts: the browser gets them first. It may have them
# from an earlier visit, so only one that begins to ask is waited for.
ASK_S, MOST_S = 0.1, 0.6
END = "<body>\n"
AGAIN = "<script>location.reload()</script>"
# A browser that asks again does not look at this; one that does not is told to ask for a theme.
ASK = """<!doctype html><title>mfviz explorer</title><script>
const url = new URL(location)
const dark = matchMedia("(prefers-color-scheme: dark)").matches
url.searchParams.set("theme", dark ? "dark" : "light")
location.replace(url)
</script>
"""
AHEAD = """<link rel="preload" as="fetch" crossorigin="anonymous" href="{0}">
<script>importShim("{0}");{1}</script>
"""


class EarlyHead(DocHandler):  # type: ignore[misc]  # Panel has no types
    """Answers a request for the page in two parts.

    Attributes
    ----------
    heads : dict of str to str
        By theme, what the page of that theme began with when it was built the last time.
    served_s : float
        When something was last handed out, in seconds of the monotonic clock.
    """

    heads: ClassVar[dict[str, str]] = {}
    served_s: ClassVar[float] = 0.0
    _sent = ""

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Send the head if it is known, and the rest once it is built."""
        for name in ("Accept-CH", "Critical-CH", "Vary"):
            self.set_header(name, THEME_HINT)
        if self._can_tell:
            self.set_header("Cache-Control", "no-store")
            self.finish(ASK)
            return
        head = self.heads.get(self._theme, "")
        if head and self.current_user:
            self.set_header("Content-Type", "text/html")
            self.set_header("Cache-Control", "no-store")
            super().write(head + _ahead())
            self._sent = head
            await self.flush()
            await self._scripts()
        await super().get(*args, **kwargs)

    def write(self, chunk: Any) -> None:
        """Write the page without what was sent of it; keep its head for whoever comes next."""
        if isinstance(chunk, str) and END in chunk:
            head = chunk[: chunk.index(END) + len(END)]
            self.heads[self._theme] = head
            if self._sent:  # another version may have been installed meanwhile
                chunk = chunk.removeprefix(self._sent) if head == self._sent else AGAIN
        super().write(chunk)

    async def _scripts(self) -> None:
        """Wait until the browser asks for no more."""
        self.application.settings["log_function"] = _note
        began = now = time.monotonic()
        while now - max(began, self.served_s) < ASK_S and now - began < MOST_S:
            await asyncio.sleep(ASK_S / 5)
            now = time.monotonic()

    @property
    def _can_tell(self) -> bool:
        """Whether the browser gives hints, but not yet this one, and no theme is asked for."""
        headers = self.request.headers
        hints = "Sec-CH-UA" in headers and THEME_HINT not in headers
        return hints and not self.get_argument("theme", "")

    @property
    def _theme(self) -> str:
        asked = self.get_argument("theme", "") or wished_theme(self.request.headers)
        return "dark" if asked == "dark" else "light"


def _ahead() -> str:
    """What a page has before its parts: their code, and a Bokeh that asks for no variables."""
    # Imported by a thread since the server began: here it would keep the server from answering.
    import panel_material_ui as pmui

    from mfviz.views.live_scripts import NO_VARIABLES

    # The code that all of Material's components share, at the address that a page gives it.
    return AHEAD.format(pmui.Button._render_esm(server=True), NO_VARIABLES)


def _note(handler: Any) -> None:
    """Called by the server whenever a request is over, in place of its own log."""
    EarlyHead.served_s = time.monotonic()
    if handler.get_status() >= 400:
        access_log.warning("%d %s", handler.get_status(), handler.request.uri)


def install() -> None:
    """Have servers of this process answer so."""
    per_app_patterns[:] = [
        (pattern, EarlyHead if handler is DocHandler else handler)
        for pattern, handler in per_app_patterns
    ]

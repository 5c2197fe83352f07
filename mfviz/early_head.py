"""The head of the page goes out before the page is built.

Building a page keeps the server busy for about a second, in which the browser would only wait. The
head is the same for everybody: sent ahead, its scripts load and its first words are on the screen
meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from bokeh.server.urls import per_app_patterns
from panel.io.server import DocHandler

__all__ = ["EarlyHead", "install"]

# While the page is built nobody hands out scripts, so the browser gets time to fetch them first.
FETCH_S = 0.1
END = "<body>\n"
AGAIN = "<script>location.reload()</script>"


class EarlyHead(DocHandler):  # type: ignore[misc]  # Panel has no types
    """Answers a request for the page in two parts.

    Attributes
    ----------
    heads : dict of str to str
        By theme, what the page of that theme began with when it was built the last time.
    """

    heads: ClassVar[dict[str, str]] = {}
    _sent = ""

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Send the head if it is known, and the rest once it is built."""
        head = self.heads.get(self._theme, "")
        if head and self.current_user:
            self.set_header("Content-Type", "text/html")
            self.set_header("Cache-Control", "no-store")
            super().write(head)
            self._sent = head
            await self.flush()
            await asyncio.sleep(FETCH_S)
        await super().get(*args, **kwargs)

    def write(self, chunk: Any) -> None:
        """Write the page without what was sent of it; keep its head for whoever comes next."""
        if isinstance(chunk, str) and END in chunk:
            head = chunk[: chunk.index(END) + len(END)]
            self.heads[self._theme] = head
            if self._sent:  # another version may have been installed meanwhile
                chunk = chunk.removeprefix(self._sent) if head == self._sent else AGAIN
        super().write(chunk)

    @property
    def _theme(self) -> str:
        return "dark" if self.get_argument("theme", "") == "dark" else "light"


def install() -> None:
    """Have servers of this process answer so."""
    per_app_patterns[:] = [
        (pattern, EarlyHead if handler is DocHandler else handler)
        for pattern, handler in per_app_patterns
    ]

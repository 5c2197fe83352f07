"""The door of the desktop window: only who brings the token of ``MFVIZ_TOKEN`` gets in.

Loaded by the server through Bokeh's ``--auth-module``. The window opens ``/login?token=...`` once
and is sent to the page with a cookie; the token leaves the address bar with that.
"""

from __future__ import annotations

import hmac
import os
from typing import Any

from tornado.web import RequestHandler

__all__ = ["LoginHandler", "get_user", "login_url"]

login_url = "/login"
TOKEN = "MFVIZ_TOKEN"


def _matches(given: str | None) -> bool:
    wanted = os.environ.get(TOKEN, "")
    return bool(wanted) and hmac.compare_digest((given or "").encode(), wanted.encode())


def _cookie(handler: Any) -> str:
    """Name of the cookie: browsers do not keep the ports of one machine apart."""
    return f"mfviz-{handler.request.host.rpartition(':')[2]}"


def get_user(handler: Any) -> str | None:
    """Return who asks: the window, or nobody.

    Parameters
    ----------
    handler : tornado.web.RequestHandler
        Of a page, of its socket or of anything else that the server protects.
    """
    return "window" if _matches(handler.get_cookie(_cookie(handler))) else None


class LoginHandler(RequestHandler):
    """Takes the token and gives the cookie."""

    def get(self) -> None:
        """Let the window in, or say where the page is open."""
        if not _matches(self.get_argument("token", "")):
            self.set_status(403)
            self.finish("This mfviz belongs to the window that started it.")
            return
        self.set_cookie(_cookie(self), os.environ[TOKEN], httponly=True, samesite="Strict")
        self.redirect("/")

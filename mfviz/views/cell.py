"""What a notebook cell shows: a column whose messages from the browser come on the loop's thread.

JupyterLab hands messages of widgets to a thread of their own (a subshell), so that they arrive
while a cell is at work. Panel collects the changes of a document and sends them in several pieces,
and neither is safe from a second thread: changes were lost, and a message that was cut in two by
another one ended all updates.
"""

from __future__ import annotations

import threading
from typing import Any

import panel as pn

__all__ = ["Cell"]


class Cell(pn.Column):
    """The outermost column of something that shows itself in a notebook."""

    def __init__(self, *objects: Any, **params: Any) -> None:
        super().__init__(*objects, **params)
        self._home: Any = None  # the loop and the thread on which it was made

    def _render_mimebundle(self, *args: Any, **settings: Any) -> Any:
        from tornado.ioloop import IOLoop

        self._home = (IOLoop.current(), threading.get_ident())
        return super()._render_mimebundle(*args, **settings)

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        loop, thread = self._home
        if threading.get_ident() == thread:
            super()._on_msg(ref, manager, msg)
        else:
            loop.add_callback(super()._on_msg, ref, manager, msg)

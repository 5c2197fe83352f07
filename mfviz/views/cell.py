"""What a notebook cell shows: a column whose messages go and come in their order.

JupyterLab hands messages of widgets to a thread of their own (a subshell), so that they arrive
while a cell is at work. Panel collects the changes of a document and sends them in several pieces,
and neither is safe from a second thread: changes were lost, and a message that was cut in two by
another one ended all updates.

The browser drops what comes before it has drawn the output, piece by piece, and Panel tries each
message again by itself until the line is open, so that later ones overtake it: the browser was
told of things before they were made, or of halves. So all is kept until the browser is ready.
"""

from __future__ import annotations

import re
import threading
from base64 import b64encode
from functools import cache
from typing import Any, ClassVar

import panel as pn
from bokeh.core.json_encoder import serialize_json
from bokeh.models import CustomJS
from panel.io.resources import CDN_DIST, DIST_DIR

from mfviz.views.shared_code import share_code

__all__ = ["Cell", "Mailbox"]

PATIENCE_S = 20.0  # where the figure has no size, as on a tab that is not shown
# Panel's code in the browser drops messages for an output until it is listed in one of these, a
# little after a figure has a size perhaps. Before, nothing that is set here would be told.
READY = """
const look = () => {
  if (window.PyViz?.plot_index?.[ref] || ref in Bokeh.index) cb_obj.tags = [...cb_obj.tags, ref]
  else setTimeout(look, 50)
}
if (cb_obj.inner_width > 0) look()
"""


# Style sheets of Panel's that come with a later change; those of the output itself are in it.
SHEET = re.compile(re.escape(CDN_DIST) + r'([^"?]+\.css)(\?[^"]*)?')


@cache
def _sheet(name: str) -> str:
    code = b64encode((DIST_DIR / name).read_bytes()).decode()
    return f"data:text/css;base64,{code}"


def _enclosed(found: re.Match[str]) -> str:
    """Return a style sheet itself in place of its address on another host."""
    return _sheet(found[1])


class Mailbox:
    """The kernel's end of the line to a browser; keeps what is sent until that listens.

    Parameters
    ----------
    comm : pyviz_comms.JupyterComm
        Calls ``init`` once the browser has opened its end.

    Attributes
    ----------
    open : bool
        Whether the browser listens.
    known : list of str
        Code in JSON that the browser has: components that come later need not bring it.
    """

    def __init__(self, comm: Any) -> None:
        self.open = False
        self.known: list[str] = []
        self._line: Any = None
        self._kept: list[tuple[Any, Any, Any]] = []
        self._comm, self._init = comm, comm.init
        comm._comm, comm.init = self, self._begin

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = ()) -> None:
        """Send a piece of a message, or keep it."""
        if isinstance(data, str):
            data = SHEET.sub(_enclosed, data)
            for code in self.known:
                data = data.replace(code, '""')
        if self.open:
            self._line.send(data, metadata=metadata, buffers=buffers)
        else:
            self._kept.append((data, metadata, buffers))

    def close(self) -> None:
        """Close the line, and forget what nobody saw."""
        self._kept.clear()
        if self._line is not None:
            self._line.close()

    def deliver(self) -> None:
        """Send what was kept; the browser has drawn the output."""
        if self.open or self._line is None:
            return
        kept, self._kept, self.open = self._kept, [], True
        for data, metadata, buffers in kept:
            self._line.send(data, metadata=metadata, buffers=buffers)

    def _begin(self, *args: Any, **settings: Any) -> None:
        if self._line is None:
            self._init(*args, **settings)
            self._line, self._comm._comm = self._comm.comm, self


class Cell(pn.Column):
    """The outermost column of something that shows itself in a notebook.

    Parameters
    ----------
    *objects
        What it holds.
    figure : bokeh.plotting.figure
        One of the figures in it.
    **params
        As for a column.
    """

    # As Material's own components have: it would wrap all others at the root of an output, and
    # that wrapper gives every figure its own lines, fonts and, in the dark, colours of the light.
    _esm_base: ClassVar[None] = None

    def __init__(self, *objects: Any, figure: Any, **params: Any) -> None:
        super().__init__(*objects, **params)
        self._figure = figure
        self._home: Any = None  # the loop and the thread on which it was made
        self._mailboxes: dict[str, Mailbox] = {}  # by output

    @property
    def unheard(self) -> bool:
        """Whether it was handed to browsers, none of which listens yet."""
        boxes = self._mailboxes.values()
        return bool(boxes) and not any(box.open for box in boxes)

    def _render_mimebundle(self, model: Any, doc: Any, comm: Any, location: Any = None) -> Any:
        from pyviz_comms import JupyterComm
        from tornado.ioloop import IOLoop

        self._home = (IOLoop.current(), threading.get_ident())
        if isinstance(comm, JupyterComm) and not comm._comm:
            ref = model.ref["id"]
            self._mailboxes[ref] = box = Mailbox(comm)
            box.known = [serialize_json(code) for code in share_code(model)]
            self._figure.js_on_change("inner_width", CustomJS(args={"ref": ref}, code=READY))
        return super()._render_mimebundle(model, doc, comm, location)

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        loop, thread = self._home
        if threading.get_ident() != thread:
            loop.add_callback(self._on_msg, ref, manager, msg)
            return
        super()._on_msg(ref, manager, msg)
        box = self._mailboxes.get(ref)
        if box is None or box.open:
            return
        if ref in self._figure.tags:
            box.deliver()
        else:
            loop.call_later(PATIENCE_S, box.deliver)

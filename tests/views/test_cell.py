"""What a notebook cell sends: all of it, in its order, and nothing of another host."""

from __future__ import annotations

from typing import Any

from panel.io.resources import CDN_DIST
from pyviz_comms import JupyterComm

from mfviz.views.cell import Mailbox


class Line:
    """The kernel's end of an open line."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, Any, Any]] = []

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = ()) -> None:
        self.sent.append((data, metadata, list(buffers)))


def comm_of(line: Line) -> JupyterComm:
    comm = JupyterComm()
    comm.init = lambda: setattr(comm, "_comm", line)
    return comm


def test_what_is_sent_before_the_browser_listens_is_delivered_in_order() -> None:
    line = Line()
    comm = comm_of(line)
    box = Mailbox(comm)
    comm.send("head")
    box.deliver()
    assert not box.open, "the browser has not opened its end"
    comm.init()
    comm.send("body")
    comm.send(buffers=[b"1"])
    assert line.sent == [], "it has, but drops what comes before it is ready"
    box.deliver()
    comm.send("next", metadata={"of": 2})
    box.deliver()
    assert line.sent == [
        ("head", None, []), ("body", None, []), (None, None, [b"1"]), ("next", {"of": 2}, []),
    ]  # fmt: skip


def test_style_sheets_travel_in_the_message() -> None:
    line = Line()
    comm = comm_of(line)
    box = Mailbox(comm)
    comm.init()
    comm.send(f'{{"url": "{CDN_DIST}css/loading.css?v=1", "other": "https://example.org/a.css"}}')
    box.deliver()
    ((text, _, _),) = line.sent
    assert '"url": "data:text/css;base64,' in text
    assert CDN_DIST not in text
    assert "https://example.org/a.css" in text


def test_code_that_the_browser_has_is_not_sent_again() -> None:
    line = Line()
    comm = comm_of(line)
    box = Mailbox(comm)
    box.known = ['"const a = \\"1\\""']
    comm.init()
    comm.send('{"esm": "const a = \\"1\\"", "name": "a"}')
    box.deliver()
    comm.send('{"esm": "const b", "name": "b"}')
    assert [text for text, _, _ in line.sent] == [
        '{"esm": "", "name": "a"}', '{"esm": "const b", "name": "b"}'
    ]  # fmt: skip

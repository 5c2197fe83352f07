"""The host of a served page: what other threads ask for is never lost."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

from bokeh.document import Document
from bokeh.document.events import DocumentChangedEvent, SessionCallbackAdded
from bokeh.server.callbacks import NextTickCallback, PeriodicCallback
from panel.io.state import set_curdoc

from mfviz.views.host import ServerHost


def served() -> ServerHost:
    """A host of a document that has a session; call it on a running loop."""
    doc = Document()
    place = {"protocol": "http", "host": "127.0.0.1", "uri": "/explorer"}
    request = SimpleNamespace(arguments={}, headers={}, **place)
    context = SimpleNamespace(session=None, request=request, _document=doc)
    doc._session_context = lambda: context
    with set_curdoc(doc):
        return ServerHost()


def told(host: ServerHost) -> list[NextTickCallback]:
    """The session's view: it calls back only what it was told of."""
    heard: list[NextTickCallback] = []

    def hear(event: DocumentChangedEvent) -> None:
        if isinstance(event, SessionCallbackAdded):
            heard.append(event.callback)

    host.doc.callbacks.on_change(hear)
    return heard


def from_a_thread(act) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def test_what_a_thread_asks_for_while_the_document_is_held_is_called() -> None:
    async def page() -> None:
        host, calls = served(), []
        heard = told(host)
        callbacks = host.doc.callbacks
        # as Panel does when it sets style sheets: hold, and put back what was held before
        before = list(callbacks._held_events)
        host.doc.hold()
        from_a_thread(lambda: host.later(lambda: calls.append("loaded")))
        callbacks._held_events = before
        host.doc.unhold()
        await asyncio.sleep(0.01)
        for callback in heard:
            callback.callback()
        assert calls == ["loaded"]

    asyncio.run(page())


def test_nothing_is_added_to_a_page_that_is_gone() -> None:
    async def page() -> None:
        host = served()
        heard = told(host)
        from_a_thread(lambda: host.later(lambda: None))
        host._destroyed(None)
        from_a_thread(lambda: host.later(lambda: None))
        await asyncio.sleep(0.01)
        assert heard == []

    asyncio.run(page())


class Kept:
    """A session of Bokeh's, as far as its life is concerned."""

    def __init__(self) -> None:
        self.connection_count = self.blocked = 0

    def block_expiration(self) -> None:
        self.blocked += 1

    def unblock_expiration(self) -> None:
        self.blocked -= 1


def test_a_page_that_is_closed_before_it_is_loaded_may_end() -> None:
    async def page() -> None:
        host = served()
        session = Kept()
        host.doc.session_context.session = session
        for callback in list(host.doc.session_callbacks):
            if isinstance(callback, NextTickCallback):
                callback.callback()
        (look,) = [c for c in host.doc.session_callbacks if isinstance(c, PeriodicCallback)]
        look.callback()
        assert session.blocked == 1, "no browser has joined yet: it may be slow"
        session.connection_count = 1
        look.callback()
        assert session.blocked == 0
        assert look not in host.doc.session_callbacks

    asyncio.run(page())

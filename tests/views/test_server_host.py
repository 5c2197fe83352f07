"""The host of a served page, where the browser's word that all is set up never comes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import panel as pn
import pytest
from bokeh.document import Document
from bokeh.events import DocumentReady
from panel.io.state import set_curdoc

from mfviz.views.host import LOAD_S, ServerHost


@pytest.fixture
def served() -> Iterator[tuple[ServerHost, Any]]:
    """A host whose document is served to a session that counts its connections."""
    doc = Document()
    session = SimpleNamespace(
        connection_count=0, block_expiration=lambda: None, unblock_expiration=lambda: None
    )
    request = SimpleNamespace(arguments={}, protocol="http", host="127.0.0.1", uri="/explorer")
    context = SimpleNamespace(session=session, request=request, _document=doc)
    doc._session_context = lambda: context
    with set_curdoc(doc):
        pn.state.onload(lambda: None)  # Panel's own parts ask for it, too
        doc.on_event("document_ready", lambda event: pn.state._schedule_on_load(doc, event))
        yield ServerHost(), session
    doc.clear()


def due(host: ServerHost, seconds: float) -> list[Any]:
    """Call back what waits for ``seconds``, as the server's loop would."""
    waiting = [
        held
        for held in host.doc.session_callbacks
        if getattr(held, "timeout", 0) == seconds * 1000
    ]
    for held in waiting:
        host.doc.remove_timeout_callback(held)
        held.callback()
    return waiting


def called(host: ServerHost) -> list[str]:
    """What ``on_load`` calls, filled once the loop has gone round."""
    calls: list[str] = []
    host.on_load(lambda: calls.append("loaded"))
    return calls


def round_the_loop(host: ServerHost) -> None:
    for held in list(host.doc.session_callbacks):
        if type(held).__name__ == "NextTickCallback":
            host.doc.remove_next_tick_callback(held)
            held.callback()


def test_a_browser_that_never_tells_is_not_waited_for_for_ever(
    served: tuple[ServerHost, Any], caplog: pytest.LogCaptureFixture
) -> None:
    host, session = served
    calls = called(host)
    session.connection_count = 1
    with caplog.at_level(logging.WARNING):
        assert due(host, LOAD_S)
    round_the_loop(host)
    assert calls == ["loaded"]
    assert "no word from the browser" in caplog.text


def test_a_browser_that_has_not_joined_yet_is_waited_for(served: tuple[ServerHost, Any]) -> None:
    host, session = served
    calls = called(host)
    assert due(host, LOAD_S)
    round_the_loop(host)
    assert calls == []
    session.connection_count = 1
    assert due(host, LOAD_S)
    round_the_loop(host)
    assert calls == ["loaded"]


def test_nothing_is_done_twice_where_the_browser_told(
    served: tuple[ServerHost, Any], caplog: pytest.LogCaptureFixture
) -> None:
    host, session = served
    calls = called(host)
    session.connection_count = 1
    host.doc.callbacks.trigger_event(DocumentReady())
    with caplog.at_level(logging.WARNING):
        assert due(host, LOAD_S)
    round_the_loop(host)
    assert calls == ["loaded"]
    assert not caplog.text

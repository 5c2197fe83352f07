"""What a closed page leaves behind, and when the server looks for it."""

from __future__ import annotations

import gc
import weakref
from types import MethodType, SimpleNamespace
from typing import Any

import panel as pn
import panel.io.document
import pytest
from bokeh.document import Document
from bokeh.io.doc import patch_curdoc

from mfviz.views import garbage
from mfviz.views.host import ScriptHost
from mfviz.views.ownership import Owners
from mfviz.views.page import build

# bokeh 3.9 calls DataFrame.reset_index(inplace=True), which pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


def opened() -> Any:
    """A page in a document of its own."""
    doc = Document()
    with patch_curdoc(doc):
        return build(ScriptHost())


def test_nothing_keeps_a_page_that_was_closed() -> None:
    opened()  # what the first page has made for all of them stays
    page = opened()
    left = [weakref.ref(page), weakref.ref(page.view), weakref.ref(page.view.session)]
    del page
    gc.collect()
    assert [ref() for ref in left] == [None, None, None]


def test_nobody_looks_while_a_run_trains(monkeypatch) -> None:
    looks: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: looks.append(True))
    run = SimpleNamespace(id="a", active=True, status="running")
    register = Owners(30.0)
    register.register([run], "page")
    monkeypatch.setattr(garbage, "owners", lambda: register)
    garbage.collect()
    assert not looks
    run.status = "paused"
    garbage.collect()
    assert looks == [True]


def test_panel_looks_that_way_after_a_page_was_closed(monkeypatch) -> None:
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(panel.io.document, "_garbage_collect", None)  # and put back afterwards
    asked: list[object] = []

    def schedule_task(name: str, callback: object, at: object) -> None:
        asked.append(callback)

    monkeypatch.setattr(pn.state, "schedule_task", schedule_task)
    garbage.begin()
    doc = Document()
    doc.destroy = MethodType(panel.io.document._destroy_document, doc)
    doc.destroy(None)
    assert asked == [garbage.collect]

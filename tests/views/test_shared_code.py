"""Code of components in an output: once, and where the browser looks for it."""

from __future__ import annotations

import panel as pn
import panel_material_ui as pmui
import pytest
from panel.custom import JSComponent

from mfviz.views.shared_code import share_code


@pytest.fixture(autouse=True)
def _in_the_output():
    with pn.config.set(inline=True):  # as in a notebook without a network
        yield


def test_one_component_keeps_it():
    parts = [pmui.Button(label="a"), pmui.Switch(label="b"), pmui.Button(label="c")]
    root = pn.Column(*parts).get_root()
    before = {model.esm for model in root.children}
    assert len(before) == 1, "all have the same"
    share_code(root)
    assert [model.esm for model in root.children] == [*before, "", ""]


def test_what_a_component_holds_is_made_before_it():
    inside = pmui.Button(label="inside")
    root = pmui.Card(inside, title="around").get_root()
    share_code(root)
    model, _ = inside._models[root.ref["id"]]
    assert model.esm
    assert root.esm == ""


def test_code_of_ones_own_stays():
    class Own(JSComponent):
        _esm = "export const render = () => document.createElement('p')"

    root = pn.Column(Own(), Own()).get_root()
    share_code(root)
    assert all(model.esm for model in root.children)

"""Fields of the page: lists to choose from and lines to write in, with their help."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui

from mfviz.views.theme import sheet

__all__ = ["select", "text"]


def select(label: str, options: list[str], help_text: str, **settings: Any) -> Any:
    """Return a list of which one is chosen."""
    settings = {"sizing_mode": "stretch_width"} | settings
    return pmui.Select(
        label=label, options=options, description=help_text, size="small", margin=0,
        stylesheets=[sheet("field", "menu")], **settings,
    )  # fmt: skip


def text(label: str, help_text: str, *, unit: str = "", **settings: Any) -> Any:
    """Return a line to write in, with a unit at its end."""
    settings = {"sizing_mode": "stretch_width"} | settings
    unit_rule = [f':host {{ --mf-unit: "{unit}"; }}'] if unit else []
    return pmui.TextInput(
        label=label, description=help_text, size="small", margin=0,
        stylesheets=[sheet("field"), *unit_rule], **settings,
    )  # fmt: skip

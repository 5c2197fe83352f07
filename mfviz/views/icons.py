"""Icons of buttons, drawn here: a font of icons is not there in a notebook without a network.

Each is a shape on 24 by 24 units; the button gives it size and colour.
"""

from __future__ import annotations

from functools import cache

__all__ = ["button_icon"]

SOLID = {
    "play": "M8 5v14l11-7z",
    "pause": "M6 5h4v14H6zM14 5h4v14h-4z",
    "stop": "M6 6h12v12H6z",
    "previous": "M6 6h2.4v12H6zM19 6v12l-9-6z",
    "next": "M15.6 6H18v12h-2.4zM5 6l9 6-9 6z",
    "moon": "M20 14.2A8.4 8.4 0 0 1 9.8 4 8.4 8.4 0 1 0 20 14.2z",
}
LINES = {
    "reset": "M6 8.2A7.5 7.5 0 1 1 4.5 13M6 3.4v5.2h5.2",
    "link": "M10.5 8H8a4 4 0 0 0 0 8h2.5M13.5 8H16a4 4 0 0 1 0 8h-2.5M8.5 12h7",
    "sun": "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2.6M12 18.9v2.6M2.5 12h2.6M18.9 12h2.6"
    "M5.3 5.3l1.8 1.8M16.9 16.9l1.8 1.8M18.7 5.3l-1.8 1.8M7.1 16.9l-1.8 1.8",
    "help": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.4 9.6a2.7 2.7 0 1 1 3.9 2.4c-.9.5-1.3 1-1.3 "
    "2M12 16.6v.6",
}


@cache
def button_icon(name: str) -> str:
    """Return an icon as SVG.

    Raises
    ------
    KeyError
        If there is no such icon.
    """
    style = "" if name in SOLID else 'fill="none" stroke="#000" stroke-width="2"'
    path = SOLID.get(name) or LINES[name]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
        f'<path {style} d="{path}"/></svg>'
    )

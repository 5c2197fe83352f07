"""The code of Material's components, once in an output instead of once a component.

A page loads it from the server. An output of a notebook holds it, 1.4 MB for each component,
though the browser looks at the first one's only: it keeps modules by the hash of their bundle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bokeh.core.serialization import Serializer
from bokeh.model import Model

__all__ = ["share_code"]


def share_code(root: Model) -> list[str]:
    """Leave the code of each bundle with the one model that the browser makes first.

    Parameters
    ----------
    root : bokeh Model
        With all that it refers to; components whose code comes later lose theirs.

    Returns
    -------
    list of str
        What is left, a code each; no component that joins this output later has to bring it.
    """
    models = {model.id: model for model in root.references()}
    held: dict[str, str] = {}
    for id in _in_order(Serializer().encode(root)):
        model: Any = models.get(id)
        if getattr(model, "bundle", None) in (None, "url"):
            continue
        if model.bundle in held:
            model.esm = ""
        else:
            held[model.bundle] = model.esm
    return list(held.values())


def _in_order(rep: Any) -> Iterator[str]:
    """Ids of models as BokehJS finishes them: what one refers to comes before it."""
    if isinstance(rep, dict):
        for part in rep.values():
            yield from _in_order(part)
        if rep.get("type") == "object" and "id" in rep:
            yield rep["id"]
    elif isinstance(rep, list | tuple):
        for part in rep:
            yield from _in_order(part)

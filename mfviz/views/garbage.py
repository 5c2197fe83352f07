"""When the server looks for garbage: neither while it starts nor while somebody trains.

A full look walks every object of the process and lets no other thread run Python meanwhile, so a
solver that comes back from its kernel waits for it. Panel takes one a few seconds after a page was
closed. Those that Python takes by itself, as objects pile up, find the same.
"""

from __future__ import annotations

import gc

import panel.io.document

from mfviz.views.ownership import owners

__all__ = ["begin", "collect"]


def begin() -> None:
    """Look from now on, but never again at what is there now.

    Some 350,000 objects stay as long as the server does. To look among them takes a fifth of a
    second, which some page would wait for.
    """
    gc.freeze()
    gc.enable()
    panel.io.document._garbage_collect = collect


def collect() -> None:
    """Take the look after a page was closed, unless a run would wait for it."""
    if not owners().training:
        gc.collect()

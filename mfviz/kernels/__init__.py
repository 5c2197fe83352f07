"""Loops over arrays, compiled by Numba and kept in its cache.

Numba keeps compiled kernels beside their source or in the user's cache folder, and refuses to
compile where it can write to neither (a container without a home). Kernels are then kept for this
process only; set ``NUMBA_CACHE_DIR`` to a folder that can be written to keep them.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile

from numba import config, njit


def _probe() -> None:
    """Nothing; a kernel asks for a place in the cache when it is declared."""


def _find_a_cache() -> None:
    try:
        njit(cache=True)(_probe)
    except RuntimeError:
        config.CACHE_DIR = tempfile.mkdtemp(prefix="mfviz-kernels-")
        atexit.register(shutil.rmtree, config.CACHE_DIR, ignore_errors=True)


_find_a_cache()

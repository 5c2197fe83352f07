"""What a measurement was made on: without it a number means nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mfviz import __version__
from mfviz.backends.host import cpu_count
from mfviz.telemetry.memory import available_bytes

__all__ = ["machine", "words"]

PACKAGES = ("numpy", "numba", "numba-cuda", "bokeh", "panel", "holoviews")


def machine() -> dict[str, Any]:
    """Describe processor, memory, load and versions."""
    free, total = available_bytes()
    return {
        "cpu": _cpu_name(),
        "cores": cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "memory_bytes": total,
        "free_bytes": free,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mfviz": __version__,
        **_versions(),
    }


def _versions() -> dict[str, str]:
    """Versions of what is installed: a machine with a GPU may have no page."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def words(described: dict[str, Any]) -> str:
    """Put a machine in one line, with a warning where it is busy."""
    load = described["load"]
    line = f"{described['cpu']}, {described['cores']} cores, Python {described['python']}"
    if load is None:
        return line
    busy = " (BUSY: do not trust the times)" if load > 0.5 * described["cores"] else ""
    return f"{line}, load {load:.2f}{busy}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""Finding a Chromium on this machine: for the page tests, the benchmarks and the app window."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["FLAGS", "find"]

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)

# Quiet start: nothing is looked up, fetched or reported while a page of this machine is shown.
FLAGS = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)


def find() -> str | None:
    """Path of a Chromium-like browser, or None.

    ``$CHROMIUM`` (a path or a command) comes first.
    """
    for name in (os.environ.get("CHROMIUM", ""), *NAMES):
        found = shutil.which(name) if name else None
        if found:
            return found
    return next((place for place in PLACES if Path(place).exists()), None)


if __name__ == "__main__":
    sys.exit(find() is None)

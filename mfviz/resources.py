"""Where the files live that are no Python modules: ``assets`` and ``apps``.

In a checkout they stand beside the package; in a wheel they are inside it, so that an installed
mfviz can serve its page from any folder.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["app", "asset"]

PACKAGE = Path(__file__).resolve().parent


def _find(folder: str, name: str) -> Path:
    for base in (PACKAGE / folder, PACKAGE.parent / folder):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(
        f"{folder}/{name} is missing from this installation of mfviz; install it again."
    )


def asset(name: str) -> Path:
    """Path of a file under ``assets`` ("style.css", "traces/toy.mfviz").

    Raises
    ------
    FileNotFoundError
        If the installation lacks it.
    """
    return _find("assets", name)


def app(name: str) -> Path:
    """Path of a file under ``apps`` ("explorer.py").

    Raises
    ------
    FileNotFoundError
        If the installation lacks it.
    """
    return _find("apps", name)

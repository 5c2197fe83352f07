"""``python -m mfviz`` is the ``mfviz`` command."""

from __future__ import annotations

from mfviz.cli import main

if __name__ == "__main__":
    main()

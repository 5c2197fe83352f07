"""What tests of pages without a browser share."""

from __future__ import annotations

import pytest

from tests.views.stage import InstantLoader, ready


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with warm kernels and problems at hand."""
    process, load = ready(), InstantLoader()
    monkeypatch.setattr("mfviz.views.desk.readiness", lambda: process)
    monkeypatch.setattr("mfviz.views.desk.loader", lambda: load)

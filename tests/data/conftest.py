"""What tests of data share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mfviz.data import pieces


@pytest.fixture(scope="module")
def small_pieces() -> Iterator[None]:
    """Cut small arrays too, so that borders between pieces are met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", 37)
        yield

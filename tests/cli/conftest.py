"""The command in this process: arguments in, exit code and both streams out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfviz.cli import main


@dataclass
class Said:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one strict JSON object."""

        def refuse(word: str) -> Any:
            raise AssertionError(f"{word} is not strict JSON")

        return json.loads(self.out, parse_constant=refuse)


Command = Callable[..., Said]


@pytest.fixture
def mfviz(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run ``mfviz`` with words and return what it said."""

    def call(*words: object) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture(scope="session")
def ratings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 600 ratings of 40 users and 25 items, with text ids and a planted structure."""
    rng = np.random.default_rng(5)
    cells = rng.choice(40 * 25, 600, replace=False)
    u, i = np.divmod(cells, 25)
    taste, kind = rng.normal(size=(40, 2)), rng.normal(size=(25, 2))
    r = np.clip(np.round(2 * (3.5 + (taste[u] * kind[i]).sum(1))) / 2, 0.5, 5)
    path = tmp_path_factory.mktemp("data") / "mine.csv"
    lines = [f"u{a:02},i{b:02},{c}" for a, b, c in zip(u, i, r, strict=True)]
    path.write_text("user,item,rating\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path

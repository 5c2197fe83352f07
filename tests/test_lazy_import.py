"""``import mfviz`` costs nothing, and every public name is there when it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mfviz


def test_public_names_are_listed_and_found() -> None:
    assert set(mfviz.__all__) <= set(dir(mfviz))
    for name in mfviz.__all__:
        assert getattr(mfviz, name) is not None


def test_a_name_that_does_not_exist_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'factorise'"):
        mfviz.factorise  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    source = Path(mfviz.__file__).read_text(encoding="utf-8")
    for name in mfviz._HOMES:
        assert f"import {name} as {name}" in source


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["explore", "--help"]])
def test_help_needs_neither_jit_nor_gui(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv[1:] = {!r}\n"
        "from mfviz.cli import main\n"
        "try:\n main()\nexcept SystemExit as end:\n assert not end.code\n"
        "heavy = {{'numba', 'panel', 'bokeh', 'holoviews', 'pandas', 'numpy'}}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code.format(arguments)], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr


def test_kernels_compile_where_no_cache_can_be_written(tmp_path: Path) -> None:
    """A container may have neither a home nor a package folder that can be written to."""
    code = (
        "import numba.core.caching as caching\n"
        "places = (getattr(caching, 'CacheImpl', None) or caching._CacheImpl)._locator_classes\n"
        "del places[1:]\n"  # as if all but what NUMBA_CACHE_DIR names were read-only
        "from mfviz.kernels.metrics import dot\n"
        "import numba, pathlib\n"
        "assert pathlib.Path(numba.config.CACHE_DIR).parent == pathlib.Path({!r})\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code.format(str(tmp_path))], capture_output=True, text=True,
        check=False, env={**os.environ, "NUMBA_CACHE_DIR": "", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    assert not list(tmp_path.iterdir())

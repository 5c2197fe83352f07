"""An installed wheel stands alone: it serves its page from any folder, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built with the hatchling of this environment."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and the other packages through a path entry.

    Nothing is downloaded, so the packages that mfviz depends on are lent by this environment; its
    own mfviz is not seen, because path entries of a lent folder are not followed.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    purelib = sysconfig.get_path("purelib")
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(own)
    (own / "lent.pth").write_text(purelib + "\n")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_carries_page_and_assets(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "mfviz/py.typed" in names
    assert "mfviz/apps/explorer.py" in names
    assert "mfviz/assets/style.css" in names
    assert any(name.startswith("mfviz/assets/traces/") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_it_is_the_wheel_that_is_imported(python: Path, tmp_path: Path) -> None:
    code = "import mfviz, mfviz.resources as r; print(mfviz.__file__, r.app('explorer.py'))"
    outcome = run(python, "-c", code, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert str(ROOT) not in outcome.stdout
    assert str(python.parent.parent) in outcome.stdout


def test_it_runs_a_solver_from_another_folder(python: Path, tmp_path: Path) -> None:
    words = "-m mfviz run --solver sgd --data toy --epochs 2 --json"
    outcome = run(python, *words.split(), cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert '"status": "done"' in outcome.stdout


FETCH = """
import urllib.request
from mfviz import serve
with serve.server() as url:
    with urllib.request.urlopen(url, timeout=60) as page:
        text = page.read().decode()
        assert page.status == 200, page.status
title = text.partition("<title>")[2].partition("</title>")[0]
assert title.startswith("mfviz"), f"the page is called {title!r}: its script has failed"
"""


def test_it_serves_the_page_from_another_folder(python: Path, tmp_path: Path) -> None:
    outcome = run(python, "-c", FETCH, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr

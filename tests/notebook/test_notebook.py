"""The notebook: it is small and clean, it executes, and in JupyterLab its curve moves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, RECORDED = 120, 40  # 12 s of a run, of which a busy machine takes some to draw the output
EXPLORER = "import mfviz; mfviz.Explorer(data='toy', solver='sgd', compare='als')"
NOTEBOOK = ROOT / "apps" / "notebooks" / "explorer.ipynb"


def cells(notebook: Any, kind: str = "code") -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_it_is_stored_small_and_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert NOTEBOOK.stat().st_size < 10_000
    for cell in cells(notebook):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_it_executes_and_leaves_views_and_a_picture(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    assert len(nbformat.writes(notebook)) < 20e6, "an output holds the same code many times"
    kinds = [
        {name for output in cell["outputs"] for name in output.get("data", {})}
        for cell in cells(notebook)
    ]
    result, table, explorer, live, timeline = kinds
    for shown in (explorer, live, timeline):
        assert any("bokeh" in name or "holoviews" in name or name == "text/html" for name in shown)
    assert {"image/png", "text/plain"} <= result
    assert "text/html" in table
    said = [o for c in cells(notebook) for o in c["outputs"] if o.get("name") == "stderr"]
    assert not [o for o in said if "Error" in o["text"] or "Warning" in o["text"]], said


def live_part() -> dict[str, Any]:
    """The notebook without what is above and below its live plot, so that all of it is in view."""
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = cells(notebook)
    first, live = code[0], next(cell for cell in code if "RMSEPlot" in "".join(cell["source"]))
    first["source"] = [line for line in first["source"] if not line.startswith("result")]
    live["source"] = [line.replace("epochs=200", f"epochs={EPOCHS}") for line in live["source"]]
    return {**notebook, "cells": [first, live]}


def explorer_alone() -> dict[str, Any]:
    """A notebook of one cell that shows an explorer."""
    notebook = live_part()
    return {**notebook, "cells": [{**notebook["cells"][0], "source": [EXPLORER]}]}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab of its own with live.ipynb and explorer.ipynb; yields its address."""
    pytest.importorskip("jupyterlab")
    (tmp_path / "live.ipynb").write_text(json.dumps(live_part()), encoding="utf-8")
    (tmp_path / "explorer.ipynb").write_text(json.dumps(explorer_alone()), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--port-retries=0",
        "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--ServerApp.password=",
        f"--ServerApp.root_dir={tmp_path}", "--ServerApp.disable_check_xsrf=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=",
    ]  # fmt: skip
    own = {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *words], env={**os.environ, **own}, stdout=log, stderr=log
        )
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    with urllib.request.urlopen(f"{url}/api", timeout=1):
                        break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, (tmp_path / "lab.log").read_text()[-2000:]
                    assert time.monotonic() < deadline, "JupyterLab did not answer in a minute"
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# Epochs in the RMSE source of the plot, in the order in which they came.
SHOWN = """() => {
  for (const doc of (window.Bokeh?.documents ?? []))
    for (const model of doc._all_models.values())
      if (model.name === 'live-rmse') return [...model.data.epoch];
  return [];
}"""


# What an explorer shows of A: the epochs of its source, and where its x axis ends.
EXPLORED = """() => {
  for (const doc of (window.Bokeh?.documents ?? [])) {
    const models = [...doc._all_models.values()]
    if (!models.some((model) => model.name === 'live-timeline')) continue
    const {data} = models.find((model) => model.name === 'live-rmse')
    const figure = models.find((model) => model.type === 'Figure'
      && model.renderers.some((drawn) => drawn.data_source?.name === 'live-rmse'))
    return [[...data.epoch].filter((_, at) => data.run[at] === 'A'), figure.x_range.end]
  }
  return [[], 0]
}"""


def run_all(page: Any) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def accept_kernel(page: Any) -> bool:
    """On a cold start JupyterLab may ask, late, which kernel to use."""
    accept = page.locator(".jp-Dialog button.jp-mod-accept")
    if not accept.is_visible():
        return False
    accept.click()
    accept.wait_for(state="hidden")
    return True


def open_and_run(page: Any, url: str, look: Any) -> list[Any]:
    """Open a notebook and run it; return what ``look`` saw each fifth of a second, to its end."""
    page.goto(url)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    page.wait_for_timeout(3000)
    accept_kernel(page)
    run_all(page)
    seen: list[Any] = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        page.wait_for_timeout(200)
        if accept_kernel(page):
            run_all(page)
        now, over = look()
        seen.append(now)
        if over:
            break
    return seen


@pytest.mark.ui
@pytest.mark.slow
def test_in_jupyterlab_the_curve_moves_while_the_run_goes_on(lab: str, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wrong: list[str] = []
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)

    def plotted() -> tuple[list[float], bool]:
        epochs = page.evaluate(SHOWN)
        return epochs, len(epochs) > EPOCHS

    def explored() -> tuple[tuple[list[float], float], bool]:
        epochs, end = page.evaluate(EXPLORED)
        return (epochs, end), len(epochs) > RECORDED and end >= RECORDED

    try:
        seen = open_and_run(page, f"{lab}/lab/tree/live.ipynb", plotted)
        # The run makes ten epochs a second: its rows came in small steps, none lost, in order.
        assert seen[-1] == list(range(EPOCHS + 1)), seen[-1]
        assert len({len(rows) for rows in seen}) >= 8
        assert page.locator(".bk-Figure").first.bounding_box()["height"] > 250, "it can be seen"
        # An explorer plays its recorded run: nothing is lost, and the axis goes along.
        epochs, end = open_and_run(page, f"{lab}/lab/tree/explorer.ipynb", explored)[-1]
        assert epochs == list(range(RECORDED + 1)), epochs
        assert RECORDED <= end < 1.1 * RECORDED
        # A cell is narrow: what has no room beside the title stands below it.
        figure = page.locator(".bk-Figure").first.bounding_box()
        for words in ("log x", "log y"):
            switch = page.get_by_text(words).bounding_box()
            assert switch["x"] + switch["width"] <= figure["x"] + figure["width"], words
        assert not wrong
        elsewhere = [url for url in asked if not url.startswith((lab, "data:", "blob:"))]
        assert not elsewhere
    finally:
        context.close()

"""A served page and a browser: one server for all page tests, one context a test."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from mfviz.serve import server

GRACE_S = 3.0
WARM_S = 150.0  # kernels may have to be compiled first
SOURCE = """
(name) => {
  for (const doc of window.Bokeh?.documents ?? [])
    for (const model of doc._all_models.values())
      if (model.name === name)
        return Object.fromEntries(Object.entries(model.data).map(([k, v]) => [k, Array.from(v)]))
  return null
}
"""


@dataclass
class Desk:
    """An open page, and what it complained about.

    Attributes
    ----------
    page : playwright Page
    runs : Path
        Run folders of the server.
    """

    page: Any
    runs: Path
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def source(self, name: str) -> dict[str, list[Any]]:
        """Columns of a live data source, as the browser has them."""
        found: dict[str, list[Any]] | None = self.page.evaluate(SOURCE, name)
        return found or {}

    def epochs(self, run: str = "A") -> list[int]:
        """Epochs of a run that are in the RMSE figure."""
        data = self.source("live-rmse")
        pairs = zip(data.get("run", []), data.get("epoch", []), strict=True)
        return [int(epoch) for letter, epoch in pairs if letter == run and epoch is not None]

    def button(self, name: str) -> Any:
        """The one button of that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, label: str, option: str) -> None:
        """Choose from a list by mouse."""
        self.page.get_by_role("combobox", name=re.compile(f"^{label}")).click()
        self.page.get_by_role("menuitem", name=option, exact=True).click()

    def field(self, name: str) -> Any:
        """The one field to write in whose label begins so."""
        return self.page.get_by_role("textbox", name=re.compile(f"^{name}"))

    @property
    def status(self) -> str:
        """Text of the status line."""
        return " ".join(self.page.get_by_role("status").inner_text().split())

    @property
    def query(self) -> dict[str, str]:
        """Settings in the address bar."""
        return dict(parse_qsl(urlsplit(self.page.url).query))

    def until(self, what: str, look: Callable[[], Any], seconds: float = 15.0) -> Any:
        """Wait until ``look`` returns something true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:g} s in vain until {what}; status: {self.status}")
            self.page.wait_for_timeout(50)
        return found

    def ready(self) -> None:
        """Wait until a run can be started."""
        self.page.get_by_text("live ready").wait_for(timeout=1000 * WARM_S)
        self.page.get_by_text("fits:").first.wait_for(timeout=15_000)

    def run(self) -> list[str]:
        """Press Run and return the ids of the runs once they are in the address."""
        before = self.query.get("run", "")
        self.button("Run").click()
        self.until("the runs are in the address", lambda: self.query.get("run", "") != before)
        return self.query["run"].split(",")

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Events of a run on disk."""
        folders = list(self.runs.glob(f"*-{run_id}"))
        if not folders:
            return []
        lines = (folders[0] / "events.jsonl").read_text(encoding="utf-8").splitlines(True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def told(self, run_id: str) -> int:
        """The last epoch of a run that was evaluated, by its file; 0 before the first one."""
        epochs = [e["epoch"] for e in self.events(run_id) if e["event"] == "evaluated"]
        return int(max(epochs, default=0))

    def ended(self, run_id: str) -> dict[str, Any] | None:
        """The last event of a run, once it is over."""
        events = self.events(run_id)
        return events[-1] if events and events[-1]["event"] == "run-ended" else None


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a page and the folder of its runs."""
    runs = tmp_path_factory.mktemp("served-runs")
    settings = {"MFVIZ_RUNS_DIR": str(runs), "MFVIZ_GRACE_S": str(GRACE_S)}
    with socket.socket() as probe:  # by chance, as another worker looks for a port as well
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with server(port, settings=settings) as url:
        yield url, runs


@contextmanager
def opening(chromium: Any, served: tuple[str, Path]) -> Iterator[Any]:
    """Give what opens pages, each in a context of its own; nothing may go wrong in any."""
    url, runs = served
    opened: list[tuple[Any, Desk]] = []

    @contextmanager
    def closing(context: Any) -> Iterator[None]:
        try:
            yield
        finally:
            context.close()

    def open_page(query: Mapping[str, Any] | None = None, **options: Any) -> Desk:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, **options)
        desk = Desk(context.new_page(), runs)
        opened.append((context, desk))
        page = desk.page
        page.on("pageerror", lambda error: desk.errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                desk.errors.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                desk.foreign.append(request.url)
                if urlsplit(request.url).hostname not in ("127.0.0.1", "localhost", None)
                else None
            ),
        )
        page.goto(f"{url}?{urlencode(query or {})}")
        desk.button("Run").wait_for(timeout=60_000)
        return desk

    yield open_page
    for context, desk in opened:
        with closing(context):
            assert desk.errors == []
            assert desk.foreign == []


@pytest.fixture
def opener(chromium: Any, served: tuple[str, Path]) -> Iterator[Any]:
    """Open pages, each in a context of its own; at the end nothing may have been wrong."""
    with opening(chromium, served) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def desk(chromium: Any, served: tuple[str, Path]) -> Iterator[Desk]:
    """The page as it opens, for tests that leave it as they found it."""
    with opening(chromium, served) as open_page:
        yield open_page()

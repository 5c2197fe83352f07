"""The live figures in a real browser: named sources, drawn lines, labels apart, no complaints."""

from __future__ import annotations

import asyncio
import io
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import panel as pn
import pytest
from PIL import Image

from mfviz.plots import style
from mfviz.plots.base import registry
from mfviz.telemetry.history import History
from mfviz.views.live_memory import LiveMemory
from mfviz.views.live_rmse import LiveRMSE
from mfviz.views.live_timeline import LiveTimeline
from tests.fakes import make_events

pytestmark = pytest.mark.ui

CURVE_A = [1.4, *(0.82 + 0.14 * 0.8**k for k in range(12))]
CURVE_B = [1.4, *(0.83 + 0.07 * 0.6**k for k in range(8))]
FIGURES = """
() => {
  const found = {}
  const walk = (view) => {
    if (view.model.type === "Figure") for (const r of view.model.renderers) {
      const name = r.data_source.name
      if (name !== null && name.startsWith("live-")) found[name] = view
    }
    for (const child of view.child_views ?? []) walk(child)
  }
  for (const root of Bokeh.index) walk(root)
  return found
}
"""
SOURCES = """
() => Object.fromEntries(Bokeh.documents.flatMap((d) => [...d._all_models.values()])
  .filter((m) => m.type === "ColumnDataSource" && (m.name ?? "").startsWith("live-"))
  .map((m) => [m.name, {columns: m.columns(), rows: m.get_length()}]))
"""
# Rectangles of the labels as the browser measures its own font, and the size of the frame.
LABELS = """
() => {
  const view = (FIGURES)()["live-rmse"], frame = view.frame.bbox, boxes = []
  const ctx = document.createElement("canvas").getContext("2d")
  for (const r of view.model.renderers) {
    if (r.data_source.name !== "rmse-ends" || r.glyph.type !== "Text") continue
    const drawn = [...view.renderer_views.values()].find((v) => v.model === r).glyph
    const data = r.data_source.data
    for (let i = 0; i < data.text.length; i++) {
      if (data.text[i] === "") continue
      ctx.font = `${data.weight[i]} 13px ${r.glyph.text_font.value}`
      const width = ctx.measureText(data.text[i]).width
      const x = drawn.sx[i] + data.dx[i] - frame.left, y = drawn.sy[i] + data.dy[i] - frame.top
      const left = data.align[i] === "right" ? x - width : x
      boxes.push([left, y - 7, left + width, y + 7, data.text[i]])
    }
  }
  return {boxes, width: frame.width, height: frame.height}
}
""".replace("FIGURES", FIGURES)


class Sheet:
    """A page with the three figures, fed by the test, always on the page's own thread."""

    def __init__(self) -> None:
        self.figures = [LiveRMSE(), LiveTimeline(), LiveMemory()]
        self.events = [
            make_events(12, solver="fpsgd", rmse=CURVE_A, run="a", end=False),
            make_events(8, solver="als", rmse=CURVE_B, run="b", epoch_ms=40.0),
        ]
        self.histories = [History(), History()]
        self.fed = [0, 0]
        self.calls: queue.Queue[tuple[Callable[[], Any], threading.Event]] = queue.Queue()
        for figure in self.figures:
            figure.show(list(zip("AB", self.histories, strict=True)))
        self.view = pn.Column(
            *(
                pn.Column(figure.pane, height=height, width=width)
                for figure, height, width in zip(
                    self.figures, (280, None, None), (720, 1000, 360), strict=True
                )
            )
        )
        # What is streamed under hold before a page is on the screen does not reach it.
        pn.state.onload(self._begin)

    def do(self, call: Callable[[], Any]) -> None:
        """Call on the page's thread, in one message, and wait until it has been."""
        done = threading.Event()
        self.calls.put((call, done))
        assert done.wait(20), "the page did not answer"

    def feed(self, part: float) -> None:
        """Let this part of all events have happened, and stream what is new."""
        for at, (history, events) in enumerate(zip(self.histories, self.events, strict=True)):
            stop = round(part * len(events))
            history.feed(events[self.fed[at] : stop])
            self.fed[at] = stop
        for figure in self.figures:
            figure.update()

    def _begin(self) -> None:
        pn.state.add_periodic_callback(self._tick, period=30)

    def _tick(self) -> None:
        while not self.calls.empty():
            call, done = self.calls.get()
            with pn.io.hold(policy="collect"):
                call()
            done.set()


@pytest.fixture(scope="module")
def opened(chromium: Any) -> Iterator[tuple[Any, Sheet, list[str]]]:
    """The page in a browser, its server side, and what the browser's console complained of."""
    sheets: list[Sheet] = []

    def app() -> Any:
        sheets.append(Sheet())
        return sheets[-1].view

    with served(app) as url:
        page = chromium.new_page(viewport={"width": 1100, "height": 700})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        page.goto(url)
        page.wait_for_function(f"() => Object.keys(({FIGURES})()).length === 3", timeout=60_000)
        sheet = sheets[-1]
        for step in range(1, 9):
            sheet.do(partial(sheet.feed, step / 8))
        wait_for_rows(page, sheet)
        yield page, sheet, complaints
        page.close()


@contextmanager
def served(app: Callable[[], Any]) -> Iterator[str]:
    """Serve an app on a free port of this machine, from a thread of its own."""
    told: queue.Queue[Any] = queue.Queue()

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        server = pn.io.server.get_server(app, port=0, address="127.0.0.1", start=False)
        server.start()
        told.put(server)
        server.io_loop.start()
        server.io_loop.close()

    thread = threading.Thread(target=work, name="server", daemon=True)
    thread.start()
    server = told.get(timeout=30)
    yield f"http://127.0.0.1:{server.port}/"

    def end() -> None:
        server.stop(wait=False)
        server.io_loop.stop()

    server.io_loop.add_callback(end)
    thread.join(10)


def rows_of(sheet: Sheet) -> dict[str, int]:
    return {f.source.name: len(f.source.data["run"]) for f in sheet.figures}


def wait_for_rows(page: Any, sheet: Sheet) -> None:
    wanted = rows_of(sheet)
    for _ in range(200):
        if {name: s["rows"] for name, s in page.evaluate(SOURCES).items()} == wanted:
            page.wait_for_timeout(300)  # painted, and the size of the frame told to the server
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{page.evaluate(SOURCES)} instead of {wanted}")


def pixels_of(page: Any, colour: str, within: int = 24) -> int:
    """Pixels of the page that have about this colour."""
    image = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), dtype=int)
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(image - wanted).max(axis=2) < within).sum())


def test_sources_have_the_promised_names_and_columns(opened):
    page, _, _ = opened
    found = page.evaluate(SOURCES)
    assert {name: s["columns"] for name, s in found.items()} == {
        f"live-{key}": list(plot.columns)
        for key, plot in registry().items()
        if f"live-{key}" in ("live-rmse", "live-timeline", "live-memory")
    }


def test_every_row_arrives(opened):
    page, sheet, _ = opened
    assert {name: s["rows"] for name, s in page.evaluate(SOURCES).items()} == rows_of(sheet)
    assert rows_of(sheet)["live-rmse"] == 13 + 9


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("axis", ["epoch", "solve_s"])
def test_labels_stand_apart_inside_the_frame(opened, axis, log_y):
    page, sheet, _ = opened

    def choose() -> None:
        sheet.figures[0].x_axis = axis
        sheet.figures[0].log_y = log_y

    sheet.do(choose)
    page.wait_for_timeout(600)
    found = page.evaluate(LABELS)
    boxes = found["boxes"]
    assert len(boxes) == 4
    for left, top, right, bottom, text in boxes:
        assert left >= 0, text
        assert right <= found["width"] + 1, text
        assert top >= -2, text
        assert bottom <= found["height"] + 2, text
    for (l0, t0, r0, b0, one), (l1, t1, r1, b1, other) in combinations(boxes, 2):
        assert r0 <= l1 or r1 <= l0 or b0 <= t1 or b1 <= t0, (one, other)


def test_both_runs_are_drawn(opened):
    page, _, _ = opened
    for letter in "AB":
        assert pixels_of(page, style.RUNS["light"][letter]) > 900
    assert pixels_of(page, style.OPS["light"]["kernel"]) > 3000


def test_the_tool_tip_tells_both_runs(opened):
    page, sheet, _ = opened

    def plain() -> None:
        sheet.figures[0].x_axis = "epoch"
        sheet.figures[0].log_y = False

    sheet.do(plain)
    page.wait_for_timeout(600)
    at = page.evaluate(
        """() => {
          const view = (FIGURES)()["live-rmse"], box = view.el.getBoundingClientRect()
          const x = view.frame.x_scale.compute(4)
          return [box.left + x, box.top + view.frame.bbox.top + view.frame.bbox.height / 2]
        }""".replace("FIGURES", FIGURES)
    )
    page.mouse.move(*at)
    page.mouse.move(at[0] + 1, at[1])
    tip = page.locator(".bk-Tooltip", has_text="A FPSGD")
    tip.wait_for(timeout=5000)
    text = tip.evaluate("host => host.shadowRoot.textContent")
    assert "A FPSGD" in text
    assert "B ALS" in text
    assert text.count("epoch 4") == 2
    page.mouse.move(1, 1)


def test_dark_is_dark_and_light_again_is_light(opened):
    page, sheet, _ = opened
    for theme, other in (("dark", "light"), ("light", "dark")):
        sheet.do(lambda theme=theme: [figure.set_theme(theme) for figure in sheet.figures])
        for _ in range(20):
            page.wait_for_timeout(250)
            if pixels_of(page, style.RUNS[other]["A"], 8) == 0:
                break
        assert pixels_of(page, style.RUNS[theme]["A"], 8) > 400
        assert pixels_of(page, style.RUNS[other]["A"], 8) == 0


def test_the_console_stays_clean(opened):
    _, _, complaints = opened
    assert complaints == []

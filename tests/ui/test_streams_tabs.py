"""Timeline and Memory in a real browser: a dual-stream run with lanes that overlap, its memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

pytestmark = pytest.mark.ui

# A kernel of this rank takes some milliseconds, more than the turn of a thread where other tests
# leave both streams a single core: they overlap there, too.
SETTINGS = {
    "data": "small-100k", "solver": "ds_sgd_d", "compare": "none", "rank": 256, "epochs": 12,
    "workers": 2, "pace": 20, "tab": "timeline",
}  # fmt: skip
WIDTHS = """
() => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()])
  .filter((model) => model.type === "Figure")
  .map((model) => [model.renderers.map((r) => r.data_source?.name), model.inner_width])
"""
PART, BELOW = "steps-A-buffers", "steps-A-Q"  # a part of the stack, and the one that it stands on


def overlapping_ns(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """Time in which both lanes have a span; spans of a lane do not overlap."""
    return sum(max(min(b, d) - max(a, c), 0) for a, b in one for c, d in other)


def union_ns(spans: list[tuple[int, int]]) -> int:
    """Time in which there is a span."""
    edges = sorted({edge for span in spans for edge in span})
    return sum(b - a for a, b in pairwise(edges) if any(c <= a and b <= d for c, d in spans))


def spans_of(events: list[dict[str, Any]], epoch: int, *ops: str) -> list[tuple[int, int]]:
    return [
        (e["start_ns"], e["end_ns"])
        for e in events
        if e["event"] == "span" and e["epoch"] == epoch and e["op"] in ops
    ]


def lanes_of(events: list[dict[str, Any]], lane: str) -> list[tuple[int, int]]:
    return [
        (e["start_ns"], e["end_ns"])
        for e in events
        if e["event"] == "span" and e["lane"] == lane and e["op"] == "kernel"
    ]


def drawn(desk: Any, name: str) -> int:
    """Width in pixels of the figure that holds a source; 0 where it is not on the screen."""
    return max([0, *(width or 0 for names, width in desk.page.evaluate(WIDTHS) if name in names)])


def test_a_dual_stream_run_shows_its_overlap_and_its_memory(opener):
    desk = opener(SETTINGS)
    desk.page.get_by_text("How computed").wait_for(timeout=30_000)
    desk.ready()
    run = desk.run()[0]
    desk.until("it is over", lambda: desk.ended(run), 60.0)
    events = desk.events(run)
    streams = [lanes_of(events, f"stream {name} (CPU)") for name in "MN"]
    assert overlapping_ns(*streams) > 0, "the two streams never ran side by side"

    def last_epoch_is_drawn() -> bool:
        text = desk.page.get_by_text("solve time, epoch 12 of 12")
        return bool(text.count())

    desk.until("the last epoch is shown", last_epoch_is_drawn)
    for lane in ("stream M", "stream N", "copy stream"):
        assert desk.page.get_by_title(f"{lane}:").first.is_visible()
    assert desk.page.get_by_text("CPU lane").count() >= 3
    copies, kernels = spans_of(events, 12, "h2d", "d2h"), spans_of(events, 12, "kernel")
    both = union_ns(copies) + union_ns(kernels) - union_ns([*copies, *kernels])
    share = both / min(union_ns(copies), union_ns(kernels))
    desk.button("How computed").click()
    shown = desk.page.get_by_text("of computing alone").first.inner_text()
    told = f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"
    assert f"= {told};" in shown
    desk.page.keyboard.press("Escape")

    desk.page.get_by_role("tab", name="Memory").click()
    desk.page.get_by_text("Does it fit?").wait_for()
    stack = desk.until("the stack is drawn", lambda: desk.source(PART).get("y"))
    held = next(e["bytes"] for e in events if e.get("part") == "buffers") * 4
    assert max(stack) - max(desk.source(BELOW)["y"]) == pytest.approx(held / 2**20)
    desk.until("it is on the screen", lambda: drawn(desk, PART) > 200)
    assert desk.query["tab"] == "memory"
    row = desk.page.get_by_role("row").filter(has_text="DS-SGD-D").first
    assert "fits" in row.inner_text()


def test_the_address_opens_either_tab_and_holds_what_was_chosen(opener):
    desk = opener({"tab": "memory", "fit.data": "ML32M", "fit.on": "limit", "fit.limit": 1000})
    desk.page.get_by_text("layout not identified").wait_for(timeout=60_000)
    assert desk.page.get_by_role("tab", selected=True).inner_text() == "Memory"
    assert desk.page.get_by_text("does not fit").count() >= 2
    desk.button("Toggle theme").click()
    desk.until("the address is dark", lambda: desk.query.get("theme") == "dark")
    desk.page.get_by_role("tab", name="Timeline").click()
    desk.page.get_by_text("Why lanes waited").wait_for()
    desk.until("the address follows", lambda: desk.query.get("tab") == "timeline")
    desk.until("lanes are drawn", lambda: desk.source("epoch-work").get("left"))
    desk.button("Epoch before").click()
    desk.until("an epoch is held", lambda: desk.query.get("epoch"))

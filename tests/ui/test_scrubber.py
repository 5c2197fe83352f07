"""The marks of the scrubber, in a browser without a server: words never lie on each other."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from mfviz.views.scrubber import Scrubber
from mfviz.views.theme import sheet

pytestmark = pytest.mark.ui

PAGE = """
<style>body {{ font: 12px sans-serif; width: 600px; margin: 0 }} {css}</style>
<script type="module">
{esm}
const model = {{value: 0, end: 100, ticks: [0, 50, 100], marks: {marks}, text: "", disabled: false,
  on: () => {{}}, send_msg: () => {{}}}}
document.body.append(render({{model}}))
document.body.dataset.ready = "yes"
</script>
"""
BOXES = """
() => [...document.querySelectorAll(".scale span")].map((span) => {
  const {left, right} = span.getBoundingClientRect()
  return [span.textContent, span.className, left, right]
})
"""


@pytest.mark.parametrize(
    ("marks", "placed"),
    [
        ([[40, "B done", "B"], [41, "A stopped", "A"]], ["before", ""]),
        ([[20, "A lr 0.01", "A"], [80, "B done", "B"]], ["", ""]),
        ([[99, "B done", "B"]], ["before"]),
        ([[1, "A lr 0.5", "A"], [2, "A lr 0.2", "A"], [3, "A lr 0.1", "A"]], ["bare", "bare", ""]),
    ],
)
def test_words_of_marks_never_overlap(chromium, marks, placed):
    page = chromium.new_page()
    try:
        page.set_content(
            PAGE.format(css=sheet("scrubber"), esm=Scrubber._esm, marks=json.dumps(marks))
        )
        page.wait_for_function("document.body.dataset.ready === 'yes'")
        boxes = page.evaluate(BOXES)
        assert [" ".join(kind.split()[1:]) for _, kind, _, _ in boxes] == placed
        spans = sorted((left, right) for _, _, left, right in boxes)
        assert all(right <= left + 2.5 for (_, right), (left, _) in pairwise(spans))
        assert 0 <= spans[0][0]
        assert spans[-1][1] <= 600
    finally:
        page.close()

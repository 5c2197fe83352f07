"""Labels: inside the frame, apart from each other, near their points."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mfviz.plots.labels import Box, Item, place, text_width

WIDTH, HEIGHT = 640.0, 220.0
items = st.builds(
    Item,
    x=st.floats(0, WIDTH),
    y=st.floats(0, HEIGHT),
    width=st.floats(60, 200),
    extended=st.booleans(),
)


def overlap(a: Box, b: Box) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 - 0.5 and b.y0 < a.y1 - 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(items, min_size=1, max_size=6))
def test_labels_stay_inside_and_apart(wanted):
    boxes = place(wanted, WIDTH, HEIGHT)
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= WIDTH
        assert box.y0 >= 0
        assert box.y1 <= HEIGHT
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))


def test_two_runs_that_end_at_the_same_point_are_pushed_apart():
    same = Item(300, 100, 120)
    first, second = place([same, same], WIDTH, HEIGHT)
    assert not overlap(first, second)
    assert first.x0 == 310
    assert (first.y0 + first.y1) / 2 == 100


def test_a_label_avoids_the_curve():
    curve = np.column_stack([np.linspace(300, 640, 100), np.full(100, 100.0)])
    (box,) = place([Item(300, 100, 120)], WIDTH, HEIGHT, curve)
    assert not (box.y0 < 100 < box.y1 and box.x1 > 300)


def test_a_label_at_the_right_edge_turns_left():
    (box,) = place([Item(638, 100, 150)], WIDTH, HEIGHT)
    assert box.x1 <= WIDTH


def test_taken_places_stay_free():
    taken = Box(300, 80, 500, 120)
    (box,) = place([Item(290, 100, 120)], WIDTH, HEIGHT, taken=[taken])
    assert not overlap(box, taken)


def test_text_width_grows_with_text_size_and_weight():
    assert text_width("A FPSGD") < text_width("A FPSGD test")
    assert text_width("abc", 11) < text_width("abc", 13) < text_width("abc", 13, bold=True)


def test_of_two_labels_below_each_other_the_upper_belongs_to_the_upper_point():
    lower, upper = Item(630, 104, 200), Item(400, 100, 220, extended=True)
    dotted = np.column_stack([np.arange(400, 640, 6.0), np.full(40, 100.0)])
    x = np.linspace(0, 630, 200)
    falling = np.column_stack([x, 104 - 80 * np.exp(-x / 100)])
    curves = np.concatenate([dotted, falling])
    for wanted in ([lower, upper], [upper, lower]):
        boxes = dict(zip(wanted, place(wanted, WIDTH, HEIGHT, curves), strict=True))
        assert boxes[upper].y1 <= boxes[lower].y0
        assert not any(b.y0 < 100 < b.y1 for b in boxes.values()), "the line crosses no words"

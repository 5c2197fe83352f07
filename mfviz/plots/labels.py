"""Labels that stand beside their points without covering each other or the curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Item", "place", "text_width"]

NARROW = set("ijlftrI.,:;'|!()[] /-1")
WIDE = set("mwMW@%&")
DISORDER = 30.0  # as bad as to cover some 30 px of a curve


def text_width(text: str, size: float = 13.0, bold: bool = False) -> float:
    """Estimate the width of ``text`` in pixels, rather too wide than too narrow.

    Parameters
    ----------
    text : str
    size : float
        Font size in pixels; a sans-serif face of the page's stack.
    bold : bool
    """
    em = sum(0.36 if c in NARROW and c != "1" else 0.9 if c in WIDE else 0.585 for c in text)
    return em * size * (1.06 if bold else 1.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; y grows downward."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Item:
    """A label to place: its point and its size in pixels.

    ``extended`` labels belong to a horizontal line that goes on to the right edge, so that they
    may stand anywhere along it.
    """

    x: float
    y: float
    width: float
    height: float = 17.0
    extended: bool = False


def place(
    items: Sequence[Item],
    width: float,
    height: float,
    curves: npt.NDArray[np.float64] | None = None,
    taken: Sequence[Box] = (),
) -> list[Box]:
    """Choose a rectangle for each label, in the order given.

    Parameters
    ----------
    items : sequence of Item
        The most important first.
    width, height : float
        Size of the frame in pixels.
    curves : (k, 2) float64, optional
        Points along the curves, in pixels, that labels had better not cover.
    taken : sequence of Box
        Rectangles that are occupied already.

    Returns
    -------
    list of Box
        Inside the frame and free of overlap as long as there is room at all; of two below each
        other the upper one belongs to the upper point, unless it would cover more.
    """
    points = np.empty((0, 2)) if curves is None else curves
    placed = [(b.x0, b.y0, b.x1, b.y1) for b in taken]
    result: list[Box] = []
    for item in items:
        boxes, effort = _candidates(item, width, height)
        cost = effort + _hidden(boxes, placed, points)
        best = boxes[int(np.argmin(cost))]
        placed.append((best[0], best[1], best[2], best[3]))
        result.append(Box(*(float(v) for v in best)))
    _untangle(items, result, points, taken)
    return result


def _untangle(
    items: Sequence[Item],
    boxes: list[Box],
    points: npt.NDArray[np.float64],
    taken: Sequence[Box],
) -> None:
    """Exchange labels that stand below each other in the wrong order."""
    for a, b in combinations(range(len(items)), 2):
        one, two = boxes[a], boxes[b]
        beside = one.x1 < two.x0 or two.x1 < one.x0
        if beside or (items[a].y - items[b].y) * (one.y0 - two.y0) >= 0:
            continue
        swapped = [Box(one.x0, two.y0, one.x1, two.y1), Box(two.x0, one.y0, two.x1, one.y1)]
        others = [box for at, box in enumerate(boxes) if at not in (a, b)] + list(taken)
        around = [(box.x0, box.y0, box.x1, box.y1) for box in others]
        old, new = (
            _hidden(np.array([(b.x0, b.y0, b.x1, b.y1) for b in pair]), around, points).sum()
            for pair in ((one, two), swapped)
        )
        if new <= old + DISORDER:
            boxes[a], boxes[b] = swapped


def _hidden(
    boxes: npt.NDArray[np.float64],
    placed: Sequence[tuple[float, float, float, float]],
    points: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """How bad it is what each box covers."""
    return 400.0 * _covered(boxes, placed) + 6.0 * _inside(boxes, points)


def _candidates(
    item: Item, width: float, height: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rectangles around the point, moved into the frame, and how far-fetched each is."""
    gap, line = 10.0, 0.5 * item.height + 4.0
    lefts = [(item.x + gap, 0.0), (item.x - item.width - gap, 6.0), (item.x - item.width / 2, 8.0)]
    if item.extended:
        lefts = [(width - item.width - 2, 0.0), (item.x + gap, 3.0), *lefts[1:]]
    shifts = [s * line for k in range(9) for s in ((k,) if k == 0 else (-k, k))]
    boxes, effort = [], []
    for left, side in lefts:
        at = min(max(left, 2.0), max(width - item.width - 2.0, 2.0))
        beside = at >= item.x + gap - 1 or at + item.width <= item.x - gap + 1
        for shift in shifts:
            # beside its point a label may stand level with it, unless a line goes on there
            level = beside and not item.extended
            if abs(shift) < line and not level:
                continue
            top = min(max(item.y + shift - item.height / 2, 0.0), height - item.height)
            boxes.append((at, top, at + item.width, top + item.height))
            effort.append(side + 0.5 * abs(shift) + 0.2 * abs(at - left) + 0.01 * (shift > 0))
    return np.array(boxes), np.array(effort)


def _covered(
    boxes: npt.NDArray[np.float64], placed: Sequence[tuple[float, float, float, float]]
) -> npt.NDArray[np.float64]:
    """Share of each box that placed ones cover, in lines of text."""
    total = np.zeros(len(boxes))
    for x0, y0, x1, y1 in placed:
        wide = np.clip(np.minimum(boxes[:, 2], x1) - np.maximum(boxes[:, 0], x0), 0, None)
        high = np.clip(np.minimum(boxes[:, 3], y1) - np.maximum(boxes[:, 1], y0), 0, None)
        total += (wide > 0) * high / 10.0
    return total


def _inside(
    boxes: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Count the curve points in each box."""
    x, y = points[:, 0], points[:, 1]
    within = (
        (x > boxes[:, 0, None]) & (x < boxes[:, 2, None])
        & (y > boxes[:, 1, None]) & (y < boxes[:, 3, None])
    )  # fmt: skip
    counted: npt.NDArray[np.float64] = within.sum(axis=1).astype(np.float64)
    return counted

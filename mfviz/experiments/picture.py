"""A small picture of a run, for saved notebooks and for places without a live page."""

from __future__ import annotations

import base64
import io
import math
from html import escape

from mfviz.telemetry.history import History

__all__ = ["as_png", "as_svg"]

WIDTH, HEIGHT, MARGIN = 480, 220, 44
INK, LINE, HUE = "#454D5B", "#C9CFD8", "#0067A8"  # text, frame and run A of the light theme
STROKES = {"train_rmse": 1, "test_rmse": 3}
Curve = list[tuple[float, float]]


def _curves(tables: History) -> tuple[dict[str, Curve], tuple[float, float, float, float]]:
    """Finite points of both curves in pixels, and the ranges of epochs and RMSE."""
    points = {
        name: [(row.epoch, getattr(row, name)) for row in tables.evaluated] for name in STROKES
    }
    finite = {name: [p for p in found if math.isfinite(p[1])] for name, found in points.items()}
    xs = [x for found in finite.values() for x, _ in found] or [0]
    ys = [y for found in finite.values() for _, y in found] or [0.0]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    across = (WIDTH - 2 * MARGIN) / ((right - left) or 1)
    up = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    pixels = {
        name: [(MARGIN + (x - left) * across, HEIGHT - MARGIN - (y - low) * up) for x, y in found]
        for name, found in finite.items()
    }
    return pixels, (left, right, low, high)


def _labels(
    tables: History, ranges: tuple[float, float, float, float]
) -> list[tuple[float, float, str]]:
    """Texts with the left end of their base line."""
    left, right, low, high = ranges
    bottom = HEIGHT - MARGIN
    return [
        (MARGIN, 20, f"{tables.title or tables.solver}: RMSE, test (thick) and train"),
        (4, bottom, f"{low:.3f}"),
        (4, MARGIN + 8, f"{high:.3f}"),
        (MARGIN, bottom + 18, f"epoch {left:g}"),
        (WIDTH - MARGIN - 12, bottom + 18, f"{right:g}"),
    ]


def as_svg(tables: History, words: str) -> str:
    """Draw the RMSE curves as inline SVG.

    Parameters
    ----------
    tables : History
    words : str
        What the picture says, for those who do not see it.
    """
    pixels, ranges = _curves(tables)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(words)}" style="background:#FFFFFF">',
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{WIDTH - 2 * MARGIN}" '
        f'height="{HEIGHT - 2 * MARGIN}" fill="none" stroke="{LINE}"/>',
    ]
    for name, curve in pixels.items():
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{HUE}" '
            f'stroke-width="{STROKES[name]}"/>'
        )
    for x, y, text in _labels(tables, ranges):
        parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" fill="{INK}" font-size="12" '
            f'font-family="sans-serif">{escape(text)}</text>'
        )
    return "".join([*parts, f"</svg><p>{escape(words)}</p>"])


def as_png(tables: History) -> str:
    """Draw the RMSE curves as a PNG, base64 as notebooks want it.

    Notes
    -----
    Pillow comes with Bokeh; it needs neither a browser nor a font file.
    """
    from PIL import Image, ImageDraw

    pixels, ranges = _curves(tables)
    image = Image.new("RGB", (WIDTH, HEIGHT), "#FFFFFF")
    draw = ImageDraw.Draw(image)
    draw.rectangle((MARGIN, MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN), outline=LINE)
    for name, curve in pixels.items():
        if len(curve) > 1:
            draw.line(curve, fill=HUE, width=STROKES[name], joint="curve")
    for x, y, text in _labels(tables, ranges):
        draw.text((x, y - 10), text, fill=INK)
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()

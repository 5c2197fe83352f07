"""One epoch of a run as rectangles on its lanes: times from its start, pauses cut out, in words.

What is drawn has an upper limit. Beyond it, neighbours of one kind on one lane that are closer
than a fraction of a pixel are drawn as one, which says how many it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mfviz.plots.scale import bytes_text, number_text
from mfviz.plots.spans import block_words, of_batches, wait_words
from mfviz.plots.timeline import MODEL, BusyClock, BusyTime
from mfviz.telemetry.events import Span

__all__ = ["LAYERS", "MOST", "Box", "EpochBoxes", "duration_text", "lane_words", "rate_text"]

LAYERS = ("work", "wait", "modelled")
MOST = 4000  # rectangles of a run
CLOCKS = {"host": "host clock", "cuda-events": "CUDA events"}
SIDES = {"stream M": "users", "stream N": "items"}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle.

    Attributes
    ----------
    span : Span
        What it stands for; of several spans the first one, with their sums.
    left, right : float
        ms from the start of the epoch.
    count : int
        Spans that it stands for.
    """

    span: Span
    left: float
    right: float
    count: int = 1

    @property
    def layer(self) -> str:
        """One of :data:`LAYERS`."""
        if self.span.clock == MODEL:
            return "modelled"
        return "wait" if self.span.op == "wait" else "work"

    def lines(self) -> tuple[str, str, str, str]:
        """What it is, how long, how much, and measured by what."""
        s, ms = self.span, self.right - self.left
        if s.op == "wait":
            title = f"wait: {wait_words(s.reason)}"
        else:
            title = f"{s.op} {block_words(s.name, s.block, batches=of_batches(s))}"
        if self.count > 1:
            title = f"{self.count:,} × {s.op}, {s.name}"
        work = ""
        if s.op == "kernel" and s.ratings and ms > 0:
            work = f"{s.ratings:,} ratings, {rate_text(1e3 * s.ratings / ms)} updates/s"
        elif s.bytes and ms > 0:
            work = f"{bytes_text(s.bytes)}, {number_text(s.bytes / ms / 1e6)} GB/s"
        kind = "modelled" if s.clock == MODEL else f"measured, {CLOCKS.get(s.clock, s.clock)}"
        return title, f"{duration_text(ms)} from {duration_text(self.left)}", work, kind


@dataclass
class EpochBoxes:
    """The rectangles of an epoch.

    Parameters
    ----------
    spans : sequence of Span
        Of one epoch of one run, without the stops that the run imposed.
    most : int
        Rectangles at most.

    Attributes
    ----------
    boxes : list of Box
    length : float
        Busy ms from the first to the last of them.
    """

    spans: Sequence[Span]
    most: int = MOST
    boxes: list[Box] = field(init=False)
    length: float = field(init=False)
    _busy: BusyTime = field(init=False)

    def __post_init__(self) -> None:
        clock = BusyClock(keep=max(len(self.spans), 1))
        clock.follow(self.spans)
        self._busy = clock.busy_time()
        self.length = -float(self._busy.busy[1]) if self.spans else 0.0
        edges = self._busy.at([(s.start_ns / 1e6, s.end_ns / 1e6) for s in self.spans])
        edges = edges.reshape(-1, 2) + self.length
        found = [Box(s, *e) for s, e in zip(self.spans, edges.tolist(), strict=True)]
        gap = self.length / self.most
        while len(found) > self.most:
            found, gap = _merged(found, gap), 2 * gap
        self.boxes = found

    @property
    def merged(self) -> int:
        """Spans that have no rectangle of their own."""
        return sum(box.count for box in self.boxes if box.count > 1)

    def recorded_ns(self, ms: float) -> int:
        """Recorded time of a time of the epoch."""
        return round(1e6 * self._busy.recorded_at(ms - self.length))


def _merged(boxes: Sequence[Box], gap: float) -> list[Box]:
    """Join neighbours of one kind on one lane that are closer than ``gap`` ms.

    Two that are both shorter than the gap are joined whatever they are, under the longer's name.
    """
    found: list[Box] = []
    last: dict[str, int] = {}  # lane -> place of its last box
    for box in sorted(boxes, key=lambda b: b.left):
        at = last.get(box.span.lane, -1)
        if at >= 0 and box.left - found[at].right < gap and _alike(found[at], box, gap):
            found[at] = _joined(found[at], box)
        else:
            last[box.span.lane] = len(found)
            found.append(box)
    return found


def _alike(one: Box, other: Box, gap: float) -> bool:
    a, b = one.span, other.span
    if (a.op, a.reason, a.clock) == (b.op, b.reason, b.clock):
        return True
    return max(one.right - one.left, other.right - other.left) < gap


def _joined(one: Box, other: Box) -> Box:
    longer = max(one, other, key=lambda box: box.right - box.left).span
    span = replace(
        longer, ratings=one.span.ratings + other.span.ratings,
        bytes=one.span.bytes + other.span.bytes,
        start_ns=one.span.start_ns, end_ns=other.span.end_ns,
    )  # fmt: skip
    return Box(span, one.left, other.right, one.count + other.count)


def lane_words(lane: str, backend: str) -> tuple[str, str]:
    """Name of a lane, and what kind of lane it is: on the CPU it says so.

    Parameters
    ----------
    lane : str
    backend : str
        "cpu" or a device's.
    """
    name = lane.removesuffix(" (CPU)")
    side = SIDES.get(name, "")
    if backend in ("cpu", ""):
        kind = "CPU lane"
    elif "copy" in name:
        kind = "copy engine"
    else:
        kind = "CUDA stream" if "stream" in name else "device lane"
    return name, f"{side} · {kind}" if side else kind


def duration_text(ms: float) -> str:
    """Write a time with the unit that suits it."""
    if abs(ms) >= 999.5:
        return f"{ms / 1000:.3g} s"
    if abs(ms) >= 1 or ms == 0:
        return f"{ms:.3g} ms"
    return f"{1000 * ms:.3g} µs"


def rate_text(per_second: float) -> str:
    """Write a rate with its prefix: "1.8 G", "45 M"."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if per_second >= size:
            return f"{per_second / size:.3g}{unit}"
    return f"{per_second:.3g}"

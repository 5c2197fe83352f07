"""What solvers promise about a run, checked from its events alone.

A promise says in sentences how a run breaks it: waves that share a row, a wait where nobody waits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from mfviz.telemetry.clock import OVERFLOW
from mfviz.telemetry.events import (
    BlockTaken,
    EpochEnded,
    Event,
    Measured,
    Noticed,
    RunStarted,
    Span,
)
from mfviz.telemetry.history import STOPS

__all__ = ["MET", "PROMISES", "by_lane", "some_are_missing"]

MET = "blocks taken while their column was held"  # of a wavefront that tells them summed up


def some_are_missing(events: Sequence[Event]) -> bool:
    """Whether spans found no room, as a notice then says.

    Parameters
    ----------
    events : sequence of Event
    """
    return any(isinstance(e, Noticed) and OVERFLOW in e.message for e in events)


def _dsgd(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Waves share no row and no column block, and end in their barriers."""
    started = events[0]
    if isinstance(started, RunStarted) and not started.params.get("barrier", True):
        return  # the teaching switch: workers race, and nothing is promised
    for epoch, own in _by_epoch(spans).items():
        waves = _waves(own)
        for wave, blocks in waves.items():
            # a worker may visit a block in several portions
            visits = {(span.lane, *_block(span)) for span in blocks}
            for what, axis in (("row", 1), ("column", 2)):
                if len({visit[axis] for visit in visits}) < len(visits):
                    yield f"epoch {epoch}: wave {wave} has a {what} block twice"
        yield from _barriers(epoch, waves)


def _barriers(epoch: int, waves: dict[int, list[Span]]) -> Iterator[str]:
    for (earlier, before), (later, after) in pairwise(sorted(waves.items())):
        if min(s.start_ns for s in after) < max(s.end_ns for s in before):
            yield f"epoch {epoch}: wave {later} starts before wave {earlier} is over"


def _fpsgd(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Blocks are visited by who took them, and never two of one row or column at a time."""
    taken: Counter[tuple[int, int, int, int]] = Counter()
    drawn: Counter[tuple[int, int, int, int]] = Counter()
    ended = {event.epoch for event in events if isinstance(event, EpochEnded)}
    for event in events:
        if isinstance(event, BlockTaken):
            taken[event.epoch, event.worker, event.row, event.col] += event.ratings
    for span in spans:
        if span.block and span.op == "kernel":  # a block may be visited in several portions
            drawn[span.epoch, int(span.lane[1:]), *_block(span)] += span.ratings
    whole = not some_are_missing(events)
    if whole and any(taken[key] != drawn[key] for key in {*taken, *drawn} if key[0] in ended):
        yield "the blocks that were taken are not those that were worked on"
    yield from _disjoint(spans)


def _strips(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Strips and users have one worker at a time, rounds end together, all ratings come once."""
    started, ended = events[0], [e.epoch for e in events if isinstance(e, EpochEnded) and e.epoch]
    if isinstance(started, RunStarted) and started.backend != "cpu":
        return  # a launch is a round: nobody sees what is in it, and the next one waits for it
    train = started.shape.get("train") if isinstance(started, RunStarted) else None
    yield from _disjoint(spans)
    first: Counter[tuple[int, int]] = Counter()
    for epoch, own in _by_epoch(spans).items():
        blocks = [span for span in own if span.block and span.op == "kernel"]
        visited: Counter[tuple[int, int]] = Counter()
        rounds: dict[tuple[int, int], set[int]] = defaultdict(set)
        for wave, done in _waves(own).items():
            for span in done:
                visited[_block(span)] += span.ratings
                rounds[_block(span)].add(wave)
        if any(span.lane != f"W{_block(span)[0]}" for span in blocks):
            yield f"epoch {epoch}: a worker visits users of another one"
        if epoch not in ended or some_are_missing(events):
            continue  # the run was stopped in it, or it cannot be known
        if any(len(waves) > 1 for waves in rounds.values()):
            yield f"epoch {epoch}: a worker comes to one strip in two rounds"
        if train is not None and visited.total() != train:
            yield f"epoch {epoch}: {visited.total()} of {train} ratings are visited"
        first = first or visited
        if visited != first:
            yield f"epoch {epoch}: the strips have other numbers of ratings than before"
        yield from _barriers(epoch, _waves(own))


def _hogwild(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Nobody ever waits within an epoch."""
    waits = [span for span in spans if span.op == "wait" and span.reason not in STOPS]
    if waits:
        yield f"{len(waits)} wait(s), the first of {waits[0].lane} in epoch {waits[0].epoch}"


def _cumf_sgd(events: Sequence[Event], spans: Sequence[Span]) -> Iterable[str]:
    """What is promised depends on the scheduler, and on whether ratings are streamed."""
    params = events[0].params if isinstance(events[0], RunStarted) else {}
    if params.get("scheduler") == "wavefront":
        return _wavefront(events, spans)
    if max(params.get("user_parts", 1), params.get("item_parts", 1)) > 1:
        return [*_whole_chunks(events), *_streamed(spans)]
    return _chunks(events, spans)


def _wavefront(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Blocks that are held at once, by the clock or by the order of locks, share nothing."""
    yield from _disjoint(spans)
    epochs: dict[int, list[BlockTaken]] = defaultdict(list)
    for event in events:
        if isinstance(event, BlockTaken):
            epochs[event.epoch].append(event)
    visited: Counter[int] = Counter()
    for span in spans:
        visited[span.epoch] += span.ratings
    for event in events:
        if isinstance(event, Measured) and event.name == MET and event.value:
            yield f"epoch {event.epoch}: {event.value:g} {MET}"
    for epoch, taken in epochs.items():
        if len({(event.row, event.col) for event in taken}) < len(taken):
            yield f"epoch {epoch}: a block is taken twice"
        if not some_are_missing(events) and visited[epoch] != sum(e.ratings for e in taken):
            yield f"epoch {epoch}: the blocks that were taken are not those that were worked on"
        for what in ("row", "col"):
            held: dict[int, int] = {}
            for event in sorted(taken, key=lambda event: event.wave):
                own = getattr(event, what)
                if event.wave < held.get(own, 0):
                    yield (
                        f"epoch {epoch}: block {event.row},{event.col} is taken while another "
                        f"of its {what} is held"
                    )
                held[own] = max(held.get(own, 0), event.until)


def _chunks(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Nobody waits within an epoch, whose visits are whole chunks."""
    if not any(span.clock == "cuda-events" for span in spans):
        yield from _hogwild(events, spans)
    yield from _whole_chunks(events)


def _whole_chunks(events: Sequence[Event]) -> Iterator[str]:
    before = 0
    for event in events:
        if isinstance(event, EpochEnded):
            if (event.updates - before) % 128:
                yield f"epoch {event.epoch}: {event.updates - before} visits are no chunks of 128"
            before = event.updates


def _streamed(spans: Sequence[Span]) -> Iterator[str]:
    """Blocks are visited with what they need in the buffers, and parts come home in between."""
    brought: set[tuple[int, str]] = set()
    lies: dict[tuple[str, int], int] = {}  # part in each buffer of each side
    away: set[tuple[str, int]] = set()  # parts whose newest rows are not at home
    visited: Span | None = None
    for _, _, begins, span in sorted(_moments(spans), key=lambda moment: moment[:2]):
        row, col = _block(span)
        side, _, way = span.name.partition(" ")
        if span.op == "kernel":
            visited = span if begins else None
            if not begins:
                continue
            if (span.epoch, span.block) not in brought:
                yield f"epoch {span.epoch}: block {span.block} is visited but was not copied"
            for name, part in (("P", row), ("Q", col)):
                if part not in [p for (own, _), p in lies.items() if own == name]:
                    yield f"epoch {span.epoch}: part {part} of {name} is visited but is not there"
                away.add((name, part))
        elif side == "ratings":
            if not begins:
                brought.add((span.epoch, span.block))
        elif way == "out":
            if not begins:
                away.discard((side, row))
            elif visited is not None and row == _block(visited)[side == "Q"]:
                yield f"epoch {span.epoch}: part {row} of {side} leaves while it is visited"
        elif begins:
            if (side, row) in away:
                yield f"epoch {span.epoch}: part {row} of {side} is copied before it came home"
            was = lies.pop((side, col), None)
            if visited is not None and was == _block(visited)[side == "Q"]:
                yield f"epoch {span.epoch}: part {was} of {side} is replaced while it is visited"
        else:
            lies[side, col] = row


def _moments(spans: Sequence[Span]) -> Iterator[tuple[int, int, bool, Span]]:
    """Begin and end of each copy and kernel: time, rank at one time, whether it is the begin.

    What ends makes room for what begins; what takes no time begins before it ends.
    """
    for span in spans:
        if span.block and span.op != "wait":
            kernel = span.op == "kernel"
            yield span.start_ns, 3 if kernel else 1, True, span
            instant = (4 if kernel else 2) if span.end_ns == span.start_ns else 0
            yield span.end_ns, instant, False, span


def _alternating(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Both sides never move at the same time: items follow when all users are done."""
    for epoch, own in _by_epoch(spans).items():
        users = [span.end_ns for span in own if span.name == "users"]
        items = [span.start_ns for span in own if span.name == "items"]
        if users and items and min(items) < max(users):
            yield f"epoch {epoch}: items are solved before all users are"


def _dual_streams(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Batches are visited when they have been copied, and copies replace none that is visited."""
    started = events[0]
    if isinstance(started, RunStarted) and started.params.get("mode") == "alternate":
        yield from _alternating(events, spans)
    copies = [span for span in spans if span.op == "h2d"]
    for kernel in (span for span in spans if copies and span.op == "kernel"):
        batch, buffer = _block(kernel)
        into = [c for c in copies if _block(c)[1] == buffer]
        before = [c for c in into if c.start_ns < kernel.end_ns]
        latest = max(before, key=lambda c: c.end_ns, default=None)
        if latest is None or _block(latest)[0] != batch:
            yield f"epoch {kernel.epoch}: batch {kernel.block} is visited but was not copied"
        elif latest.end_ns > kernel.start_ns:
            yield f"epoch {kernel.epoch}: batch {kernel.block} is visited while it is copied"


def _featurewise(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """One feature of one side at a time, features in their order: what makes ccdpp not ccd."""
    for epoch, own in _by_epoch(spans).items():
        now, feature, before, latest = ("", ""), (0, 0), 0, 0
        for span in sorted((s for s in own if s.block), key=lambda s: s.start_ns):
            if (span.block, span.name) != now:
                if _block(span) < feature:
                    yield f"epoch {epoch}: feature {span.block} comes after {now[0]}"
                now, feature, before = (span.block, span.name), _block(span), latest
            if span.start_ns < before:
                yield f"epoch {epoch}: {span.name} of {span.block} start before others are over"
            latest = max(latest, span.end_ns)


PROMISES: dict[str, Callable[[Sequence[Event], Sequence[Span]], Iterable[str]]] = {
    "als": _alternating,
    "apsgd": _hogwild,
    "asgd": _alternating,
    "ccd": _alternating,
    "ccdpp": _featurewise,
    "cumf_als": _alternating,
    "cumf_ccd": _featurewise,
    "cumf_sgd": _cumf_sgd,
    "ds_sgd_c": _dual_streams,
    "ds_sgd_d": _dual_streams,
    "dsgd": _dsgd,
    "fampsgd": _alternating,
    "fpsgd": _fpsgd,
    "gpusgd": _dsgd,
    "hogwild": _hogwild,
    "msgd": _alternating,
    "strip_sgd": _strips,
}


# --- spans, sorted -------------------------------------------------------------------------


def _block(span: Span) -> tuple[int, int]:
    row, _, col = span.block.partition(",")
    return int(row), int(col)


def by_lane(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Sort spans by lane and, within a lane, by time.

    Parameters
    ----------
    spans : iterable of Span
    """
    lanes: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns)):
        lanes[span.lane].append(span)
    return lanes


def _by_epoch(spans: Iterable[Span]) -> dict[int, list[Span]]:
    epochs: dict[int, list[Span]] = defaultdict(list)
    for span in spans:
        epochs[span.epoch].append(span)
    return epochs


def _waves(spans: Iterable[Span]) -> dict[int, list[Span]]:
    """Blocks of an epoch by wave: how many barriers the lane has passed before."""
    waves: dict[int, list[Span]] = defaultdict(list)
    for own in by_lane(spans).values():
        passed = 0
        for span in own:
            if span.op == "wait" and span.reason == "barrier":
                passed += 1
            elif span.block and span.op == "kernel":
                waves[passed].append(span)
    return waves


def _disjoint(spans: Iterable[Span]) -> Iterator[str]:
    going: list[Span] = []
    blocks = [span for span in spans if span.block and span.op == "kernel"]
    for span in sorted(blocks, key=lambda span: span.start_ns):
        going = [other for other in going if other.end_ns > span.start_ns]
        for other in going:
            if any(a == b for a, b in zip(_block(span), _block(other), strict=True)):
                yield f"blocks {other.block} and {span.block} are worked on at the same time"
        going.append(span)

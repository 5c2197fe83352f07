"""Verify a run from its events alone: the telemetry's own rules, and those of the algorithm.

Nothing here looks at a solver's code. Whoever doubts a timeline can check it: lanes never overlap,
ratings add up, and what a solver promises (its waves share no row, it never waits) did happen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from mfviz.telemetry.clock import OVERFLOW
from mfviz.telemetry.events import (
    Allocated,
    BlockTaken,
    EpochEnded,
    Evaluated,
    Event,
    Freed,
    Noticed,
    RunEnded,
    RunStarted,
    Span,
)
from mfviz.telemetry.history import STOPS

__all__ = ["check_run"]


def check_run(events: Sequence[Event]) -> list[str]:
    """Say in sentences what is wrong with a run; an empty list means that nothing is.

    Parameters
    ----------
    events : sequence of Event
        All events of a run that has ended.
    """
    if not events or not isinstance(events[0], RunStarted):
        return ["the first event is not run-started"]
    spans = [event for event in events if isinstance(event, Span)]
    found = [
        *_order(events),
        *_epochs(events),
        *_lanes(spans),
        *_ledger(events),
    ]
    if not _some_are_missing(events):
        found += _ratings(events, spans)
    promise = PROMISES.get(events[0].solver)
    return found if promise is None else [*found, *promise(events, spans)]


def _some_are_missing(events: Sequence[Event]) -> bool:
    """Whether spans found no room, as a notice then says."""
    return any(isinstance(e, Noticed) and OVERFLOW in e.message for e in events)


# --- the telemetry's own rules -------------------------------------------------------------


def _order(events: Sequence[Event]) -> Iterator[str]:
    for at, event in enumerate(events):
        if event.seq != at:
            yield f"event {at} has seq {event.seq}: one is missing, twice or out of order"
            break
    for earlier, later in pairwise(events):
        if later.t_ns < earlier.t_ns:
            yield f"event {later.seq} is stamped before event {earlier.seq}"
            break
    if len({event.run for event in events}) > 1:
        yield "the events are of more than one run"
    ends = [event.seq for event in events if isinstance(event, RunEnded)]
    if len(ends) != 1 or not isinstance(events[-1], RunEnded):
        yield f"run-ended must come once and last; it comes {len(ends)} time(s)"


def _epochs(events: Sequence[Event]) -> Iterator[str]:
    ended: list[EpochEnded] = []
    evaluated: set[int] = set()
    for event in events:
        if isinstance(event, EpochEnded):
            if event.epoch != len(ended):
                yield f"epoch {event.epoch} ends where epoch {len(ended)} should"
            ended.append(event)
        elif isinstance(event, Evaluated):
            if not ended or event.epoch != ended[-1].epoch or event.epoch in evaluated:
                yield f"epoch {event.epoch} is evaluated at another place than its end"
            evaluated.add(event.epoch)
    if ended and (ended[0].updates or ended[0].solve_s):
        yield "epoch 0 is the initial state, but it has updates or solve time"
    for earlier, later in pairwise(ended):
        if later.updates < earlier.updates or later.solve_s < earlier.solve_s:
            yield f"updates or solve time shrink in epoch {later.epoch}"


def _lanes(spans: Sequence[Span]) -> Iterator[str]:
    for lane, own in _by_lane(spans).items():
        for span in own:
            if span.end_ns < span.start_ns:
                yield f"{lane}: span {span.seq} ends before it starts"
        for earlier, later in pairwise(own):
            if later.start_ns < earlier.end_ns:
                yield f"{lane}: spans {earlier.seq} and {later.seq} overlap"


def _ratings(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """The ratings of an epoch's spans are the updates that the epoch reports."""
    visited: Counter[int] = Counter()
    for span in spans:
        visited[span.epoch] += span.ratings
    before = 0
    for event in events:
        if isinstance(event, EpochEnded):
            if visited[event.epoch] != event.updates - before:
                yield (
                    f"epoch {event.epoch}: the spans have {visited[event.epoch]} ratings, "
                    f"the epoch {event.updates - before}"
                )
            before = event.updates


def _ledger(events: Sequence[Event]) -> Iterator[str]:
    held: dict[tuple[str, str], int] = {}
    for event in events:
        if isinstance(event, Allocated):
            held[event.place, event.name] = event.bytes
        elif isinstance(event, Freed) and held.pop((event.place, event.name), -1) != event.bytes:
            yield f"{event.name} is freed, but was not held or had another size"
    if held and isinstance(events[-1], RunEnded):
        yield f"still held at the end: {', '.join(name for _, name in held)}"


# --- what the solvers promise --------------------------------------------------------------


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
    whole = not _some_are_missing(events)
    if whole and any(taken[key] != drawn[key] for key in {*taken, *drawn} if key[0] in ended):
        yield "the blocks that were taken are not those that were worked on"
    yield from _disjoint(spans)


def _strips(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Strips and users have one worker at a time, rounds end together, all ratings come once."""
    started, ended = events[0], [e.epoch for e in events if isinstance(e, EpochEnded) and e.epoch]
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
        if epoch not in ended or _some_are_missing(events):
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


def _chunks(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[str]:
    """Nobody waits within an epoch, whose visits are whole chunks."""
    if not any(span.clock == "cuda-events" for span in spans):
        yield from _hogwild(events, spans)
    before = 0
    for event in events:
        if isinstance(event, EpochEnded):
            if (event.updates - before) % 128:
                yield f"epoch {event.epoch}: {event.updates - before} visits are no chunks of 128"
            before = event.updates


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
    "cumf_sgd": _chunks,
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


def _by_lane(spans: Iterable[Span]) -> dict[str, list[Span]]:
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
    for own in _by_lane(spans).values():
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

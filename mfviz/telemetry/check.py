"""Verify a run from its events alone: the telemetry's own rules, and those of the algorithm.

Nothing here looks at a solver's code. Whoever doubts a timeline can check it: lanes never overlap,
ratings add up, and what a solver promises (its waves share no row, it never waits) did happen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mfviz.telemetry.events import (
    Allocated,
    EpochEnded,
    Evaluated,
    Event,
    Freed,
    RunEnded,
    RunStarted,
    Span,
)
from mfviz.telemetry.promises import PROMISES, by_lane, some_are_missing

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
    if not some_are_missing(events):
        found += _ratings(events, spans)
    promise = PROMISES.get(events[0].solver)
    return found if promise is None else [*found, *promise(events, spans)]


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
    for lane, own in by_lane(spans).items():
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

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import (
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
from tests.fakes import make_events

replace: Any = dataclasses.replace  # fields by name, of whatever kind a test has found
Mutant = Callable[[list[Event]], Sequence[Event]]


def renumbered(events: Sequence[Event]) -> list[Event]:
    return [replace(event, seq=seq) for seq, event in enumerate(events)]


def first(events: Sequence[Event], kind: type[Event], skip: int = 0, **fields: Any) -> int:
    found = [
        at
        for at, event in enumerate(events)
        if isinstance(event, kind)
        and all(getattr(event, name) == value for name, value in fields.items())
    ]
    return found[skip]


def change(kind: type[Event], where: dict[str, Any], to: dict[str, Any], skip: int = 0) -> Mutant:
    def mutate(events: list[Event]) -> list[Event]:
        at = first(events, kind, skip, **where)
        events[at] = replace(events[at], **to)
        return events

    return mutate


def drop(kind: type[Event], **where: Any) -> Mutant:
    def mutate(events: list[Event]) -> list[Event]:
        del events[first(events, kind, **where)]
        return renumbered(events)

    return mutate


def twice(kind: type[Event]) -> Mutant:
    def mutate(events: list[Event]) -> list[Event]:
        at = first(events, kind)
        return renumbered([*events[: at + 1], *events[at:]])

    return mutate


@pytest.mark.parametrize("solver", ["fake", "dsgd", "fpsgd", "als"])
def test_a_good_run_has_no_violation(solver: str) -> None:
    assert check_run(make_events(epochs=3, workers=3, solver=solver)) == []


@pytest.mark.parametrize(
    ("mutant", "words"),
    [
        (lambda events: events[1:], "run-started"),
        (lambda events: [*events[:5], *events[6:]], "seq"),
        (lambda events: [*events[:5], events[6], events[5], *events[7:]], "seq"),
        (lambda events: events[:-1], "run-ended"),
        (twice(RunEnded), "run-ended"),
        (lambda events: renumbered([*events[:-2], events[-1], events[-2]]), "run-ended"),
        (change(Noticed, {}, {"run": "other"}), "more than one run"),
        (change(EpochEnded, {"epoch": 2}, {"t_ns": 0}), "stamped before"),
        (drop(EpochEnded, epoch=0), "epoch 1 ends where epoch 0 should"),
        (drop(EpochEnded, epoch=2), "ends where"),
        (change(EpochEnded, {"epoch": 0}, {"updates": 5}), "initial state"),
        (change(EpochEnded, {"epoch": 3}, {"solve_s": 0.0}), "shrink"),
        (change(Evaluated, {"epoch": 2}, {"epoch": 1}), "evaluated at another place"),
        (twice(Evaluated), "evaluated at another place"),
        (change(Span, {"op": "kernel"}, {"end_ns": 10**12}), "overlap"),
        (change(Span, {"op": "kernel"}, {"end_ns": 0}), "before it starts"),
        (change(Span, {"op": "kernel"}, {"ratings": 99}), "ratings"),
        (change(EpochEnded, {"epoch": 3}, {"updates": 601}), "ratings"),
        (drop(Freed, name="P"), "still held"),
        (change(Freed, {"name": "P"}, {"bytes": 1}), "another size"),
        (change(Freed, {"name": "P"}, {"name": "R"}), "not held"),
    ],
)
def test_a_corrupted_run_is_caught(mutant: Mutant, words: str) -> None:
    found = check_run(mutant(make_events(epochs=3, workers=2)))
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize("solver", ["fake", "fpsgd"])
def test_ratings_need_not_add_up_where_spans_were_dropped_and_it_was_told(solver: str) -> None:
    events = make_events(solver=solver)
    del events[first(events, Span, op="kernel")]
    message = "3 spans found no room and are missing in epoch 1."
    at = first(events, Noticed)
    events[at] = replace(events[at], message=message)
    assert check_run(renumbered(events)) == []


@pytest.mark.parametrize(
    ("solver", "mutant", "words"),
    [
        ("dsgd", change(Span, {"block": "0,1"}, {"block": "1,1"}), "row block twice"),
        ("dsgd", change(Span, {"block": "0,1"}, {"block": "0,2"}), "column block twice"),
        ("fpsgd", change(Span, {"block": "0,1"}, {"block": "1,0"}), "not those"),
        ("fpsgd", drop(BlockTaken, epoch=2), "not those"),
        ("hogwild", lambda events: events, "wait"),
    ],
)
def test_a_broken_promise_is_caught(solver: str, mutant: Mutant, words: str) -> None:
    found = check_run(mutant(make_events(epochs=3, workers=3, solver=solver)))
    assert any(words in sentence for sentence in found), found


def without_barriers(events: list[Event]) -> list[Event]:
    return renumbered(
        [e for e in events if not (isinstance(e, Span) and e.reason == "barrier")]
    )  # fmt: skip


def test_hogwild_may_stop_for_evaluation_only() -> None:
    events = without_barriers(make_events(workers=3, solver="hogwild"))
    assert check_run(events) == []


LATER = 2_000_000  # ns: after the evaluation of epoch 0


def waves(
    order: list[tuple[int, int, int, int, str]], solver: str = "dsgd", **params: Any
) -> list[Event]:
    """One epoch of dsgd from (worker, start, end, wave, block); a wave ends in its barrier."""
    events = make_events(epochs=1, workers=2, solver=solver)
    events = [e for e in events if not (isinstance(e, Span) and e.epoch == 1)]
    at = first(events, EpochEnded, epoch=1)
    base: dict[str, Any] = {"run": "r1", "seq": 0, "t_ns": events[at].t_ns, "epoch": 1}
    spans: list[Event] = []
    for worker, start, end, wave, block in order:
        last = max(e for _, _, e, w, _ in order if w == wave)
        times = (start + LATER, end + LATER, max(last, end) + LATER)
        own = {"lane": f"W{worker}", **base}
        spans.append(
            Span(
                op="kernel", name="u", start_ns=times[0], end_ns=times[1],
                ratings=200 // len(order), block=block, **own,
            )
        )  # fmt: skip
        if any(w == worker and v == wave and s > start for w, s, _, v, _ in order):
            continue
        spans.append(
            Span(
                op="wait", name="barrier", reason="barrier", start_ns=times[1],
                end_ns=times[2], **own,
            )
        )  # fmt: skip
    started = events[0]
    assert isinstance(started, RunStarted)
    events[0] = replace(started, params=params)
    return renumbered([*events[:at], *spans, *events[at:]])


def test_waves_end_in_their_barriers() -> None:
    good = [(0, 10, 20, 0, "0,0"), (1, 10, 25, 0, "1,1"),
            (0, 25, 30, 1, "0,1"), (1, 25, 40, 1, "1,0")]  # fmt: skip
    assert check_run(waves(good)) == []
    early = [*good[:2], (0, 22, 30, 1, "0,1"), good[3]]
    found = check_run(waves(early))
    assert any("wave 1 starts before wave 0 is over" in sentence for sentence in found), found


# Two workers, two groups of two strips each: strips 0 and 1, then 2 and 3.
ROUNDS = [(0, 10, 20, 0, "0,0"), (0, 20, 24, 0, "0,1"), (1, 10, 25, 0, "1,2"),
          (1, 25, 26, 0, "1,3"), (0, 30, 40, 1, "0,3"), (0, 40, 44, 1, "0,2"),
          (1, 30, 41, 1, "1,0"), (1, 41, 46, 1, "1,1")]  # fmt: skip


def instead(at: int, **fields: Any) -> list[tuple[int, int, int, int, str]]:
    """The rounds with other fields in one place."""
    names = ("worker", "start", "end", "wave", "block")
    new = tuple({**dict(zip(names, ROUNDS[at], strict=True)), **fields}.values())
    return [*ROUNDS[:at], new, *ROUNDS[at + 1 :]]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (instead(3, block="1,1", start=21, end=22), "worked on at the same time"),
        (instead(2, block="0,2"), "users of another one"),
        (instead(4, block="0,1"), "in two rounds"),
        (instead(4, start=25, end=29), "starts before wave 0 is over"),
        (ROUNDS[:-1], "of 200 ratings are visited"),
    ],
)
def test_strips_have_one_worker_at_a_time_and_every_rating_comes_once(order, words) -> None:
    assert check_run(waves(ROUNDS, "strip_sgd")) == []
    found = check_run(waves(order, "strip_sgd"))
    assert any(words in sentence for sentence in found), found


def test_strips_keep_their_ratings_from_epoch_to_epoch() -> None:
    events = waves(ROUNDS, "strip_sgd")
    spans = [e for e in events if isinstance(e, Span) and e.epoch == 1]
    end = first(events, EpochEnded, epoch=1)
    ended = replace(events[end], epoch=2, updates=400)
    later = [replace(s, epoch=2, start_ns=s.start_ns + 100, end_ns=s.end_ns + 100) for s in spans]
    two = [*events[: end + 1], *later, ended, *events[end + 1 :]]
    evaluated = first(two, Evaluated, epoch=1)
    two.insert(end + 1, two.pop(evaluated))
    words = "the strips have other numbers of ratings than before"
    assert not any(words in sentence for sentence in check_run(renumbered(two)))
    one, other = (first(two, Span, block=b, epoch=2) for b in ("0,0", "1,2"))
    two[one] = replace(two[one], ratings=24)
    two[other] = replace(two[other], ratings=26)
    assert any(words in sentence for sentence in check_run(renumbered(two)))


def test_without_the_barrier_switch_waves_may_overlap_in_time() -> None:
    early = [(0, 10, 20, 0, "0,0"), (1, 10, 25, 0, "1,1"),
             (0, 20, 30, 1, "0,1"), (1, 25, 40, 1, "1,0")]  # fmt: skip
    events = [e for e in waves(early, barrier=False) if getattr(e, "reason", "") != "barrier"]
    assert check_run(renumbered(events)) == []


def test_a_block_may_be_visited_in_portions_by_its_worker_only() -> None:
    own = [(0, 10, 20, 0, "0,0"), (1, 10, 25, 0, "1,1"), (0, 25, 30, 1, "0,1")]
    events = waves([*own, (1, 25, 40, 1, "1,0")])
    portions = [e for e in events if not (isinstance(e, Span) and e.reason == "barrier")]
    at = first(portions, Span, block="0,1")
    portions[at] = replace(portions[at], block="0,0")
    other = first(portions, Span, block="1,0")
    portions[other] = replace(portions[other], block="1,1")
    assert check_run(renumbered(portions)) == []
    portions[other] = replace(portions[other], block="0,0")
    found = check_run(renumbered(portions))
    assert found == [f"epoch 1: wave 0 has a {what} block twice" for what in ("row", "column")]


def test_fpsgd_may_not_work_on_one_row_twice_at_once() -> None:
    events = make_events(epochs=1, workers=2, solver="fpsgd")
    for kind, field in ((BlockTaken, {"row": 0, "col": 1}), (Span, {"block": "0,1"})):
        at = first(events, kind, **field)
        to = {"row": 1, "col": 1} if kind is BlockTaken else {"block": "1,1"}
        events[at] = replace(events[at], **to)
    assert check_run(events) == ["blocks 1,1 and 1,0 are worked on at the same time"]


def test_als_solves_items_after_all_users() -> None:
    events = make_events(epochs=1, workers=2, solver="als")
    at = first(events, Span, lane="W0", op="kernel")
    events[at] = replace(events[at], name="users")
    other = first(events, Span, lane="W1", op="kernel")
    events[other] = replace(events[other], name="items")
    assert check_run(events) == ["epoch 1: items are solved before all users are"]


def test_ccdpp_fits_one_feature_of_one_side_at_a_time() -> None:
    events = make_events(epochs=1, workers=2, solver="ccdpp")
    one, other = (first(events, Span, lane=lane, op="kernel") for lane in ("W0", "W1"))
    events[one] = replace(events[one], name="items", block="3,3")
    events[other] = replace(events[other], name="items", block="3,3")
    rest = [e for e in range(len(events)) if isinstance(events[e], Span) and e not in (one, other)]
    for at in rest:
        events[at] = replace(events[at], block="")
    assert check_run(events) == []
    events[other] = replace(events[other], name="users")
    assert check_run(events) == ["epoch 1: users of 3,3 start before others are over"]
    done = events[one]
    assert isinstance(done, Span)
    events[other] = replace(events[other], block="2,2", start_ns=done.end_ns)
    assert "epoch 1: feature 2,2 comes after 3,3" in check_run(events)

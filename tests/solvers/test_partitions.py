"""cuMF_SGD with streamed partitions: the result is that of one block after the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mfviz.backends.streams import Program
from mfviz.data.layout import Grid, grid
from mfviz.data.problem import Problem
from mfviz.data.ratings import Ratings
from mfviz.experiments.run import Run
from mfviz.solvers.cumf_sgd import CHUNK, CuMFSGD
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import Event, Span
from mfviz.telemetry.overlap import overlap
from tests import naive
from tests.naive_gpu import halves
from tests.solvers.recorded import train
from tests.solvers.replay import problem_of
from tests.solvers.test_cumf_sgd import TOLERANCE, distance
from tests.solvers.test_msgd import memory_held, memory_of, on_device
from tests.solvers.test_wavefront import visit

BRISK: dict[str, Any] = {
    "rank": 5, "epochs": 3, "workers": 1, "lr": 0.08, "lam": 0.1, "beta": 0.2, "user_parts": 3,
    "item_parts": 2,
}  # fmt: skip


def made(**settings: Any) -> CuMFSGD:
    solver = CuMFSGD.make(**{**BRISK, **settings})
    assert isinstance(solver, CuMFSGD)
    return solver


def visits_of(solver: CuMFSGD, problem: Problem, mutant: str = "") -> tuple[Grid, list[list[int]]]:
    """The grid, and each epoch's ratings in the order in which one worker visits them."""
    _, layout_rng, order_rng = np.random.default_rng(solver.seed).spawn(3)
    u, v = solver.user_parts, solver.item_parts
    layout = grid(problem.train, u, v, layout_rng, shuffle=solver.shuffle)
    parts = [list(range(*layout.offsets[b : b + 2])) for b in range(u * v)]
    if solver.shuffle:
        seed = layout_rng.integers(1, 1 << 63)
        parts = [naive.shuffled(part, naive.part_seed(seed, b)) for b, part in enumerate(parts)]
    most, epochs = -(-problem.train.nnz // (u * v)), []
    for _ in range(solver.epochs):
        visits: list[int] = []
        for b in order_rng.permutation(u * v) if solver.shuffle else range(u * v):
            own = parts[b]
            many = -(-len(own) // most)
            cuts = [len(own) * k // many for k in range(many + 1)] if many else []
            for low, high in pairwise(cuts if mutant != "whole" else (0, len(own))):
                size = high - low
                for start in order_rng.integers(0, size, -(-size // CHUNK)):
                    visits += [own[low + (start + k) % size] for k in range(CHUNK)]
        epochs.append(visits)
    return layout, epochs


def bits_of(solver: CuMFSGD, problem: Problem, start: Any) -> tuple[np.ndarray, np.ndarray]:
    """P and Q after all visits, one after the other, by the compiled visit of one rating."""
    layout, epochs = visits_of(solver, problem)
    P, Q = (X.astype(np.float16).view(np.uint16) for X in (start.P, start.Q))
    r, lam = layout.r / np.float32(start.scale), np.float32(solver.lam / start.scale)
    for epoch, visits in enumerate(epochs):
        lr = np.float32(solver.lr / (1 + solver.beta * epoch**1.5))
        visit(layout.u, layout.i, r, np.array(visits), P, Q, lr, lam)
    return P.view(np.float16), Q.view(np.float16)


def twin(solver: CuMFSGD, problem: Problem, start: Any, mutant: str = "") -> Any:
    """P and Q after one epoch of the naive twin."""
    layout, epochs = visits_of(solver, problem, mutant)
    P, Q = (X[:, : start.rank] for X in (start.P, start.Q))
    r, lam = layout.r / np.float32(start.scale), solver.lam / start.scale
    return halves(layout.u, layout.i, r, epochs[0], P, Q, lr=solver.lr, lam=lam, mutant=mutant)


# --- on the CPU ---------------------------------------------------------------------------------

PARTS = [(2, 3), (1, 4), (5, 1), (7, 6)]


@pytest.mark.parametrize(("u", "v"), PARTS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_equals_one_block_after_the_other_bit_for_bit(u: int, v: int, shuffle: bool) -> None:
    problem = problem_of(300, 200, 9_000)
    solver = made(user_parts=u, item_parts=v, shuffle=shuffle)
    record = train(solver, problem)
    P, Q = bits_of(solver, problem, record.initial)
    np.testing.assert_array_equal(record.final.P, P)
    np.testing.assert_array_equal(record.final.Q, Q)


def test_equals_the_naive_twin() -> None:
    problem, solver = problem_of(), made(epochs=1)
    record = train(solver, problem)
    assert distance(record.final, twin(solver, problem, record.initial)) < TOLERANCE


@pytest.mark.parametrize("mutant", ["new p", "whole"])
def test_mutants_are_seen(mutant: str) -> None:
    """A block that is longer than the buffers is visited in pieces, each with its own chunks."""
    problem, solver = problem_of(), made(epochs=1)
    record = train(solver, problem)
    wrong = twin(solver, problem, record.initial, mutant)
    assert distance(record.final, wrong) > 5 * TOLERANCE


@pytest.mark.parametrize("chunk", [1, 97])
def test_chunks_change_no_bit(chunk: int) -> None:
    problem, solver = problem_of(nnz=200), made(epochs=2)
    whole, record = train(solver, problem).final, train(solver, problem, chunk=chunk)
    np.testing.assert_array_equal(record.final.P, whole.P)
    np.testing.assert_array_equal(record.final.Q, whole.Q)
    assert np.diff([c.updates for c in record.checkpoints]).max() <= chunk


def test_the_model_between_two_pieces_is_what_was_trained() -> None:
    """Parts that lie in buffers are brought home when somebody looks, and go on from there."""
    problem, solver = problem_of(300, 200, 9_000), made(epochs=1)
    seen: list[np.ndarray] = []
    train(solver, problem, chunk=2000, at=lambda _, c: seen.append(c.factors.P.copy()))  # type: ignore[union-attr]
    changed = [np.abs(b - a).max() > 0 for a, b in pairwise(seen)]
    assert sum(changed) > 4


@pytest.mark.parametrize("workers", [1, 3])
def test_learns_as_the_resident_form_does(workers: int) -> None:
    problem = problem_of(300, 200, 12_000, holdout=0.1)

    def error(**settings: Any) -> float:
        final = train(made(epochs=15, workers=workers, **settings), problem).final
        test = problem.test
        return float(np.sqrt(((test.r - final.predict(test.u, test.i)) ** 2).mean()))

    assert error() < 1.1 * error(user_parts=1, item_parts=1)


@pytest.mark.parametrize("shape", [{}, {"rank": 17, "workers": 3, "user_parts": 1}], ids=str)
def test_memory_is_what_the_model_says(shape: dict) -> None:
    solver, problem = made(**shape), problem_of()
    record = train(solver, problem)
    model = solver.memory(problem.n_users, problem.n_items, problem.train.nnz)
    assert model.by_part() == record.high_water
    assert model.total_bytes == record.ledger.high_water_bytes


def test_one_block_may_have_all_ratings() -> None:
    """Then it is six pieces, and the other blocks are empty."""
    u, i = (x.astype(np.int32) for x in np.divmod(np.arange(400), 20))
    none, names = np.zeros(0, np.int32), (np.arange(60), np.arange(40))
    problem = Problem(
        Ratings(u, i, (1 + (u + i) % 5).astype(np.float32), *names),
        Ratings(none, none, none.astype(np.float32), *names),
    )
    solver = made(shuffle=False)
    record = train(solver, problem)
    assert record.final.finite()
    copied = [s["block"] for s in record.spans if s["name"] == "ratings in"]
    assert copied == ["0,0"] * 6 * 3
    P, _ = bits_of(solver, problem, record.initial)
    np.testing.assert_array_equal(record.final.P, P)


def events_of_a_run(**settings: Any) -> list[Event]:
    run = Run(problem_of(300, 200, 12_000, holdout=0.1), made(workers=2, **settings))
    run.execute()
    assert run.status == "done", run.reason
    return run.log.read()[0]


def test_a_run_keeps_its_promises_on_three_lanes() -> None:
    events = events_of_a_run()
    assert check_run(events) == []
    spans = [e for e in events if isinstance(e, Span)]
    assert {s.lane for s in spans} == set(made().lanes())
    assert all(s.lane.endswith("(CPU)") for s in spans)
    assert {s.op for s in spans} == {"h2d", "d2h", "kernel", "wait"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ratings in", "is visited but was not copied"),
        ("P in", "of P is visited but is not there"),
        ("P out", "of P is copied before it came home"),
        ("moved in", "of P is replaced while it is visited"),
        ("moved out", "of P leaves while it is visited"),
    ],
)
def test_a_broken_promise_is_seen(name: str, words: str) -> None:
    events = events_of_a_run()
    kernels = [e for e in events if isinstance(e, Span) and e.op == "kernel"]
    wanted = name.replace("moved", "P")
    at, span = next(
        (k, e) for k, e in enumerate(events) if isinstance(e, Span) and e.name == wanted
    )
    if name.startswith("moved"):  # into the middle of a visit to what lies there
        part, slot = span.block.split(",")
        if name == "moved in":
            part = next(e.block.split(",")[0] for e in events if isinstance(e, Span)
                        and e.name == "P in" and e.block.endswith(slot) and e is span)  # fmt: skip
        kernel = next(k for k in kernels if k.block.startswith(f"{part},"))
        half = (kernel.start_ns + kernel.end_ns) // 2
        moved = replace(span, start_ns=half, end_ns=kernel.end_ns + 1)
        if name == "moved in":
            events.insert(at + 1, moved)
        else:
            events[at] = moved
    else:  # both pieces of the block
        block = (span.epoch, span.block)
        events = [
            e for e in events
            if not (isinstance(e, Span) and e.name == name and (e.epoch, e.block) == block)
        ]  # fmt: skip
    assert words in " ".join(check_run(events))


def test_what_cannot_be_streamed_is_told() -> None:
    problem = problem_of(3, 50, 90)
    assert "scheduler=batch_hogwild" in (made(scheduler="wavefront").supports(problem) or "")
    assert "take fewer" in (made(user_parts=4).supports(problem) or "")
    assert made().supports(problem) is None
    assert made().determinism() == "exact"
    assert made(workers=2).determinism() == "statistical"


# --- on a device --------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, 60])
@pytest.mark.parametrize(("u", "v"), [(2, 3), (1, 4), (3, 1)])
def test_a_device_is_asked_for_the_same(u: int, v: int, chunk: int | None) -> None:
    problem, solver = problem_of(), made(user_parts=u, item_parts=v, warps=1, epochs=1)
    wanted = twin(solver, problem, train(solver, problem).initial)
    driver, factors, spans, held, checkpoints = on_device(solver, problem, chunk)
    assert distance(factors, wanted) < TOLERANCE
    assert driver.races() == 0
    assert memory_of(solver, problem) == memory_held(held)
    assert sum(s["ratings"] for s in spans) == checkpoints[-1].updates
    assert {s["lane"] for s in spans} <= {"compute", "copies in", "copies out"}


@pytest.mark.parametrize(
    ("event", "copy_ns"),
    [("visited", 0.1), ("brought", 9.0), ("in", 9.0), ("used", 0.1), ("out", 9.0)],
)
def test_a_missing_wait_is_seen(
    event: str, copy_ns: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any one kind of event the streams would touch what others still use."""
    wait = Program.wait

    def forgetful(self: Program, stream: int, what: Any) -> None:
        if what[0] != event:
            wait(self, stream, what)

    monkeypatch.setattr(Program, "wait", forgetful)
    solver = made(user_parts=4, item_parts=4)
    driver, _, _, _, _ = on_device(solver, problem_of(), copy_ns=copy_ns)
    assert driver.races() > 0


def test_copies_hide_under_kernels() -> None:
    """Where kernels take longer than the copies, all but the first ones of an epoch do."""
    solver = made(user_parts=6, item_parts=6, epochs=1)
    _, _, spans, _, _ = on_device(solver, problem_of(300, 200, 9_000), copy_ns=0.1)
    whole = [Span(run="r", seq=0, t_ns=0, **row) for row in spans]
    first = min(s.end_ns for s in whole if s.op == "kernel")
    assert overlap([s for s in whole if s.end_ns >= first]).share > 0.9


def test_parts_shrink_the_memory_on_the_device() -> None:
    m, n, nnz = 480_189, 17_770, 99_072_112

    def bytes_on_device(**settings: Any) -> int:
        return made(rank=128, **settings).memory(m, n, nnz, "cuda").bytes_on_devices

    whole, parts = (
        bytes_on_device(user_parts=1, item_parts=1),
        bytes_on_device(user_parts=8, item_parts=8),
    )
    assert parts < 2.1 * (12 * nnz / 64 + 2 * 128 * (m + n) / 8) < whole / 15


def test_what_does_not_fit_is_told_with_the_parts_that_do() -> None:
    solver = made(rank=128, user_parts=1, item_parts=1, scheduler="wavefront")
    words = solver.cure(480_189, 17_770, 99_072_112, 100 << 20)
    assert words.startswith("Set scheduler=batch_hogwild, user_parts=7 and item_parts=7")
    parts = made(rank=128, user_parts=7, item_parts=7)
    assert parts.memory(480_189, 17_770, 99_072_112, "cuda").bytes_on_devices <= 100 << 20
    assert "lower rank" in solver.cure(480_189, 17_770, 99_072_112, 1 << 10)

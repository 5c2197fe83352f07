"""One job at a time, first come first served; within a job the runs take turns."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mfviz.errors import MfvizError
from mfviz.experiments.pool import Pool, pool
from mfviz.experiments.run import Run
from mfviz.experiments.turns import Baton, Device
from mfviz.solvers.base import Context
from mfviz.telemetry.events import Span
from tests.fakes import ScriptedSolver, tiny_problem

PROBLEM = tiny_problem()
LONG = 10_000


@pytest.fixture
def made() -> Iterator[Pool]:
    fresh = Pool()
    yield fresh
    assert fresh.shutdown()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def endless(**options: object) -> Run:
    return Run(PROBLEM, ScriptedSolver(epochs=LONG, nap_s=0.001), **options)  # type: ignore[arg-type]


def short(**options: object) -> Run:
    return Run(PROBLEM, ScriptedSolver(epochs=3, nap_s=0.002), **options)  # type: ignore[arg-type]


def busy(run: Run) -> list[tuple[int, int]]:
    """When a run solved, on the clock that all runs share."""
    spans = [event for event in run.log.read()[0] if isinstance(event, Span)]
    origin = run.log.origin_ns
    return [(s.start_ns + origin, s.end_ns + origin) for s in spans if s.op == "kernel"]


def overlap(runs: list[Run]) -> bool:
    times = sorted({(*span, at) for at, run in enumerate(runs) for span in busy(run)})
    return any(
        after[0] < before[1] and after[2] != before[2]
        for before, after in itertools.combinations(times, 2)
    )


def test_jobs_of_several_sessions_run_one_after_the_other(made: Pool) -> None:
    runs = [short() for _ in range(4)]
    threads = [threading.Thread(target=made.submit, args=([run],)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(run.wait(10) for run in runs)
    assert [run.status for run in runs] == ["done"] * 4
    assert not overlap(runs)


def test_the_queue_can_be_looked_at(made: Pool) -> None:
    first, second, third = endless(), endless(), endless()
    for run in (first, second, third):
        made.submit([run])
    until(lambda: first.status == "running")
    assert [made.position(run) for run in (first, second, third)] == [0, 1, 2]
    assert [run.status for run in (second, third)] == ["queued", "queued"]
    assert made.active == [first, second, third]
    made.cancel(second)
    assert second.wait(5)
    assert (second.status, made.position(second)) == ("stopped", -1)
    assert made.position(third) == 1
    made.cancel(first)
    until(lambda: third.status == "running")
    assert made.position(third) == 0
    assert made.position(first) == -1


def test_at_unlimited_pace_a_runs_to_its_end_first(made: Pool) -> None:
    runs = [short(), short()]
    job = made.submit(runs)
    assert job.wait(10)
    assert not job.active
    a, b = (busy(run) for run in runs)
    assert max(end for _, end in a) <= min(start for start, _ in b)


def test_a_run_that_is_warm_and_waits_for_the_other_one_is_queued(made: Pool) -> None:
    a, b = endless(), endless()
    made.submit([a, b])
    until(lambda: a.epoch > 2)
    assert b.status == "queued"
    made.cancel(a)
    until(lambda: b.epoch > 2)
    assert b.status == "running"
    c = endless()
    made.submit([c])
    made.cancel(b)
    until(lambda: c.status == "running")


def test_at_a_pace_a_and_b_alternate_and_never_solve_at_once(made: Pool) -> None:
    runs = [
        Run(PROBLEM, ScriptedSolver(epochs=5, nap_s=0.004), pace=10),
        Run(PROBLEM, ScriptedSolver(epochs=5, nap_s=0.004), pace=10),
    ]
    assert made.submit(runs).wait(10)
    assert not overlap(runs)
    a, b = (sorted(set(busy(run))) for run in runs)
    assert b[0][0] < a[-1][0]  # B began long before A had ended
    order = sorted([(start, "A") for start, _ in a] + [(start, "B") for start, _ in b])
    assert "".join(who for _, who in order) == "ABABABABAB"


def test_a_job_that_is_paused_gives_its_place_up_until_it_is_resumed(made: Pool) -> None:
    a, b, other = endless(pace=500), endless(pace=500), short()
    made.submit([a, b])
    until(lambda: a.epoch > 0 and b.epoch > 0)
    job = made.submit([other])
    a.pause()
    until(lambda: a.status == "paused")
    assert other.status == "queued"  # B still goes on
    b.pause()
    assert job.wait(10)
    assert other.status == "done"
    for run in (a, b):
        place = run.epoch
        run.resume()
        until(lambda run=run, place=place: run.epoch > place)  # type: ignore[misc]
    made.cancel(a)
    made.cancel(b)


def test_a_resumed_run_waits_for_the_device(made: Pool) -> None:
    first, second = endless(), endless()
    made.submit([first])
    until(lambda: first.epoch > 0)
    first.pause()
    until(lambda: first.status == "paused")
    made.submit([second])
    until(lambda: second.status == "running")
    first.resume()
    until(lambda: made.position(first) == 1)
    place = first.epoch
    time.sleep(0.02)
    assert (first.status, first.epoch) == ("paused", place)
    made.cancel(second)
    until(lambda: first.epoch > place)
    assert first.status == "running"
    made.cancel(first)


def test_a_run_that_fails_or_diverges_hands_on(made: Pool) -> None:
    def boom(context: Context) -> None:
        raise ValueError("boom")

    broken, fine = Run(PROBLEM, ScriptedSolver({1: boom})), short()
    made.submit([broken, fine]).wait(10)
    assert (broken.status, fine.status) == ("failed", "done")


def test_a_run_outside_the_pool_waits_for_the_same_device(made: Pool) -> None:
    inside, outside = endless(), short()
    made.submit([inside])
    until(lambda: inside.status == "running")
    outside.start()
    until(lambda: outside.baton.position(outside) == 1)
    assert outside.status == "queued"
    made.cancel(inside)
    assert outside.wait(5)
    assert outside.status == "done"
    assert not overlap([inside, outside])


def test_shutdown_ends_everything_and_takes_no_more() -> None:
    made = Pool()
    runs = [endless(), endless(pace=0.001), endless()]
    for run in runs:
        made.submit([run])
    until(lambda: runs[0].status == "running")
    assert made.shutdown()
    assert [run.status for run in runs] == ["stopped"] * 3
    assert made.active == []
    with pytest.raises(MfvizError, match="shut down"):
        made.submit([short()])


def test_a_job_needs_runs_that_were_not_started(made: Pool) -> None:
    with pytest.raises(MfvizError, match="at least one run"):
        made.submit([])
    run = short()
    run.execute()
    with pytest.raises(MfvizError, match="started before"):
        made.submit([run])
    assert made.submit([short()]).wait(10)  # the queue was left as it was


def test_a_whole_job_can_be_stopped(made: Pool) -> None:
    job = made.submit([endless(), endless()])
    job.stop()
    assert job.wait(5)
    assert [run.status for run in job.runs] == ["stopped", "stopped"]


def test_there_is_one_pool() -> None:
    assert pool() is pool()


# --- turns alone ---------------------------------------------------------------------------


def test_a_turn_that_is_given_up_leaves_the_queue() -> None:
    where = Device()
    first, second = Baton(where), Baton(where)
    assert first.take("a")
    assert not second.take("b", give_up=lambda: True)
    assert second.position("b") == -1
    first.give("a")
    assert where.holder() is None


def test_a_member_that_waits_for_its_pace_keeps_the_device() -> None:
    where = Device()
    first, second = Baton(where), Baton(where)
    assert first.take("a")
    second.enqueue("b")
    first.give("a", back_soon=True)
    assert where.holder() is first
    assert first.position("a") == 0
    assert first.take("a")
    first.give("a")
    assert where.holder() is second

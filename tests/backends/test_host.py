"""A crew: every worker once a task, a core for each where there are as many, errors told."""

from __future__ import annotations

import threading

import pytest

from mfviz.backends.host import Crew


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_worker_does_each_task_once(workers: int):
    done: list[tuple[int, int]] = []
    with Crew(workers) as crew:
        for task in range(3):

            def note(worker: int, task: int = task) -> None:
                done.append((task, worker))

            crew.run(note)
            assert sorted(w for t, w in done if t == task) == list(range(workers))
            assert crew.busy == 0
    assert len(done) == 3 * workers


def test_an_error_is_raised_when_all_have_returned_and_the_crew_goes_on():
    done: list[int] = []

    def fail(worker: int) -> None:
        if worker == 0:
            raise ValueError("no")
        done.append(worker)

    with Crew(3) as crew:
        with pytest.raises(ValueError, match="no"):
            crew.run(fail)
        assert sorted(done) == [1, 2]
        crew.run(done.append)
        assert sorted(done) == [0, 1, 1, 2, 2]


def test_a_crew_at_work_takes_no_second_task():
    release = threading.Event()

    def hold(worker: int) -> None:
        release.wait(10)

    with Crew(2) as crew:
        crew.start(hold)
        assert not crew.wait(0.0)
        with pytest.raises(RuntimeError, match="still at its last task"):
            crew.run(print)
        release.set()
        assert crew.wait(10)

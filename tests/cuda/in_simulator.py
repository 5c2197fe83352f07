"""Train with every CUDA solver in Numba's simulator and beside it on the CPU.

Run as ``NUMBA_ENABLE_CUDASIM=1 python in_simulator.py``; prints a JSON object: for each case how
far the two results are from each other, and what the lanes did.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from threading import Condition, Lock
from typing import Any
from unittest import mock

import click
import numpy as np

from mfviz.backends import streams
from mfviz.backends.host import Crew
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.context import make_context
from mfviz.solvers.base import registry
from tests.fakes_device import FakeDriver

CASES: dict[str, dict[str, Any]] = {  # settings beside those that all have
    "msgd": {},
    "msgd with biases": {"key": "msgd", "biases": True, "rank": 17},
    "ds_sgd_c": {"mode": "alternate"},
    "ds_sgd_d": {"mode": "alternate", "batch": 41, "biases": True},
    "als": {"rank": 9, "lam": 0.3},
    "als by cg": {"key": "als", "solve": "cg", "cg_steps": 2, "biases": True, "weighted": False},
    "cumf_als": {"biases": True, "batch": 7},
    "cumf_als in halves": {
        "key": "cumf_als", "solve": "cg", "cg_steps": 3, "precision": "half", "weighted": False,
        "lam": 2.0, "rank": 3,
    },
    "cumf_ccd": {"rank": 2, "each": 4, "tile": 14, "biases": True},
    "cumf_ccd of one feature": {"key": "cumf_ccd", "rank": 1, "each": 1, "inner": 2},
    "cumf_sgd": {"warps": 1, "workers": 1},
    "cumf_sgd of three": {"key": "cumf_sgd", "warps": 3, "workers": 1, "rank": 20},
    "cumf_sgd in a wavefront": {
        "key": "cumf_sgd", "scheduler": "wavefront", "warps": 1, "workers": 1, "columns": 3,
    },
    "cumf_sgd in a wavefront of three": {
        "key": "cumf_sgd", "scheduler": "wavefront", "warps": 3, "workers": 3, "rank": 20,
        "columns": 4,
    },
    "cumf_sgd in parts": {
        "key": "cumf_sgd", "warps": 1, "workers": 1, "user_parts": 2, "item_parts": 3,
    },
    "strip_sgd": {"workers": 3, "blocks": 3, "warps": 1, "shuffle": False, "rank": 17},
    "strip_sgd of warps": {
        "key": "strip_sgd", "blocks": 2, "warps": 3, "rank": 9, "biases": False,
    },
    "gpusgd": {"grid": 3, "threads_a_block": 4, "rank": 17},
    "fampsgd": {"order": "1/4", "kappa": 0.4, "biases": True},
    "ds_sgd_d asynchronous": {"key": "ds_sgd_d", "batch": 41, "rank": 3},
}  # fmt: skip
APART = {
    "cumf_sgd of three",
    "cumf_sgd in a wavefront of three",
}  # rows of one rating each: the order of visits does not matter
BY_HAND = {"strip_sgd of warps"}  # the CPU has no such grid: what a kernel does is done in NumPy
IN_TURN = {"ds_sgd_d asynchronous"}  # the simulator does at once what it is told
BRISK = {"rank": 5, "epochs": 2, "workers": 2, "lr": 0.08, "init_scale": 0.3}


def problem(name: str) -> Problem:
    """Ragged rows: of up to thirty ratings, of one and, here and there, of none."""
    rng = np.random.default_rng(0)
    if name in APART:
        row = rng.permutation(384)
        return split(Ratings.from_triples(row, row, rng.integers(1, 6, 384)), holdout=0.0)
    row, col = (rng.random((2, 130)) ** 2 * [[25], [20]]).astype(int)
    some = Ratings.from_triples([*row, 25], [*col, 3], [*rng.integers(1, 6, 130), 4])
    u, i = ((1 + x + (x > 4) + (x > 9)).astype(np.int32) for x in (some.u, some.i))
    names = np.arange(u.max() + 2), np.arange(i.max() + 2)
    none = np.zeros(0, np.int32)
    return Problem(
        Ratings(u, i, some.r, *names), Ratings(none, none, none.astype(np.float32), *names)
    )


class Allocations(dict[Any, Any]):
    """Shared arrays of a block by where they are asked for, each made by one thread.

    The simulator looks, and makes an array where there is none: of two threads that look at once
    each would get its own. Here the second one waits until the first has put its array in.
    """

    def __init__(self) -> None:
        self._making = Lock()

    def get(self, place: Any, default: Any = None) -> Any:
        self._making.acquire()
        found = super().get(place, default)
        if found is not None:
            self._making.release()
        return found

    def __setitem__(self, place: Any, array: Any) -> None:
        super().__setitem__(place, array)
        self._making.release()


class Meeting:
    """A barrier for all threads of a block that have not come to their end.

    The simulator's own block looks at each of its threads in turn for as long as they run, and
    takes half of the time that they need.
    """

    def __init__(self, members: int) -> None:
        self._members, self._waiting, self._round = members, 0, 0
        self._news = Condition()
        self.broken = False

    def _look(self) -> None:
        if self._waiting == self._members:
            self._waiting, self._round = 0, self._round + 1
            self._news.notify_all()

    def wait(self) -> None:
        """Come, and wait for all others."""
        with self._news:
            self._waiting += 1
            now = self._round
            self._look()
            self._news.wait_for(lambda: self._round != now or self.broken)
            if self.broken:
                raise RuntimeError("another thread of the block failed")

    def leave(self, failed: bool) -> None:
        """Be waited for no more."""
        with self._news:
            self._members -= 1
            self.broken |= failed
            self._look()
            if failed:
                self._news.notify_all()


def run_block(block: Any, place: tuple[int, ...], *args: Any) -> None:
    """Run the threads of a block, for ``BlockManager.run``; the first failure is raised."""
    kernel = importlib.import_module("numba.cuda.simulator.kernel")
    places = list(np.ndindex(*block._block_dim))
    meeting = Meeting(len(places))

    def work() -> None:
        failed = True
        try:
            block._f(*args)
            failed = False
        finally:
            meeting.leave(failed)

    threads = [kernel.BlockThread(work, block, place, own, block._debug) for own in places]
    for thread in threads:
        thread.syncthreads = meeting.wait
        thread.start()
    for thread in threads:
        thread.join()
    failures = [thread.exception for thread in threads if thread.exception]
    if failures:
        raise failures[0][0].with_traceback(failures[0][1])


def prepare_simulator() -> None:
    """Have the simulator keep shared arrays in :class:`Allocations` and meet in meetings."""
    shared = importlib.import_module("numba.cuda.simulator.kernelapi").FakeCUDAShared
    make = shared.__init__

    def init(self: Any, size: int) -> None:
        make(self, size)
        self._allocations = Allocations()

    shared.__init__ = init
    importlib.import_module("numba.cuda.simulator.kernel").BlockManager.run = run_block


def in_turn(ops: Sequence[streams.Op], many: int) -> list[streams.Job]:
    """Plan a program as if all its streams were one."""
    jobs = [op for op in ops if op.kind not in ("record", "wait")]
    return [streams.Job(op, -1, [at - 1] if at else []) for at, op in enumerate(jobs)]


def train(name: str, backend: str, driver: Any = None) -> tuple[Any, list[dict[str, Any]], int]:
    """Factors, spans and updates of a case."""
    data, chosen = problem(name), {**BRISK, **CASES[name]}
    cls = registry()[chosen.pop("key", name)]
    known = cls.hyper_parameters()
    solver = cls.make(**{k: v for k, v in chosen.items() if k in known or k not in BRISK})
    with Crew(solver.threads) as crew:
        context = make_context(solver, crew, backend=backend, driver=driver)
        for checkpoint in solver.iterate(data, context):
            updates = checkpoint.updates
        context.refresh()
        return context.factors, list(context.spans.drain(0, 1, context.names)), updates


def train_beside(name: str) -> tuple[Any, list[dict[str, Any]], int]:
    """What a case must come out as: of the CPU form, or of kernels in NumPy."""
    return train(name, "cuda", FakeDriver()) if name in BY_HAND else train(name, "cpu")


def main() -> None:
    """Train the cases that are named and print what came out."""
    sys.setswitchinterval(1e-4)  # many a thread waits for what another one stores
    prepare_simulator()
    found = {}
    for name in sys.argv[1:]:
        with mock.patch.object(streams, "plan", in_turn) if name in IN_TURN else nullcontext():
            wanted, _, updates = train_beside(name)
        factors, spans, _ = train(name, "cuda")
        pairs = [(getattr(factors, a), getattr(wanted, a)) for a in ("P", "Q", "bu", "bi")]
        found[name] = {
            "distance": max(
                float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs if b.any()
            ),
            "ratings": sum(s["ratings"] for s in spans),
            "wanted": updates,
            "lanes": sorted({s["lane"] for s in spans}),
            "clock": sorted({s["clock"] for s in spans}),
        }
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()

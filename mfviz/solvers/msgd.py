"""MSGD: one independent stream of updates a row, users and items in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.asgd import visit_rows
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.init import memory_parts
from mfviz.solvers.schedules import Schedule
from mfviz.solvers.sides import ITEMS, USERS, Side, Sweeper
from mfviz.solvers.two_copies import (
    NAMES,
    PARTS,
    WAITING,
    Copies,
    OnDevice,
    TwoCopies,
    copy_parts,
    device_parts,
    flat,
)
from mfviz.telemetry.memory import MemoryModel

__all__ = ["MSGD"]


class MSGD(TwoCopies):
    """Multi-stream SGD: ASGD's two phases, a warp a row on a GPU.

    Pseudo-code: *kernel M, for all users at once: keep p_u in registers, walk through the user's
    ratings, p_u ← p_u + γ(e q_i − λ p_u), write p_u; kernel N, for all items at once: the same
    with the new P.*

    "Multi-stream" means that each user and each item is an independent stream of updates, not a
    CUDA stream. The paper was not at hand; this follows its abstract and the DS-SGD supplement,
    and its memory is that of Table S1 there. On the CPU, workers take slices of rows.

    Memory: 24 N + 4 f (m + n) + 4 (m + n + 2): two copies of 12-byte triples.

    Reproducibility: exact; a row has one writer, and the end of a kernel is a barrier.
    """

    key = "msgd"
    title = "MSGD"
    paper = (
        "Li, Li, An, Li: MSGD: a novel matrix factorization approach for large-scale "
        "collaborative filtering recommender systems on GPUs, 2018 (reconstruction)"
    )
    equations = (
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u)\ \text{for } i \in \Omega_u\quad "
        r"\text{(kernel M)},\qquad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)\ \text{for } u \in \Omega_i\quad "
        r"\text{(kernel N)}"
    )
    reconstruction = True
    card = Card(
        brief="rows at once, two barriers",
        parallel="All rows of a side; on a GPU a warp, or a part of one, has a row.",
        synchronises="The end of each kernel: two barriers an epoch.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="10 f flops a rating and epoch, 24 + 8 f bytes: the own row stays in registers.",
        memory="24 N + 4 f (m + n) + 4 (m + n + 2) bytes: two sorted copies of 12-byte triples.",
        kernel="kernels.cuda.rows: 16-byte loads one rating ahead; on the CPU kernels.asgd.",
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact": neither workers nor chunks nor warps change a bit of the result."""
        return "exact"

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """One stream on a device; the workers on the CPU."""
        return super().lanes(backend) if backend == "cpu" else ("stream 0",)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Two copies and the model, on the device or on the host."""
        if backend != "cpu":
            return MemoryModel(tuple(device_parts(self, n_users, n_items, nnz, resident=True)))
        model = memory_parts(n_users, n_items, self.rank)
        parts = (*copy_parts(n_users, n_items, nnz), *model, Sweeper.part(self.workers))
        return MemoryModel(parts)

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        init_rng, _, order_rng = context.rng.spawn(3)
        factors, schedule = self.make_model(problem, context, init_rng)
        context.names = NAMES
        copies = Copies(self, problem, context, order_rng)
        self._make_room(problem, context)
        way = self._on_cpu if context.device is None else self._on_device
        steps = way(context, factors, copies, schedule)
        updates = next(steps)
        list(self.judge(schedule, problem, context, Checkpoint("chunk", 0, 0)))
        yield Checkpoint("epoch", 0, 0)

        for epoch in range(1, self.epochs + 1):
            while updates < 2 * epoch * problem.train.nnz:
                before, updates = updates, next(steps)
                if updates < 2 * epoch * problem.train.nnz:
                    # a look at a device that works on is no stop
                    yield Checkpoint("chunk", epoch, updates, running=updates == before)
            here = Checkpoint("chunk", epoch, updates)
            if schedule.needs_loss:
                context.refresh()
            yield from self.judge(schedule, problem, context, here)
            yield Checkpoint("epoch", epoch, updates)

    def _make_room(self, problem: Problem, context: Context) -> None:
        """Allocate what a visit needs beside the copies: here nothing."""

    def rates_of(self, tag: int, context: Context, factors: Factors, factor: float) -> Any:
        """Return what the CPU's kernel needs to visit the ratings of a side."""
        return self.rates(context, factors, factor)

    def _place(self, context: Context, factors: Factors, copies: Copies) -> OnDevice:
        """Put the model on the device."""
        return OnDevice(self, context, factors, copies.pointers)

    def _on_cpu(
        self, context: Context, factors: Factors, copies: Copies, schedule: Schedule
    ) -> Iterator[int]:
        """Set up, then visit side after side; yields the visits so far."""
        P, Q, bu, bi = factors.P, factors.Q, factors.bu, factors.bi
        sides = []
        for tag, X, Y, bx, by in ((USERS, P, Q, bu, bi), (ITEMS, Q, P, bi, bu)):
            records = copies.make(tag)
            index = records[("i", "u")[tag]]
            sides.append(Side(tag, X, Y, bx, by, copies.pointers[tag], index, records["r"]))
        sweeper, spans, updates = Sweeper(context, whole_rows=False), context.spans, 0
        yield 0
        for epoch, side in itertools.product(range(1, self.epochs + 1), sides):
            factor = schedule.factor(epoch)

            def kernel(
                worker: int, low: int, high: int, size: int, side: Side = side,
                factor: float = factor,
            ) -> None:  # fmt: skip
                rates = self.rates_of(side.tag, context, factors, factor)
                visit_rows(
                    side.X, side.Y, side.bx, side.by, side.indptr, side.index, side.r, 0, low,
                    high, size, 1 << 62, sweeper.counter, np.uint64(0), rates, sweeper.ends,
                    spans.rows, spans.fill, worker, side.tag,
                )  # fmt: skip

            for low, high in sweeper.sweep(side, kernel):
                updates += high - low
                yield updates

    def _on_device(
        self, context: Context, factors: Factors, copies: Copies, schedule: Schedule
    ) -> Iterator[int]:
        """Set up, then launch kernel after kernel; yields the visits so far."""
        device, ledger, sides = context.device, context.ledger, []
        assert device is not None
        for tag in (USERS, ITEMS):
            records = copies.make(tag)
            sides.append(device.send(PARTS[tag], flat(records), part=PARTS[tag]))
            del records
            ledger.free(PARTS[tag])  # the copy on the host
        there = self._place(context, factors, copies)
        nnz, updates = sides[USERS].shape[0] // 3, 0
        yield 0
        for epoch in range(1, self.epochs + 1):
            there.factor = schedule.factor(epoch)
            program = Program()
            for tag in (USERS, ITEMS):
                for low in range(0, nnz, min(nnz, context.chunk)):
                    high = min(nnz, low + context.chunk)
                    run = there.visit(tag, low, high, 0, sides[tag])
                    program.kernel(0, run, ratings=high - low, tag=tag)
            size = len(program.ops) if context.chunk >= nnz else 1
            for first in range(0, len(program.ops), size):
                part = program.ops[first : first + size]
                for _ in device.run(part, context.spans, WAITING):
                    yield updates
                updates += sum(op.ratings for op in part)
                yield updates

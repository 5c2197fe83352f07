"""DS-SGD-D: batches of ratings are copied while the batch before them is worked on."""

from __future__ import annotations

import param

from mfviz.backends.streams import Program
from mfviz.solvers.base import Card
from mfviz.solvers.dual_streams import PAPER, DualStreams, M, N
from mfviz.solvers.stream_engines import Engine
from mfviz.solvers.two_copies import BATCH

__all__ = ["DSSGDD"]

COPY = 2  # the stream of copies in asynchronous mode
BATCHES = 4  # of an epoch and side, as in the supplement
TRIPLE_BYTES = 12


class DSSGDD(DualStreams):
    """Dual-stream SGD batch by batch: the device holds two batches of each copy.

    Pseudo-code: *cut both sorted copies into batches; for each batch j of the users: stream M
    waits until batch j is in buffer j mod 2 and works on it, while batch j + 1 is copied into the
    other buffer, which waits until batch j − 1 is done; then the same for the items in stream N.
    The first batches of the next phase are copied while the last ones of this phase compute.*

    In alternate mode the stream that does not compute copies. In asynchronous mode both compute,
    and a third one copies for both. A row may begin in one batch and end in the next: the same
    stream visits them in order. The main paper was not at hand, and of several layouts of buffers
    that fit its memory table none could be identified: this one is a reconstruction.

    On the CPU the same schedule runs on threads, and batches are really copied, from memory or
    from a file.

    Memory: 48 B + 4 f (m + n) + 4 (m + n + 2) with B the ratings of a batch; all copies, 24 N a
    epoch, cross the bus.

    Reproducibility: exact in alternate mode, equal to DS-SGD-C and MSGD; else statistical.
    """

    key = "ds_sgd_d"
    title = "DS-SGD-D"
    paper = PAPER
    equations = (
        r"p_u \leftarrow p_u + \eta (e\,\tilde q_i - \lambda p_u),\ "
        r"q_i \leftarrow q_i + \eta (e\,\tilde p_u - \lambda q_i)\ \text{batch by batch},\qquad "
        r"\text{hidden if } 12 B / \text{bandwidth} \le t_{\text{batch}}"
    )
    buffered = True
    card = Card(
        brief="copies beside kernels, two streams",
        parallel="Rows of a side within a batch; batches are copied beside the computing ones.",
        synchronises="Events: a batch waits for its copy, a copy for the batch that it replaces.",
        conflicts="No lost updates, as each matrix has one writer; reads may be stale.",
        cost="10 f flops a rating and epoch, and 24 N bytes from the host.",
        memory="48 B + 4 f (m + n) + 4 (m + n + 2) bytes: two buffers a side (a reconstruction).",
        kernel="kernels.cuda.rows, the kernel of MSGD; on the CPU kernels.asgd.",
    )

    batch = param.Integer(
        0,
        bounds=(0, 2**31 - 1),
        doc="Ratings of a batch (0: a quarter of the training ratings, so that there are four).",
    )
    source = param.Selector(
        default="memory",
        objects=["memory", "file"],
        doc="Where the host keeps the copies that batches come from: memory, or a temporary file "
        "for ratings that memory does not hold.",
    )
    pinned = param.Boolean(
        True,
        doc="On a GPU, keep the copies in pinned memory; off shows why overlap needs it. The CPU "
        "has no such memory.",
    )

    def ranges(self, nnz: int) -> list[tuple[int, int]]:
        """Return the ranges of the batches."""
        size = self.batch or -(-nnz // BATCHES)
        return [(low, min(nnz, low + size)) for low in range(0, nnz, size)]

    @property
    def from_disk(self) -> bool:
        """Whether batches come from a file."""
        return bool(self.source == "file")

    @property
    def threads(self) -> int:
        """Threads that compute, and one that copies."""
        return int(self.workers) + 1

    def program(self, engine: Engine, nnz: int, chunk: int, epoch: int) -> Program:
        """Write down an epoch: visits of batches, and copies of the batches to come.

        The first epoch begins with copies; the last one copies nothing ahead.
        """
        issue = _Issue(self, engine, nnz, chunk, epoch)
        (issue.alternate if self.mode == "alternate" else issue.asynchronous)()
        return issue.program


class _Issue:
    """Issues the operations of an epoch, with the events between them.

    A *place* counts the batches of a side through all epochs, so that they take turns in its two
    buffers without a break.
    """

    def __init__(self, solver: DSSGDD, engine: Engine, nnz: int, chunk: int, epoch: int) -> None:
        self.solver, self.engine, self.chunk = solver, engine, chunk
        self.batches = solver.ranges(nnz)
        self.first, self.stop = (epoch - 1) * len(self.batches), epoch * len(self.batches)
        self.end = solver.epochs * len(self.batches)  # of the last epoch
        self.program = Program()

    def alternate(self) -> None:
        """Users, then items; each phase copies the first batches of the next one ahead."""
        if self.first == 0:
            self.copy(M, 0, by=N)
            self.copy(M, 1, by=N)
        for tag, other, ahead in ((M, N, self.first), (N, M, self.stop)):
            self.program.wait(tag, ("phase", other))
            for place in range(self.first, self.stop):
                if place == max(self.first, self.stop - 2):  # the last two are left
                    self.copy(other, ahead, by=other)
                    self.copy(other, ahead + 1, by=other)
                self.visit(tag, place)
                if place + 2 < self.stop:
                    self.copy(tag, place + 2, by=other)
            self.program.record(tag, ("phase", tag))

    def asynchronous(self) -> None:
        """Both sides at once; what has to wait for the last batch is left to the next epoch."""
        for place in (0, 1) if self.first == 0 else (self.first + 1,):
            for tag in (M, N):
                self.copy(tag, place, by=COPY)
        for place in range(self.first, self.stop):
            for tag in (M, N):
                self.visit(tag, place)
            for tag in (M, N) if place + 1 < self.stop else ():
                self.copy(tag, place + 2, by=COPY)

    def copy(self, tag: int, place: int, by: int) -> None:
        """Copy a batch into its buffer, when the batch that is there has been visited."""
        if place >= self.end:
            return
        batch, buffer = place % len(self.batches), 2 * tag + place % 2
        low, high = self.batches[batch]
        self.program.wait(by, ("visited", buffer))
        self.program.copy(
            by, self.engine.send(tag, batch, buffer), bytes=TRIPLE_BYTES * (high - low),
            tag=BATCH + tag, block=(batch, buffer),
        )  # fmt: skip
        self.program.record(by, ("copied", buffer))

    def visit(self, tag: int, place: int) -> None:
        """Visit a batch when it has been copied."""
        batch, buffer = place % len(self.batches), 2 * tag + place % 2
        self.program.wait(tag, ("copied", buffer))
        self.solver.kernels(
            self.program, self.engine, tag, self.batches[batch], (batch, buffer), self.chunk
        )
        self.program.record(tag, ("visited", buffer))

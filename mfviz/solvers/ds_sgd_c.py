"""DS-SGD-C: all ratings resident, users and items in a stream each."""

from __future__ import annotations

from mfviz.backends.streams import Program
from mfviz.solvers.base import Card
from mfviz.solvers.dual_streams import PAPER, DualStreams, M, N
from mfviz.solvers.stream_engines import Engine

__all__ = ["DSSGDC"]


class DSSGDC(DualStreams):
    """Dual-stream SGD with all ratings on the device.

    Pseudo-code: *upload both sorted copies once; each epoch, in stream M: for all users at once,
    p_u ← p_u + γ(e q_i − λ p_u) rating by rating; in stream N: the same for the items; alternate
    mode: stream N waits for an event of stream M, and the next epoch for one of stream N.*

    In asynchronous mode both kernels are in flight: each matrix has one writer, and what a kernel
    reads of the other matrix may be old, new or half of each. The main paper was not at hand; what
    is not in its supplement is a reconstruction.

    Memory: 24 N + 4 f (m + n) + 4 (m + n + 2), as MSGD; the two have equal rows in Table S1.

    Reproducibility: exact in alternate mode, equal to MSGD bit for bit; else statistical.
    """

    key = "ds_sgd_c"
    title = "DS-SGD-C"
    paper = PAPER
    equations = (
        r"p_u \leftarrow p_u + \eta (e\,\tilde q_i - \lambda p_u)\ \text{in stream M},\qquad "
        r"q_i \leftarrow q_i + \eta (e\,\tilde p_u - \lambda q_i)\ \text{in stream N},\qquad "
        r"0 < \eta < \tfrac{1}{2\mu}"
    )
    card = Card(
        brief="a side a stream, side by side",
        parallel="All users in one stream and all items in the other, at the same time.",
        synchronises="The end of an epoch; in alternate mode an event between the two kernels.",
        conflicts="No lost updates, as each matrix has one writer; reads may be stale.",
        cost="10 f flops a rating and epoch, as MSGD.",
        memory="24 N + 4 f (m + n) + 4 (m + n + 2) bytes, as MSGD: reproduces Table S1.",
        kernel="kernels.cuda.rows, the kernel of MSGD, in two streams; on the CPU kernels.asgd.",
    )

    def program(self, engine: Engine, nnz: int, chunk: int, epoch: int) -> Program:
        """Write down an epoch: a kernel in each stream."""
        program = Program()
        for tag in (M, N):
            if self.mode == "alternate":
                program.wait(tag, ("done", 1 - tag))
            self.kernels(program, engine, tag, (0, nnz), (0, 2 * tag), chunk)
            program.record(tag, ("done", tag))
        return program

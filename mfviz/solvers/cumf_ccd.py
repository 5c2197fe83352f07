"""cuMF_CCD: CCD++ with fused loops, tiles of the gathered side, and rows in bins by length."""

from __future__ import annotations

from collections.abc import Iterator

import param

from mfviz.data.problem import Problem
from mfviz.kernels.cuda.ccd import THREADS
from mfviz.solvers.base import Card, Checkpoint, Context
from mfviz.solvers.binned_passes import BinnedPasses, binned_parts
from mfviz.solvers.featurewise import Featurewise
from mfviz.solvers.init import memory_parts
from mfviz.telemetry.memory import MemoryModel

__all__ = ["CuMFCCD"]

WAIT = 2  # tag
WHOLE = 1 << 62  # a chunk that nobody asked for


class CuMFCCD(Featurewise):
    """Coordinate descent feature by feature for GPUs: one pass an order, threads by row length.

    Pseudo-code: *for each feature t, for all items at once: in one pass over an item's ratings
    take feature t − 1 off the residual, add feature t back, and sum R w and w²; h_i is their
    quotient; barrier; the same for all users with the new h. Rows of like length are in one bin,
    with 1 to 32 or 128 threads a row, and each bin in a stream of its own. Where the other side is
    long, a pass comes tile by tile, so that what it gathers from stays in cache.*

    The residual lies by user and by item, sorted by the other side. It is not computed anew, so
    that float32 additions make it drift; how far is told as a measurement, on a GPU of a sample of
    the ratings. With ``biases``, which the paper has none of, an epoch
    begins with the best bias of each item, then of each user. On the CPU the same passes are
    ``ccdpp``'s, a slice of rows a worker.

    Memory on a GPU: 16 N for residual and indices, 4 k (m + n) for the features, 4 n for the
    items' old one, and 20 (m + n) for where rows and tiles begin and for the bins; 8 (m + n) more
    for each further tile and as much for sums.

    Reproducibility: exact, whatever the workers; a row has one writer.
    """

    key = "cumf_ccd"
    title = "cuMF_CCD"
    paper = (
        "Nisa, Sukumaran-Rajam, Kunchum, Sadayappan: Parallel CCD++ on GPU for matrix "
        "factorization, GPGPU-10, 2017"
    )
    equations = (
        r"\hat R \leftarrow \hat R - w_{t-1} h_{t-1}^\top + w_t h_t^\top,\ "
        r"h_i = \frac{\sum_{u\in\Omega_i} \hat R_{ui} w_u}{\lambda n_i + \sum_u w_u^2}\ "
        r"\text{in one pass;}\quad "
        r"w_u = \frac{\sum_{i\in\Omega_u} \hat R_{ui} h_i}{\lambda n_u + \sum_i h_i^2}"
    )
    backends = ("cpu", "cuda")
    card = Card(
        brief="rows by length, a stream each bin",
        parallel="All rows of a feature and side; 1 to 128 threads a row, a stream a bin of rows.",
        synchronises="All streams after the items and after the users of a feature: 2 f an epoch.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="About 16 f flops a rating; two passes a feature, bound by gathers.",
        memory="16 N for the residual in both orders, 4 k (m + n) for the features.",
        kernel="kernels.cuda.ccd: fused loops by 1 to 128 threads; on the CPU kernels.ccdpp.",
    )
    published = {
        "cuMF_CCD, Netflix": {"rank": 40, "lam": 0.058, "epochs": 10},
        "cuMF_CCD, Yahoo! Music": {"rank": 40, "lam": 1.2, "epochs": 10},
    }

    tile = param.Integer(
        100_000,
        bounds=(1, 2**31 - 1),
        doc="Rows of the other side that a pass on a GPU gathers from at a time.",
    )
    each = param.Integer(
        8,
        bounds=(1, 1024),
        doc="Ratings a thread of a row on a GPU, before the row gets twice as many threads.",
    )

    check_residual = param.Integer(
        10,
        bounds=(0, 10_000),
        doc="Epochs after which it is told how far the residual has drifted; 0: never.",
    )

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """A stream for each bin of rows on a device; the workers on the CPU."""
        if backend == "cpu":
            return super().lanes(backend)
        return tuple(f"stream of {k} thread{'s' if k > 1 else ''} a row" for k in THREADS)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Residual in both orders, and the features, on the device or on the host."""
        if backend == "cpu":
            return super().memory(n_users, n_items, nnz, backend)
        there = binned_parts(self, n_users, n_items, nnz)
        return MemoryModel((*there, *memory_parts(n_users, n_items, self.rank)))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        if context.device is None:
            yield from super().iterate(problem, context)
            return
        context.names = ("users", "items", "wait", "biases of users", "biases of items")
        factors = self.start_model(problem, context)
        passes = BinnedPasses(self, problem, context, factors)
        visits, whole = 0, context.chunk >= WHOLE
        yield Checkpoint("epoch", 0, 0)
        passes.clear_empty_rows()
        for epoch in range(1, self.epochs + 1):
            last = 2 * epoch * problem.train.nnz
            for ops in passes.epoch(whole=whole):
                for _ in context.device.run(ops, context.spans, WAIT):
                    yield Checkpoint("chunk", epoch, visits, running=True)
                visits += sum(op.ratings for op in ops)
                if visits < last:
                    yield Checkpoint("chunk", epoch, visits)
            if self.check_residual and epoch % self.check_residual == 0:
                passes.check(epoch)
            yield Checkpoint("epoch", epoch, visits)

"""cuMF_ALS: Gram matrices from tiles in registers, then Cholesky or conjugate gradients."""

from __future__ import annotations

from typing import Any

import param

from mfviz.solvers.base import Card
from mfviz.solvers.device_systems import DeviceSystems
from mfviz.solvers.row_systems import RowSystems

__all__ = ["CuMFALS"]


class CuMFALS(DeviceSystems):
    """Exact or approximate ALS for GPUs: the systems of many rows are summed, then solved.

    Pseudo-code: *for each batch of users: a block sums A_u = Σ q_i q_iᵀ, 32 rows of Q at a time in
    shared memory, a thread an 8 × 8 tile of the lower triangle in its registers; then a block
    solves (A_u + λ n_u I) p_u = Σ r q_i, a thread a feature: by Cholesky, or by a few steps of
    conjugate gradients from the old p_u; barrier; the same for the items.*

    Systems are divided by the number of a row's ratings, so that A fits half precision, which
    halves what conjugate gradients read; arithmetic is float32. Where the systems of all rows are
    more than ``batch`` allows, rows come in batches. The paper has rank 100, tiles of 10 × 10,
    right-hand sides from cuSPARSE and LU from cuBLAS; here they are 8 × 8 for any rank, summed
    beside the tiles, and Cholesky. With ``biases``, which it has none of, a row's bias is set
    first, as in ``als``.

    On the CPU a worker has a row, and sums and solves as ``als`` does; by conjugate gradients A is
    stored and rounded as on a GPU.

    Memory on a GPU: 16 N + 8 (m + n + 2) for the ratings, 4 f (m + n) for the model, and
    4 f² + 4 f a row of a batch (2 f² + 4 f in half precision).

    Reproducibility: exact; a row has one writer and reads only the other side.
    """

    key = "cumf_als"
    title = "cuMF_ALS"
    paper = (
        "Tan, Cao, Fong: Faster and cheaper: parallelizing large-scale matrix factorization on "
        "GPUs, 2016 (arXiv:1603.03820); Tan et al. 2018 (arXiv:1808.03843) for cg and halves"
    )
    equations = (
        r"A_u = \tfrac{1}{n_u}\sum_{i\in\Omega_u} q_i q_i^\top\ \text{(tiles; half)},\quad "
        r"(A_u + \lambda I)\,p_u = \tfrac{1}{n_u}\sum_{i\in\Omega_u} r_{ui}\, q_i,\quad "
        r"\text{items likewise}"
    )
    card = Card(
        brief="a row a thread block, in batches",
        parallel="A block a row, a thread a tile of its Gram matrix; on the CPU a worker a row.",
        synchronises="The end of each kernel: two a batch of rows, and users before items.",
        conflicts="None: a row has one writer, and the other side is only read.",
        cost="N f² + (m + n) f³ / 3 flops a side with Cholesky; with cg (m + n) f² steps for f³.",
        memory="16 N bytes of ratings, the factors, and 4 f² a row of a batch (2 f² in halves).",
        kernel="kernels.cuda.als: 64 sums a thread in registers; on the CPU kernels.als and cg.",
    )
    published = {
        "cuMF_ALS, Netflix": {"rank": 100, "lam": 0.048},
        "cuMF_ALS, MovieLens 10M": {"rank": 100, "lam": 0.05},
        "cuMF_ALS, Yahoo! Music": {"rank": 100, "lam": 1.4},
    }

    cg_steps = param.Integer(6, bounds=(1, 4096), doc=RowSystems.param.cg_steps.doc)
    precision = param.Selector(
        default="single",
        objects=["single", "half"],
        doc="What cg keeps its systems in; half moves half the bytes. Cholesky keeps single.",
    )
    batch = param.Integer(
        0,
        bounds=(0, 2**31 - 1),
        doc="Rows whose systems a GPU holds at a time (0: as many as 256 MiB hold, or fewer where "
        "its free memory asks for that).",
    )

    def room_for(self, n_users: int, n_items: int, nnz: int, free: int) -> dict[str, Any]:
        """Take smaller batches of rows, unless their size is set."""
        rows = 0 if self.batch else self.rows_of(n_users, n_items) - 1
        while rows > 0:
            if (
                type(self)(**{**self.settings(), "batch": rows}).needs(n_users, n_items, nnz)
                <= free
            ):
                return {"batch": rows}
            rows -= max(1, rows // 16)
        return {}

    @property
    def stored(self) -> str:
        """Precision that a row's system is stored in."""
        return str(self.precision) if self.solve == "cg" else ""

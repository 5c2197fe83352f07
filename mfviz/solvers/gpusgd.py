"""GPUSGD: strata on two levels, as a GPU has thread blocks and threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import param

from mfviz.backends.streams import Program
from mfviz.data.problem import Problem
from mfviz.kernels.cuda.rows import width_of
from mfviz.kernels.cuda.strata import visit_strata
from mfviz.solvers.base import Card, Context, Factors
from mfviz.solvers.device_model import DeviceModel, model_parts
from mfviz.solvers.init import memory_parts
from mfviz.solvers.stochastic import NAMES
from mfviz.solvers.stratified import LOOK, Blocks, Engine, StratifiedSGD, stratum_schedule
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["GPUSGD", "two_level_schedule"]

Int64 = npt.NDArray[np.int64]
WAIT = NAMES.index("wait")
RATINGS = "ratings"


class GPUSGD(StratifiedSGD):
    """Stratified SGD on two levels, as a GPU has thread blocks and threads.

    Pseudo-code: *deal users and items to G blocks each, and those of a block to T parts; each
    epoch, for each of G strata, as one kernel: thread block g has the block (g, σ(g)), and for
    each of T strata of its own T × T grid thread t visits the ratings of the part (t, τ(t)), one
    by one; all threads of the block wait.*

    Both levels together are strata of one grid of d = G T blocks a side, so that the CPU runs it
    as ``dsgd`` does, by d barriers an epoch. The paper was not at hand: this follows its abstract
    and the DS-SGD supplement. Blocks are not padded to one length; who has fewer ratings waits.
    Unlike ``dsgd``, the ratings of a block keep the order that they are once shuffled into.

    Memory: 12 N + 4 (f + 1)(m + n), and 16 d² for the places of the blocks and the strata.

    Reproducibility: exact for a given grid: blocks of a stratum share no factor.
    """

    key = "gpusgd"
    title = "GPUSGD"
    paper = (
        "Jin, Lai, Hu, Lin, Lin: GPUSGD: a GPU-accelerated stochastic gradient descent algorithm "
        "for matrix factorization, 2016 (reconstruction)"
    )
    equations = (
        r"Z_{s,t} = \{(gT + a,\ \sigma_s(g)\,T + \tau_t(a)) : g < G,\ a < T\},\quad "
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u),\quad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)\quad "
        r"\text{for } (u,i) \in Z_{s,t}"
    )
    backends = ("cpu", "cuda")
    reconstruction = True
    reshuffles = False
    card = Card(
        brief="strata of blocks and of threads",
        parallel="G thread blocks of T threads: all blocks of a stratum, a rating a thread.",
        synchronises="A barrier of each thread block after each of T strata; a kernel for each of "
        "G: d = G T barriers an epoch.",
        conflicts="None: blocks of a stratum share no row and no column; unequal ones cost waits.",
        cost="8 f flops and 12 + 16 f bytes a rating; idle threads wait for the longest block.",
        memory="12 N + 4 (f + 1)(m + n) bytes and 16 d² for grid and schedule.",
        kernel="kernels.cuda.strata: a thread a rating, 16-byte loads; on the CPU kernels.strata.",
    )

    grid = param.Integer(8, bounds=(1, 64), doc="Blocks along each side of the outer grid, G.")
    threads_a_block = param.Integer(
        8, bounds=(1, 64), doc="Parts along each side of a block, T: threads of a thread block."
    )

    @property
    def blocks_a_side(self) -> int:
        """Row blocks, column blocks and strata of both levels together, d."""
        return int(self.grid * self.threads_a_block)

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at; on a device each width has its own."""
        return width_of(self.rank)

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact", for this grid."""
        return "exact"

    def lanes(self, backend: str = "cpu") -> tuple[str, ...]:
        """One stream on a device; the workers on the CPU."""
        return super().lanes(backend) if backend == "cpu" else ("stream 0",)

    def draw_strata(self, rng: np.random.Generator) -> Int64:
        """Draw the strata of an epoch, on both levels."""
        return two_level_schedule(self.strata, int(self.grid), int(self.threads_a_block), rng)

    def engine(
        self, problem: Problem, context: Context, factors: Factors, rng: np.random.Generator,
        seed: np.uint64,
    ) -> Engine:  # fmt: skip
        """Lay the ratings out for the crew, or for a device."""
        blocks = Blocks(self, problem, context, factors, rng)
        blocks.shuffle(seed)
        return blocks if context.device is None else _OnDevice(self, context, factors, blocks)

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """Ratings in the order of blocks, the model, grid and schedule."""
        if backend == "cpu":
            return super().memory(n_users, n_items, nnz, backend)
        f = width_of(self.rank)
        parts = (
            MemoryPart(RATINGS, "ratings by user", "device", "12 N", 12 * nnz),
            *model_parts(n_users, n_items, f, biased=self.biases),
            *self.grid_parts("device"),
            *self.grid_parts(),
            *memory_parts(n_users, n_items, self.rank),
        )
        return MemoryModel(parts)


def two_level_schedule(kind: str, G: int, T: int, rng: np.random.Generator) -> Int64:
    """Return the strata of a G × G grid whose blocks are T × T grids: (G T, G T) int64.

    Parameters
    ----------
    kind : str
        Of both levels; see :func:`~mfviz.solvers.stratified.stratum_schedule`.
    G, T : int
    rng : numpy.random.Generator
    """
    outer, inner = (stratum_schedule(kind, size, rng) for size in (G, T))
    return (T * outer[:, None, :, None] + inner[None, :, None, :]).reshape(G * T, G * T)


class _OnDevice:
    """The blocks on a device, a kernel for each outer stratum."""

    def __init__(self, solver: GPUSGD, context: Context, factors: Factors, blocks: Blocks) -> None:
        assert context.device is not None
        self.solver, self.context, self.device = solver, context, context.device
        self.strata, self._places = blocks.strata, blocks.offsets
        send, records = self.device.send, blocks.records
        self._triples = send(RATINGS, records.view(np.int32), part="ratings by user")
        context.ledger.free(RATINGS)  # they have moved
        self._offsets = send("block offsets", self._places, part="workspace")
        self._strata = send("strata", self.strata, part="workspace")
        self.model = DeviceModel(context, factors, width_of(factors.rank))

    def run(self, seed: np.uint64, factor: float) -> Iterator[tuple[str, int]]:
        """Send the strata, then visit them; yields after each one of the outer grid, or sooner."""
        d = len(self.strata)
        visits = np.diff(self._places)[np.arange(d) * d + self.strata].sum(axis=1)
        low = 0
        while low < d:
            high = low + 1  # finer than an outer stratum only where a chunk is asked for
            last = (low // self._threads + 1) * self._threads
            while high < last and visits[low : high + 1].sum() <= self.context.chunk:
                high += 1
            program = Program()
            if low == 0:
                program.copy(0, self._send_strata, bytes=self.strata.nbytes)
            program.kernel(0, self._launch(low, high, factor), ratings=int(visits[low:high].sum()))
            for _ in self.device.run(program.ops, self.context.spans, WAIT):
                yield LOOK, 0
            yield ("stratum" if high == last else "chunk"), int(visits[low:high].sum())
            low = high

    @property
    def _threads(self) -> int:
        return int(self.solver.threads_a_block)

    def _send_strata(self, stream: Any) -> None:
        self.device.driver.upload(self._strata, self.strata, stream)

    def _launch(self, low: int, high: int, factor: float) -> Any:
        model, triples = self.model, self._triples
        values = triples.view(np.float32)
        bu, bi = model.biases or [values, values]  # or unused

        def launch(stream: Any) -> None:
            rates = self.solver.rates(self.context, model.factors, factor)
            self.device.driver.launch(
                visit_strata.name, model.width, int(self.solver.grid), self._threads, stream,
                (
                    *model.X, bu, bi, triples, values, self._offsets, self._strata,
                    np.int64(low), np.int64(high),
                    rates.mu, rates.lr, rates.lam, rates.lr_bias, rates.lam_bias, rates.biased,
                ),
            )  # fmt: skip

        return launch

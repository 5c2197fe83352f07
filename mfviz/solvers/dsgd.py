"""DSGD: strata of blocks that share no row and no column, with a barrier after each stratum."""

from __future__ import annotations

import param

from mfviz.solvers.base import Card
from mfviz.solvers.schedules import SCHEDULES
from mfviz.solvers.stochastic import BiasedSolver
from mfviz.solvers.stratified import StratifiedSGD

__all__ = ["DSGD"]


class DSGD(StratifiedSGD):
    """Stratified SGD: d × d blocks, d strata an epoch, all blocks of a stratum at once.

    Pseudo-code: *deal users and items to d row blocks and d column blocks at random; each epoch,
    for each of d strata: worker w runs sgd on the block of each of its row blocks; all wait.*

    Row block ``row`` belongs to worker ``row mod workers`` all the time, so its part of P stays
    with one core and the blocks of Q move. Each block is shuffled afresh, by the epoch's seed,
    before it is visited: that makes the result the same as that of one serial order.

    Memory: 12 N + 4 (f + 1)(m + n) as sgd, 8 d² for the schedule of strata and 8 (d² + 1) for the
    blocks' places.

    Its form for GPUs is ``gpusgd``, with strata on a second level for the threads of a block.

    Reproducibility: exact for a given grid, whatever the workers, as blocks of a stratum share no
    factor; statistical without barriers (the racy teaching switch) and several workers.
    """

    key = "dsgd"
    title = "DSGD"
    paper = (
        "Gemulla, Nijkamp, Haas, Sismanis: Large-scale matrix factorization with distributed "
        "stochastic gradient descent, 2011"
    )
    equations = (
        r"Z_s = \{(w, \sigma_s(w)) : w = 1..d\},\quad "
        r"p_u \leftarrow p_u + \gamma (e\,q_i - \lambda p_u),\quad "
        r"q_i \leftarrow q_i + \gamma (e\,p_u - \lambda q_i)\quad "
        r"\text{for } (u,i) \in Z_s,\ s = 1..d"
    )
    card = Card(
        brief="strata of blocks, barriers between",
        parallel="The d blocks of a stratum: they share no user and no item.",
        synchronises="All workers wait at a barrier after each of the d strata of an epoch.",
        conflicts="None while the barrier is on; unequal blocks cost waiting instead.",
        cost="8 f flops a rating; time is the sum over strata of the slowest worker's ratings.",
        memory="12 N + 4 (f + 1)(m + n) bytes and 16 d² for grid and schedule.",
        kernel="kernels.strata: the loop of sgd, rows in registers, on blocks; barriers inside.",
    )

    grid = param.Integer(8, bounds=(1, 256), doc="Blocks along each side, d; d strata an epoch.")
    barrier = param.Boolean(
        True, doc="Wait after each stratum (off: workers race into each other's columns)."
    )
    schedule = param.Selector(
        default="bold", objects=list(SCHEDULES), doc=BiasedSolver.param.schedule.doc
    )

    def determinism(self, backend: str = "cpu") -> str:
        """Return "exact" with barriers, for this grid and any workers."""
        return "exact" if self.barrier or self.workers == 1 else "statistical"

    @property
    def blocks_a_side(self) -> int:
        """Row blocks, column blocks and strata, d."""
        return int(self.grid)

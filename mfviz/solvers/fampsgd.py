"""FAMPSGD: MSGD with steps of fractional order that slow down where errors were large."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import param

from mfviz.data.problem import Problem
from mfviz.kernels.cuda.rows import visit_rows_fractional
from mfviz.kernels.fractional import Fractional
from mfviz.solvers.base import Card, Checkpoint, Context, Factors
from mfviz.solvers.msgd import MSGD
from mfviz.solvers.two_copies import Copies, OnDevice
from mfviz.telemetry.memory import MemoryModel, MemoryPart

__all__ = ["FAMPSGD"]

ERRORS = ("squared errors by user", "squared errors by item")
ORDERS = ("1", "3/4", "1/2", "1/4")


class FAMPSGD(MSGD):
    """MSGD by fractional calculus: large features take larger steps, noisy ratings smaller ones.

    Pseudo-code: *as MSGD, but a visit of a rating is η = γ / √(ε + s), s ← s + e², and
    p_u ← p_u + η (e q_i − λ p_u) ⊙ (1 + κ |p_u|^(1 − ν) / Γ(2 − ν)); both sorted copies have an s
    for each rating.*

    The equations of the paper were not at hand. This takes the step of fractional SGD (Khan et
    al., 2019) and, for the adaptive rate, AdaError (Li et al., 2018), whose sums fit the 8 bytes a
    rating by which FAMPSGD's row in Table S1 of the DS-SGD supplement exceeds MSGD's; what else
    that row holds is not known. Orders ν come in quarters, so that square roots do. With κ = 0 and
    without adaptive rates it is MSGD. Biases, which are none of the papers', move as in MSGD.

    Memory: 32 N + 4 f (m + n) + 4 (m + n + 2): that of MSGD and 4 bytes a rating of each copy.

    Reproducibility: exact; a row has one writer, and the end of a kernel is a barrier.
    """

    key = "fampsgd"
    title = "FAMPSGD"
    paper = (
        "Elahi, Fazlali, Malazi, Elahi: Parallel fractional stochastic gradient descent with "
        "adaptive learning for recommender systems, 2024 (reconstruction)"
    )
    equations = (
        r"p_u \leftarrow p_u + \frac{\gamma}{\sqrt{\varepsilon + s_{ui}}}\,"
        r"(e\,q_i - \lambda p_u) \odot \Bigl(1 + \frac{\kappa\,|p_u|^{1-\nu}}{\Gamma(2-\nu)}\Bigr)"
        r",\quad s_{ui} \leftarrow s_{ui} + e^2,\quad q_i\ \text{likewise}"
    )
    card = Card(
        brief="rows at once, fractional steps",
        parallel="All rows of a side; on a GPU a warp, or a part of one, has a row.",
        synchronises="The end of each kernel: two barriers an epoch, as MSGD.",
        conflicts="None: a row and the sums of its ratings have one writer.",
        cost="Some 20 f flops a rating and epoch with the roots, 40 + 8 f bytes.",
        memory="32 N + 4 f (m + n) + 4 (m + n + 2) bytes: MSGD's and a sum a rating and copy.",
        kernel="kernels.cuda.rows, that of MSGD with other steps; on the CPU kernels.fractional.",
    )

    lr = param.Number(
        0.12,
        bounds=(0.0, 10.0),
        doc="Learning rate γ of the first epoch, before the root of ε and errors divides it.",
    )
    order = param.Selector(
        default="1/2", objects=list(ORDERS), doc="Order ν of the derivative, in quarters."
    )
    kappa = param.Number(
        0.1, bounds=(0.0, 10.0), doc="Weight κ of the fractional part (0: plain steps)."
    )
    adaptive = param.Boolean(
        True, doc="Divide the rate of a rating by the root of its squared errors so far."
    )
    offset = param.Number(
        4.0, bounds=(1e-6, 1e6), doc="ε: what these squared errors are added to."
    )

    _errors: list[Any]

    def memory(self, n_users: int, n_items: int, nnz: int, backend: str = "cpu") -> MemoryModel:
        """What MSGD holds, and the squared errors of each rating and copy."""
        place = "host" if backend == "cpu" else "device"
        more = (MemoryPart(name, "workspace", place, "4 N", 4 * nnz) for name in ERRORS)
        return MemoryModel((*super().memory(n_users, n_items, nnz, backend).parts, *more))

    def iterate(self, problem: Problem, context: Context) -> Iterator[Checkpoint]:
        """Train; see :meth:`mfviz.solvers.base.Solver.iterate`."""
        try:
            yield from super().iterate(problem, context)
        finally:
            self._errors = []  # the solver outlives the run, and would keep them on the device

    @property
    def _growth(self) -> tuple[np.float32, int]:
        """Weight of the fractional part, and the power of features in quarters."""
        power = 1 - Fraction(self.order)
        return np.float32(self.kappa / math.gamma(1.0 + power)), int(4 * power)

    def _make_room(self, problem: Problem, context: Context) -> None:
        if context.device is not None:
            zeros = np.zeros(problem.train.nnz, np.float32)
            self._errors = [context.device.send(name, zeros, part="workspace") for name in ERRORS]
            return
        nnz, empty = problem.train.nnz, context.ledger.empty
        self._errors = [empty(name, nnz, np.float32, fill=0.0) for name in ERRORS]

    def rates_of(self, tag: int, context: Context, factors: Factors, factor: float) -> Fractional:
        """Return what the CPU's kernel needs to visit the ratings of a side."""
        rates, (share, quarters) = self.rates(context, factors, factor), self._growth
        offset, adaptive = np.float32(self.offset), bool(self.adaptive)
        return Fractional(*rates[:6], share, quarters, offset, adaptive, self._errors[tag])

    def _place(self, context: Context, factors: Factors, copies: Copies) -> OnDevice:
        share, quarters = self._growth
        rest = (np.float32(self.offset), bool(self.adaptive), share, np.int64(quarters))
        errors, name = self._errors, visit_rows_fractional.name
        return OnDevice(
            self, context, factors, copies.pointers, name, lambda tag: (errors[tag], *rest)
        )

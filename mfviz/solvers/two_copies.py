"""Two sorted copies of the ratings, by user and by item: what MSGD and DS-SGD have in common.

A copy holds 12-byte triples (u, i, r), as Table S1 of the DS-SGD supplement has them. One side's
rows walk through their ratings while the other side is read, as in ASGD; the solvers differ in
where the copies lie and in when the sides move.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import param

from mfviz.data.problem import Problem
from mfviz.kernels.als import group_by_row
from mfviz.kernels.cuda.rows import WIDEST, grid, visit_rows, width_of
from mfviz.kernels.order import TRIPLE
from mfviz.kernels.rows import name_rows, shuffle_rows
from mfviz.solvers.base import Context, Factors
from mfviz.solvers.device_model import DeviceModel, model_parts
from mfviz.solvers.init import memory_parts
from mfviz.solvers.sides import USERS
from mfviz.solvers.stochastic import BiasedSolver, Records, draw_seed
from mfviz.telemetry.memory import MemoryPart

__all__ = [
    "BATCH", "NAMES", "PARTS", "WAITING", "Copies", "OnDevice", "TwoCopies", "copy_parts",
    "device_parts", "flat", "on_disk", "pointer_part",
]  # fmt: skip

NAMES = ("users", "items", "wait", "loss", "batch of users", "batch of items")
WAITING, BATCH = 2, 4  # tags of waits and of the copy of a batch of users
PARTS = ("ratings by user", "ratings by item")
MOST = 2**31 - 1  # ratings that 4-byte row pointers can count


class TwoCopies(BiasedSolver):
    """Base of the solvers that keep the ratings twice, sorted by user and by item."""

    backends = ("cpu", "cuda")
    two_sided = True
    biases = param.Boolean(
        False, doc="Train a bias for each user and item beside the factors (off: p·q and μ)."
    )
    shuffle = param.Boolean(
        True, doc="Put each row's ratings in a random order once, in the set-up (off: file order)."
    )

    def supports(self, problem: Problem, backend: str = "cpu") -> str | None:
        """Return None, or why not; on a device a row has to fit the registers of a warp."""
        if problem.train.nnz > MOST:
            return f"{self.title} counts ratings with 4 bytes: at most {MOST:,}; take fpsgd."
        if backend == "cuda" and self.rank > WIDEST:
            return f"{self.title} keeps rows in registers on CUDA: take a rank of up to {WIDEST}."
        return super().supports(problem, backend)

    @property
    def kernel_rank(self) -> int:
        """Rank to compile the kernels at; on a device each width has its own."""
        return min(width_of(self.rank), WIDEST)


class Copies:
    """The two copies on the host, with the places of their rows.

    Parameters
    ----------
    solver : TwoCopies
    problem : Problem
    context : Context
        Its ledger takes the arrays.
    rng : numpy.random.Generator
        Draws the order of each row's ratings.
    allocate : callable, optional
        ``allocate(name, nnz, part)`` makes room for a copy; the ledger does it by default.

    Attributes
    ----------
    pointers : (m + 1,), (n + 1,) int32
        Place of each row's first rating, by side.
    """

    def __init__(
        self,
        solver: TwoCopies,
        problem: Problem,
        context: Context,
        rng: np.random.Generator,
        allocate: Callable[[str, int, str], Records] | None = None,
    ) -> None:
        self._problem, self._context = problem, context
        self._allocate = allocate or self._by_ledger
        m, n = problem.n_users, problem.n_items
        both = context.ledger.empty("row pointers", m + n + 2, np.int32)
        self.pointers = (both[: m + 1], both[m + 1 :])
        self._seeds = [draw_seed(rng) if solver.shuffle else None for _ in PARTS]

    def _by_ledger(self, name: str, nnz: int, part: str) -> Records:
        records: Records = self._context.ledger.empty(name, nnz, TRIPLE, part=part)
        return records

    def make(self, tag: int) -> Records:
        """Sort the copy of a side (``USERS`` or ``ITEMS``) and return it."""
        train, crew = self._problem.train, self._context.crew
        own, other = (("u", "i"), ("i", "u"))[tag]
        row, col = ((train.u, train.i), (train.i, train.u))[tag]
        records = self._allocate(PARTS[tag], train.nnz, PARTS[tag])
        pointers, seed = self.pointers[tag], self._seeds[tag]
        group_by_row(row, col, train.r, pointers, records[other], records["r"])
        name_rows(pointers, records[own])
        if seed is not None:
            cuts = np.searchsorted(pointers, np.linspace(0, train.nnz, crew.workers + 1))
            cuts[0], cuts[-1] = 0, len(pointers) - 1
            crew.run(
                lambda w: shuffle_rows(
                    pointers, records[other], records["r"], cuts[w], cuts[w + 1], seed
                )
            )
        return records


def on_disk(name: str, nnz: int, part: str) -> Records:
    """Make room for a copy in a file that has no name and goes with the last use of it."""
    with tempfile.TemporaryFile(prefix="mfviz-") as file:
        records: Records = np.asarray(np.memmap(file, dtype=TRIPLE, mode="w+", shape=(nnz,)))
    return records


def copy_parts(n_users: int, n_items: int, nnz: int) -> list[MemoryPart]:
    """Memory of :class:`Copies` with both copies made."""
    return [
        *[MemoryPart(part, part, "host", "12 N", 12 * nnz) for part in PARTS],
        pointer_part(n_users, n_items),
    ]


def pointer_part(n_users: int, n_items: int, place: str = "host") -> MemoryPart:
    """Memory of the places of the rows."""
    size = 4 * (n_users + n_items + 2)
    return MemoryPart("row pointers", "workspace", place, "4 (m + n + 2)", size)


class OnDevice:
    """Factors and row pointers on a device, and the launch of the kernel that visits ratings.

    Parameters
    ----------
    solver : TwoCopies
    context : Context
        With a device; its ``refresh`` is set.
    factors : Factors
        Sent as they are now.
    pointers : (m + 1,), (n + 1,) int32
    kernel : str
        What visits ratings: "visit_rows", or a kernel that takes more arguments after its.
    more : callable, optional
        Gives those by side.
    """

    def __init__(
        self,
        solver: TwoCopies,
        context: Context,
        factors: Factors,
        pointers: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
        kernel: str = visit_rows.name,
        more: Callable[[int], Sequence[Any]] = lambda tag: (),
    ) -> None:
        self._kernel, self._more = kernel, more
        self.solver, self.context = solver, context
        self.model = DeviceModel(context, factors, width_of(factors.rank))
        self.device = self.model.device
        self._places = pointers
        m = len(pointers[USERS])
        both = self.device.send("row pointers", np.concatenate(pointers), part="workspace")
        self._pointers = (both[:m], both[m:])
        self.factor = 1.0  # of the learning rates in this epoch

    def visit(
        self, tag: int, low: int, high: int, base: int, triples: Any
    ) -> Callable[[Any], None]:
        """Return what launches the visit of a side's ratings ``low`` to ``high`` on a stream.

        Parameters
        ----------
        tag : int
        low, high : int
        base : int
            Position of the first triple of ``triples``.
        triples : device array of int32
            Flat triples.
        """
        driver, places, model = self.device.driver, self._places[tag], self.model
        first = int(np.searchsorted(places, low, side="right")) - 1
        rows = int(np.searchsorted(places, high, side="left")) - first
        blocks, threads = grid(rows, model.width, shuffle=driver.shuffles)
        ids, values = triples, triples.view(np.float32)
        b = model.biases or [values, values]  # or unused
        whole = [np.int64(x) for x in (first, rows, low, high, base, (1, 0)[tag])]

        def launch(stream: Any) -> None:
            rates = self.solver.rates(self.context, model.factors, self.factor)
            driver.launch(
                self._kernel, model.width, blocks, threads, stream,
                (
                    model.X[tag], model.X[1 - tag], b[tag], b[1 - tag], self._pointers[tag], ids,
                    values,
                    *whole,
                    rates.mu, rates.lr, rates.lam, rates.lr_bias, rates.lam_bias, rates.biased,
                    *self._more(tag),
                ),
            )  # fmt: skip

        return launch


def flat(records: Records) -> npt.NDArray[np.int32]:
    """Show triples as a flat array of int32, without a copy."""
    numbers: npt.NDArray[np.int32] = records.view(np.int32)
    return numbers


def device_parts(
    solver: TwoCopies, n_users: int, n_items: int, nnz: int, *, resident: bool
) -> list[MemoryPart]:
    """Memory of :class:`OnDevice` and of the model on the host.

    Parameters
    ----------
    solver : TwoCopies
    n_users, n_items, nnz : int
    resident : bool
        Whether both copies lie on the device.
    """
    place = "device"
    parts = [MemoryPart(part, part, place, "12 N", 12 * nnz) for part in PARTS if resident]
    parts += model_parts(n_users, n_items, width_of(solver.rank), biased=solver.biases)
    parts.append(pointer_part(n_users, n_items, place))
    return [*parts, *memory_parts(n_users, n_items, solver.rank), pointer_part(n_users, n_items)]

"""Passes of coordinate descent on a device: rows in bins by length, a stream a bin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.backends.device import Device
from mfviz.backends.streams import Op, Program
from mfviz.data.problem import Problem
from mfviz.kernels.als import group_by_row
from mfviz.kernels.cuda.ccd import THREADS, fit_feature, row_grid, step_biases
from mfviz.kernels.rows import cut_rows, name_rows
from mfviz.solvers.base import Context, Factors
from mfviz.solvers.featurewise import DRIFT, subtract_start
from mfviz.solvers.residual_sample import Sample, sample_part
from mfviz.solvers.sides import ITEMS, USERS, Side, make_sides
from mfviz.telemetry.events import Measured
from mfviz.telemetry.memory import MemoryPart

if TYPE_CHECKING:
    from mfviz.solvers.cumf_ccd import CuMFCCD

__all__ = ["BinnedPasses", "bins_of", "binned_parts"]

SEGMENT = 1024  # operations after which spans are read and stops are looked for
BIASES = 3  # tag
ITSELF = -2  # what is pending is the feature that is fitted
BY, LETTERS = ("ratings by user", "ratings by item"), ("m", "n")
Launch = Callable[[Any], None]


def bins_of(lengths: npt.NDArray[np.int64], each: int) -> npt.NDArray[np.int64]:
    """Return the bin of each row: a position in ``THREADS``, or -1 for a row without ratings.

    Parameters
    ----------
    lengths : (rows,) int64
    each : int
        Ratings a thread, before a row gets twice as many.
    """
    bins = np.searchsorted(each * np.array(THREADS), lengths)
    found: npt.NDArray[np.int64] = np.where(lengths == 0, -1, np.minimum(bins, len(THREADS) - 1))
    return found


@dataclass(frozen=True)
class _There:
    """A side on the device.

    ``bins`` has the first row, the number of rows and their ratings, by bin.
    """

    X: Any
    R: Any
    index: Any
    places: Any
    rows: Any
    sums: Any
    bins: list[tuple[int, int, int]]
    biases: Any
    steps: Any

    @property
    def tiles(self) -> int:
        return int(self.places.shape[0]) - 1


class BinnedPasses:
    """Residual and features on a device, and the programs of epochs.

    Parameters
    ----------
    solver : CuMFCCD
    problem : Problem
    context : Context
        With a device; its ``refresh`` is set.
    factors : Factors
        The start.
    """

    def __init__(
        self, solver: CuMFCCD, problem: Problem, context: Context, factors: Factors
    ) -> None:
        assert context.device is not None
        self.solver, self.context, self.factors = solver, context, factors
        self.device: Device = context.device
        self._empty = (problem.train.user_counts == 0, problem.train.item_counts == 0)
        self._cleared = False
        old = np.zeros(problem.n_items, np.float32)
        self._old = self.device.send("items' old feature", old, part="workspace")
        sides = make_sides(problem, context, factors)
        _sort(context, sides)
        self._samples = [Sample(context, side) for side in sides if solver.check_residual]
        subtract_start(context, sides)
        self.sides = [self._send(side) for side in sides]
        self._prepare()
        self.pending = -1
        context.refresh = self.refresh

    def _prepare(self) -> None:
        """Compile for the lengths of rows that there are; a rehearsal has not met them all."""
        names = [fit_feature.name, *[step_biases.name] * bool(self.solver.biases)]
        for bin_, threads in enumerate(THREADS):
            if any(side.bins[bin_][1] for side in self.sides):
                for name in names:
                    self.device.driver.prepare(name, threads)

    def _send(self, side: Side) -> _There:
        """Move a side to the device, its rows in bins and cut into tiles."""
        part, solver, send = BY[side.tag], self.solver, self.device.send
        k, name = solver.rank, ("users", "items")[side.tag]
        lengths = np.diff(side.indptr)
        bins = bins_of(lengths, solver.each)
        order = np.argsort(bins, kind="stable").astype(np.int32)
        counts = [int((bins == b).sum()) for b in range(-1, len(THREADS))]
        starts = np.cumsum([0, *counts])
        ranges = [
            (int(starts[b + 1]), counts[b + 1], int(lengths[bins == b].sum()))
            for b in range(len(THREADS))
        ]
        tiles = tiles_of(len(side.Y), solver.tile)
        places = np.empty((tiles + 1, len(lengths)), np.int64)
        cut_rows(side.indptr, side.index, solver.tile, places)
        X = send("PQ"[side.tag], np.ascontiguousarray(side.X.T[:k]), part="PQ"[side.tag])
        sums, biases, steps = X, self._old, self._old  # or unused
        if tiles > 1:
            zeros = np.zeros((2, len(lengths)), np.float32)
            sums = send(f"sums of {name}", zeros, part="workspace")
        if solver.biases:
            biases = send(f"biases of {name}", side.bx, part="PQ"[side.tag])
            still = np.zeros_like(side.bx)
            steps = send(f"steps of biases of {name}", still, part="workspace")
        there = _There(
            X=X,
            R=send(f"{part}: values", side.r, part=part),
            index=send(f"{part}: index", side.index, part=part),
            places=send(f"{part}: rows", places, part=part),
            rows=send(f"bins of {name}", order, part="workspace"),
            sums=sums,
            bins=ranges,
            biases=biases,
            steps=steps,
        )
        for what in ("rows", "index", "values"):
            self.context.ledger.free(f"{part}: {what}")
        return there

    def clear_empty_rows(self) -> None:
        """Give rows without ratings no features from now on."""
        self._cleared = True

    def refresh(self) -> None:
        """Copy the model to the host; from a device that has failed nothing comes."""
        if self.device.lost:
            return
        factors, download = self.factors, self.device.driver.download
        models = ((factors.P, factors.bu), (factors.Q, factors.bi))
        for side, empty, (A, b) in zip(self.sides, self._empty, models, strict=True):
            found = np.empty((self.solver.rank, len(A)), np.float32)
            download(found, side.X)
            A[:, : self.solver.rank] = found.T
            if self._cleared:
                A[empty] = 0.0
            if self.solver.biases:
                download(b, side.biases)

    def check(self, epoch: int) -> None:
        """Tell how far the residual has drifted from what the model leaves of the ratings."""
        self.refresh()
        download, drift = self.device.driver.download, 0.0
        for sample, side in zip(self._samples, self.sides, strict=True):
            drift = max(drift, sample.drift(self.factors, self.pending, side.R, download))
        name = DRIFT if self._samples[0].whole else f"{DRIFT} of a sample"
        self.context.emit(Measured, epoch=epoch, name=name, value=drift, unit="rating")

    def epoch(self, *, whole: bool) -> Iterator[list[Op]]:
        """Write down an epoch, in parts that may be held in between.

        Parameters
        ----------
        whole : bool
            Whether parts are long; else one ends with each phase.
        """
        program = Program()
        for phase in self._phases(program):
            phase()
            if not whole or len(program.ops) >= SEGMENT:
                yield program.ops
                program.ops = []
        if program.ops:
            yield program.ops

    def _phases(self, program: Program) -> Iterator[Callable[[], None]]:
        """What each phase issues; streams meet after it."""
        parts = self.solver.rank * self.solver.inner
        if self.solver.biases:
            t = self.pending
            steps = ((ITEMS, t, False, True), (USERS, t, True, True), (ITEMS, -1, True, False))
            for tag, pending, changed, on in steps:
                yield lambda tag=tag, pending=pending, changed=changed, on=on: self._biases(  # type: ignore[misc]
                    program, tag, pending, changed, on
                )
            self.pending = -1
        for part in range(parts):
            t, again = divmod(part, self.solver.inner)
            for tag in (ITEMS, USERS):
                yield lambda tag=tag, t=t, again=again, part=part: self._feature(  # type: ignore[misc]
                    program, tag, t, bool(again), part, parts
                )
            self.pending = t

    def _feature(
        self, program: Program, tag: int, t: int, again: bool, part: int, parts: int
    ) -> None:
        """Fit a feature of a side: in each stream, tile by tile of the other side."""
        side, pending = self.sides[tag], self.pending
        if pending == t and tag == USERS:
            pending = ITSELF
        for stream, (_, rows, ratings) in enumerate(side.bins):
            visits = ratings * (part + 1) // parts - ratings * part // parts
            for tile in range(side.tiles if rows else 0):
                last = tile == side.tiles - 1
                program.kernel(
                    stream, self._fit(tag, stream, tile, t, pending, again),
                    ratings=visits if last else 0, tag=tag, block=(t, t),
                )  # fmt: skip
        self._meet(program)

    def _meet(self, program: Program) -> None:
        """Have every stream wait for all others."""
        busy = range(len(THREADS))
        for stream in busy[1:]:
            program.record(stream, ("done", stream))
            program.wait(0, ("done", stream))
        program.record(0, "all")
        for stream in busy[1:]:
            program.wait(stream, "all")

    def _fit(self, tag: int, bin_: int, tile: int, t: int, pending: int, again: bool) -> Launch:
        side, other, solver = self.sides[tag], self.sides[1 - tag], self.solver
        first, many, _ = side.bins[bin_]
        whole = [np.int64(x) for x in (first, many, tile, t, pending, side.tiles)]
        arrays = (
            side.X, other.X, self._old, side.sums, side.R, side.index, side.places, side.rows
        )  # fmt: skip
        flags, weighted = (tag == USERS, again), bool(solver.weighted)
        return self._launcher(
            fit_feature.name, bin_, many,
            lambda: (*arrays, *whole, *flags, np.float32(self.context.lam), weighted),
        )  # fmt: skip

    def _biases(self, program: Program, tag: int, pending: int, changed: bool, on: bool) -> None:
        """Set the biases of a side, or only bring its residual up to date."""
        side, other, solver = self.sides[tag], self.sides[1 - tag], self.solver
        lam = np.float32(solver.lam_bias)
        for stream, (first, many, _) in enumerate(side.bins):
            whole = [np.int64(x) for x in (first, many, pending)]
            args = (
                side.X, other.X, side.biases, side.steps, other.steps, side.R, side.index,
                side.places, side.rows, *whole, changed, on, lam, bool(solver.weighted),
            )  # fmt: skip
            if many:
                launch = self._launcher(step_biases.name, stream, many, lambda args=args: args)  # type: ignore[misc]
                program.kernel(stream, launch, tag=BIASES + tag)
        self._meet(program)

    def _launcher(self, name: str, bin_: int, rows: int, args: Callable[[], Any]) -> Launch:
        driver, threads = self.device.driver, THREADS[bin_]
        blocks, block = row_grid(rows, threads, shuffle=driver.shuffles)
        return lambda stream: driver.launch(name, threads, blocks, block, stream, args())


def tiles_of(cols: int, tile: int) -> int:
    """Return how many tiles of ``tile`` columns there are."""
    return max(1, -(-cols // tile))


def _sort(context: Context, sides: tuple[Side, Side]) -> None:
    """Sort each row's ratings by the other side, by grouping each side from the other's order."""
    users, items = sides
    name = "rows of ratings"
    row_of = context.ledger.empty(name, len(users.index), np.int32)
    for source, target in ((items, users), (users, items)):
        name_rows(source.indptr, row_of)
        group_by_row(source.index, row_of, source.r, target.indptr, target.index, target.r)
    context.ledger.free(name)


def binned_parts(solver: CuMFCCD, n_users: int, n_items: int, nnz: int) -> list[MemoryPart]:
    """Memory of :class:`BinnedPasses` on the device.

    Parameters
    ----------
    solver : CuMFCCD
    n_users, n_items, nnz : int
    """
    k, found = solver.rank, []

    def add(name: str, part: str, formula: str, size: int) -> None:
        found.append(MemoryPart(name, part, "device", formula, size))

    for tag, rows, cols in ((USERS, n_users, n_items), (ITEMS, n_items, n_users)):
        letter, tiles = LETTERS[tag], tiles_of(cols, solver.tile)
        name = ("users", "items")[tag]
        formula = f"8 N + 8 {tiles + 1} {letter}"
        add(BY[tag], BY[tag], formula, 8 * nnz + 8 * (tiles + 1) * rows)
        add("PQ"[tag], "PQ"[tag], f"4 k {letter}", 4 * k * rows)
        add(f"bins of {name}", "workspace", f"4 {letter}", 4 * rows)
        if tiles > 1:
            add(f"sums of {name}", "workspace", f"8 {letter}", 8 * rows)
        if solver.biases:
            add(f"biases of {name}", "PQ"[tag], f"4 {letter}", 4 * rows)
            add(f"steps of biases of {name}", "workspace", f"4 {letter}", 4 * rows)
    add("items' old feature", "workspace", "4 n", 4 * n_items)
    if solver.check_residual:
        found.append(sample_part(nnz))
    return found

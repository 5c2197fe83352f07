"""Initial factors: one module for all solvers, so that two of them can start from the same point.

A solver declares ``init`` (one of :data:`INITS`) and ``init_scale``:

- *normal*: N(0, 1) times the scale, for models that carry the mean in ``mu`` and biases;
- *uniform*: U[0, 1) times the scale times sqrt(1 / rank), as LIBMF and cuMF_SGD draw them;
- *positive*: U[0, 2) times the scale times sqrt(|mean| / rank), so that at scale 1 predictions
  start at the mean rating (or its mirror image), for models without a constant part. A mean of 0
  counts as 1: factors of zero would be a start that ALS never leaves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfviz.data.problem import Problem
from mfviz.errors import ParameterError
from mfviz.solvers.base import Context, Factors, Solver
from mfviz.telemetry.memory import MemoryPart

__all__ = ["INITS", "draw", "make_factors", "memory_parts"]

INITS = ("normal", "uniform", "positive")

_BLOCK = 1 << 20  # numbers drawn at a time, so that no second matrix is ever held


def draw(
    A: npt.NDArray[np.float32],
    rank: int,
    rng: np.random.Generator,
    *,
    kind: str,
    scale: float,
    mean: float = 1.0,
) -> None:
    """Fill a factor matrix in place; its padding becomes 0.

    Parameters
    ----------
    A : (rows, padded) float32, written
    rank : int
        Columns that count.
    rng : numpy.random.Generator
    kind : str
        One of :data:`INITS`.
    scale : float
        ``init_scale`` of the solver.
    mean : float
        Mean rating, for *positive*.
    """
    width = {
        "normal": scale,
        "uniform": scale * np.sqrt(1.0 / rank),
        "positive": scale * 2.0 * np.sqrt((abs(mean) or 1.0) / rank),
    }[kind]
    A[:, rank:] = 0.0
    step = max(1, _BLOCK // rank)
    for first in range(0, len(A), step):
        part = A[first : first + step, :rank]
        if kind == "normal":
            part[:] = rng.standard_normal(part.shape, dtype=np.float32)
        else:
            part[:] = rng.random(part.shape, dtype=np.float32)
        part *= np.float32(width)


def make_factors(
    solver: Solver,
    problem: Problem,
    context: Context,
    rng: np.random.Generator | None = None,
    *,
    mu: float = 0.0,
    biased: bool = False,
    scale: float = 1.0,
) -> Factors:
    """Allocate the model through the ledger, fill it and put it into the context.

    Parameters
    ----------
    solver : Solver
        Gives ``rank``, ``init`` and ``init_scale``.
    problem : Problem
    context : Context
        Its ``start`` is copied if there is one; ``factors`` is set.
    rng : numpy.random.Generator, optional
        Draws P, then Q; that of the context by default.
    mu, biased, scale
        As in :class:`~mfviz.solvers.base.Factors`.

    Returns
    -------
    Factors

    Raises
    ------
    ParameterError
        If the given start has another rank or another shape.
    """
    m, n, rank = problem.n_users, problem.n_items, solver.rank
    width, ledger = Factors.width(rank), context.ledger
    factors = Factors(
        P=ledger.empty("P", (m, width), np.float32, part="P"),
        Q=ledger.empty("Q", (n, width), np.float32, part="Q"),
        bu=ledger.empty("user biases", m, np.float32, part="P", fill=0.0),
        bi=ledger.empty("item biases", n, np.float32, part="Q", fill=0.0),
        rank=rank,
        mu=mu,
        biased=biased,
        scale=scale,
    )
    if context.start is not None:
        _copy(context.start, factors)
    else:
        rng = context.rng if rng is None else rng
        settings = solver.settings()
        kind, size, mean = settings["init"], settings["init_scale"], problem.train.mean / scale
        for A in (factors.P, factors.Q):
            draw(A, rank, rng, kind=kind, scale=size, mean=mean)
    context.factors = factors
    return factors


def memory_parts(n_users: int, n_items: int, rank: int) -> list[MemoryPart]:
    """Memory of what :func:`make_factors` allocates; f is the rank, padded to a multiple of 16."""
    width = Factors.width(rank)
    return [
        MemoryPart("P", "P", "host", "4 f m", 4 * width * n_users),
        MemoryPart("Q", "Q", "host", "4 f n", 4 * width * n_items),
        MemoryPart("user biases", "P", "host", "4 m", 4 * n_users),
        MemoryPart("item biases", "Q", "host", "4 n", 4 * n_items),
    ]


def _copy(start: Factors, factors: Factors) -> None:
    """Copy a start; factors are rescaled so that P Q^T is the same in the user's units."""
    if start.rank != factors.rank:
        raise ParameterError(
            f"the start has rank {start.rank} and this solver's rank is {factors.rank}; the same "
            "start needs the same rank. Set both ranks alike, or switch the same start off.",
            "rank",
        )
    if start.P.shape != factors.P.shape or start.Q.shape != factors.Q.shape:
        raise ParameterError(
            f"the start is for {len(start.P)} users and {len(start.Q)} items, the problem has "
            f"{len(factors.P)} and {len(factors.Q)}; a start fits only the problem it is from."
        )
    ratio = start.scale / factors.scale
    np.multiply(start.P, np.float32(np.sqrt(ratio)), out=factors.P)
    np.multiply(start.Q, np.float32(np.sqrt(ratio)), out=factors.Q)
    if factors.biased:
        np.multiply(start.bu, np.float32(ratio), out=factors.bu)
        np.multiply(start.bi, np.float32(ratio), out=factors.bi)

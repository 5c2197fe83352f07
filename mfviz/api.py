"""mfviz as a library: load ratings, factorize them, keep the user's own ids.

>>> import mfviz
>>> ratings = mfviz.load("toy")                                  # doctest: +SKIP
>>> result = mfviz.factorize(ratings, solver="als", rank=16)      # doctest: +SKIP
>>> result.predict(["ann"], ["totoro"])                           # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfviz.data.problem import Problem
from mfviz.data.problem import split as split_ratings
from mfviz.data.ratings import Ratings
from mfviz.data.ways import Way
from mfviz.errors import DataError, MfvizError, ParameterError
from mfviz.experiments.result import Result
from mfviz.experiments.run import Run
from mfviz.progress import watch
from mfviz.solvers.base import Solver, solver_class

__all__ = ["as_ratings", "factorize", "load", "make_solver"]


def load(name_or_path: str | Path, *, columns: Sequence[str | int] = ()) -> Ratings:
    """Load ratings by name or from a file.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a data set (``mfviz datasets`` lists them), a file in one of the formats that
        the README lists, compressed or in a zip archive too, or a folder that holds one.
    columns : sequence of str or int
        Columns of user, item, rating and perhaps time, by name or position from 1. By default
        they are recognised.

    Returns
    -------
    Ratings

    Raises
    ------
    DataError
        If there is no such name or file, or the file cannot be read; the message names the line.
    """
    from mfviz.data import catalog

    return catalog.load(name_or_path, columns=columns)


def factorize(
    ratings: Any,
    *,
    test: Any = None,
    split: str | float | None = None,
    solver: str = "als",
    rank: int | None = None,
    epochs: int | None = None,
    workers: int | None = None,
    seed: int = 0,
    backend: str = "cpu",
    device: int = 0,
    evaluate_every: int = 1,
    progress: bool | None = None,
    **params: Any,
) -> Result:
    """Factorize ratings and return factors, predictions and the tables of the run.

    Parameters
    ----------
    ratings : Ratings, (users, items, values), DataFrame or scipy.sparse matrix
        See :func:`as_ratings`; ids stay the user's own.
    test : same kinds, optional
        For the test RMSE; pairs whose user or item is absent from ``ratings`` are set aside.
    split : str or float, optional
        What is held out without a ``test``: a share, or a word of :mod:`mfviz.data.ways` such as
        "time-0.2" (the latest fifth) or "leave-5" (of each user). Nothing by default.
    solver, backend : str
        Key of a solver, see ``mfviz solvers``; "cpu" or "cuda".
    rank, epochs, workers : int, optional
        Without them, what is proposed for the data.
    seed, device : int
        Of split, initial factors and order; of several devices, as ``mfviz devices`` counts them.
    evaluate_every : int
        Epochs between two evaluations; 0 for one at the end.
    progress : bool, optional
        Show a progress bar; by default only on a terminal or in a notebook.
    **params
        Any other setting of the solver.

    Returns
    -------
    Result

    Raises
    ------
    DataError, ParameterError, UnsupportedError
        If ratings, a setting or the backend cannot be used.
    MfvizError
        If the solver failed; a run that diverged is returned, with its status and a suggestion.
    """
    problem = _problem(as_ratings(ratings), test, split, seed)
    given = {"rank": rank, "epochs": epochs, "workers": workers, "seed": seed}
    chosen = {name: value for name, value in given.items() if value is not None}
    made = make_solver(solver, problem, **chosen, **params)
    run = Run(problem, made, backend=backend, device=device, evaluate_every=evaluate_every)
    watch(run, shown=progress)
    if run.status == "failed":
        raise MfvizError(f"{solver} failed: {run.reason}")
    return run.result()


def as_ratings(given: Any, name: str = "ratings", *, columns: Sequence[str | int] = ()) -> Ratings:
    """Turn what a user has into :class:`Ratings`.

    Parameters
    ----------
    given : Ratings, (users, items, values), frame or scipy.sparse matrix
        Ids may be integers or strings. A frame is one of pandas, polars, Arrow or any library that
        hands its columns to Arrow: they are found by name (user, item, rating, time and their
        common spellings), or by order if there are three. In a sparse matrix users are rows,
        items are columns, and what is stored is a rating, stored zeros too.
    name : str
        Shown name.
    columns : sequence of str or int
        Columns of a frame to take as user, item, rating and perhaps time.

    Returns
    -------
    Ratings

    Raises
    ------
    DataError
        If it is none of these, or holds values that are no ratings.
    """
    if isinstance(given, Ratings):
        return given
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return _from_pandas(given, name, columns)
    if hasattr(given, "__arrow_c_stream__"):
        return _from_arrow(given, name, columns)
    if hasattr(given, "tocoo"):
        coo = given.tocoo()
        if coo.ndim != 2:
            raise DataError(f"{name}: found {coo.ndim} dimensions; users x items are needed.")
        return Ratings.from_triples(coo.row, coo.col, coo.data, name=name)
    if isinstance(given, tuple | list) and len(given) == 3:
        return Ratings.from_triples(*given, name=name)
    found = type(given).__name__
    if isinstance(given, np.ndarray):
        found = f"an array of shape {given.shape}"
    elif isinstance(given, str | Path):
        found = f"the {found} {str(given)!r} (mfviz.load reads files and names)"
    raise DataError(
        f"{name}: found {found}; give Ratings, three arrays (users, items, values), a frame of "
        "pandas, polars or Arrow, or a scipy.sparse matrix."
    )


def _from_pandas(frame: Any, name: str, columns: Sequence[str | int]) -> Ratings:
    from mfviz.data.tables import roles_of, told_of

    roles = roles_of(list(map(str, frame.columns)), columns, name)
    user, item, rating = (
        frame.iloc[:, at].to_numpy() for at in (roles.user, roles.item, roles.rating)
    )
    times = None if roles.time is None else _seconds(frame.iloc[:, roles.time])
    told = told_of([str(frame.columns[at]) for at in (roles.user, roles.item, roles.rating)])
    notices = told if roles.guessed or roles.double else ()
    return Ratings.from_triples(user, item, rating, name=name, notices=notices, times=times)


def _from_arrow(given: Any, name: str, columns: Sequence[str | int]) -> Ratings:
    import pyarrow as pa

    from mfviz.data.tables import read_table, roles_of

    try:
        table = pa.table(given)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(
            f"{name}: found a {type(given).__name__} of which Arrow makes no table ({error}); "
            "columns of user, item and rating are needed."
        ) from None
    names = table.schema.names
    roles = roles_of(names, columns, name)
    wanted = [at for at in (roles.user, roles.item, roles.rating, roles.time) if at is not None]
    told = roles.guessed or roles.double
    found = read_table(table, [names[at] for at in wanted], name, guessed=told)
    return Ratings.from_numbers(
        found.u, found.i, found.r, found.user_ids, found.item_ids,
        name=name, notices=found.notices, times=found.times,
    )  # fmt: skip


def _seconds(column: Any) -> Any:
    """Times of a pandas column, None if it holds none."""
    import pyarrow as pa

    from mfviz.data.tables import times_of

    try:
        return times_of(pa.chunked_array([pa.array(column, from_pandas=True)]))
    except (TypeError, ValueError, pa.ArrowException):
        return None


def _problem(train: Ratings, test: Any, way: str | float | None, seed: int) -> Problem:
    if test is not None and way is not None:
        raise ParameterError("test and split exclude each other; give one of them.", "split")
    if test is not None:
        return Problem.from_files(train, as_ratings(test, "test"), seed=seed)
    if isinstance(way, str):
        return Way.read(way).split(train, seed)
    return split_ratings(train, holdout=0.0 if way is None else way, seed=seed)


def make_solver(key: str, problem: Problem | None = None, **settings: Any) -> Solver:
    """Make a solver from the settings given, over those that are proposed for the data.

    Parameters
    ----------
    key : str
        See ``mfviz solvers``.
    problem : Problem, optional
        Without it the solver's defaults take the place of proposals.
    **settings
        By name. A number of workers other than 1 is no error for a solver that is serial by
        nature, so that one call serves all solvers; it then has its one worker.

    Returns
    -------
    Solver

    Raises
    ------
    ParameterError
        For an unknown solver or setting, or a value out of its bounds.
    """
    from mfviz.experiments.proposals import propose

    cls = solver_class(key)
    proposed = {} if problem is None else propose(key, problem)
    chosen = {**proposed, **settings}
    if "workers" in settings and cls.param.workers.bounds == (1, 1):
        Solver.make(workers=settings["workers"])  # refuses what no solver could have
        chosen["workers"] = 1
    return cls.make(**chosen)

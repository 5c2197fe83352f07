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

from mfviz.data.frames import as_ratings
from mfviz.data.problem import Problem
from mfviz.data.problem import split as split_ratings
from mfviz.data.ratings import Ratings
from mfviz.data.ways import Way
from mfviz.errors import MfvizError, ParameterError
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
    ratings : Ratings, (users, items, values), DataFrame, scipy.sparse matrix or Problem
        See :func:`mfviz.as_ratings`; ids stay the user's own. A problem is already split.
    test : same kinds, optional
        For the test RMSE; pairs whose user or item is absent from ``ratings`` are set aside.
    split : str or float, optional
        Held out without a ``test``: a share, or a word of :mod:`mfviz.data.ways` such as
        "time-0.2" (the latest fifth) or "leave-5" (of each user). Nothing by default.
    solver : str
        Its key, see ``mfviz solvers``.
    rank, epochs, workers : int, optional
        Without them, what is proposed for the data.
    seed : int
        Of split, initial factors and order.
    backend, device : str and int
        "cpu" or "cuda", and which of several devices, as ``mfviz devices`` counts them.
    evaluate_every : int
        Epochs between two evaluations; 0 for one at the end.
    progress : bool, optional
        Show a progress bar or none; by default on a terminal and in a notebook.
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
    problem = _problem(ratings, test, split, seed)
    given = {"rank": rank, "epochs": epochs, "workers": workers}
    params |= {name: value for name, value in given.items() if value is not None}
    made = make_solver(solver, problem, seed=seed, **params)
    run = Run(problem, made, backend=backend, device=device, evaluate_every=evaluate_every)
    watch(run, shown=progress)
    return _outcome(run)


def _outcome(run: Run) -> Result:
    if run.status == "failed":
        raise MfvizError(f"{run.solver.key} failed: {run.reason}")
    return run.result()


def _problem(given: Any, test: Any, way: str | float | None, seed: int) -> Problem:
    if test is not None and way is not None:
        raise ParameterError("test and split exclude each other; give one of them.", "split")
    if isinstance(given, Problem):
        if test is None and way is None:
            return given
        name = "split" if test is None else "test"
        raise ParameterError(f"found a problem, which is split already; leave {name} out.", name)
    train = as_ratings(given)
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

"""Reading, opening again, splitting and laying out: what comes before training, at full size.

Each stage has a process of its own, so that memory that another one left behind counts nowhere.
Set-ups are taken in turns with LIBMF's, and medians are told: a machine drifts.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from mfviz.backends.host import Crew
from mfviz.bench.libmf import LibMF, nodes
from mfviz.bench.peak import Peak
from mfviz.bench.rating_files import MOVIELENS, NETFLIX, scaled, write_movielens, write_netflix
from mfviz.cli_common import seconds, size, table
from mfviz.data import catalog
from mfviz.data.column_cache import LEAST
from mfviz.data.formats import read_parts
from mfviz.data.problem import Problem, split
from mfviz.errors import MfvizError
from mfviz.experiments.context import make_context
from mfviz.experiments.warmup import warm
from mfviz.progress import progress_bar
from mfviz.solvers.base import Solver, solver_class

__all__ = ["measure", "tell"]

SOLVERS = ("strip_sgd", "fpsgd")
REFERENCE = "LIBMF"
Found = TypeVar("Found")
Row = dict[str, Any]


def measure(
    *, lines: int, large: int, rank: int, threads: int, repeat: int, libmf: str | None
) -> dict[str, Any]:
    """Write synthetic files into a temporary folder and measure what mfviz makes of them.

    Parameters
    ----------
    lines : int
        Ratings of a ``ratings.csv`` as of MovieLens 25M.
    large : int
        Ratings of files as of the Netflix Prize; 0 leaves that part out.
    rank, threads : int
        Of the solvers that are set up.
    repeat : int
        Rounds of splits and set-ups.
    libmf : str, optional
        LIBMF's shared library.

    Returns
    -------
    dict
        ``reading``, ``opening``, ``set_up`` and perhaps ``large``, with seconds and bytes.
    """
    with tempfile.TemporaryDirectory(prefix="mfviz-bench-") as scratch:
        folder = Path(scratch)
        path = folder / "ratings.csv"
        steps: dict[str, Callable[[], Row]] = {
            "reading": lambda: _apart(_reading, path, folder, scaled(MOVIELENS, lines)),
            "opening": lambda: _apart(_opening, path, folder),
            "set_up": lambda: _apart(_set_up, path, folder, rank, threads, repeat, libmf),
        }
        if large:
            steps["large"] = lambda: _large(folder, large, rank, threads)
        found = {}
        with progress_bar(len(steps), "data", unit="step") as bar:
            for name, step in steps.items():
                bar.set_postfix_str(name)
                found[name] = step()
                bar.update()
        return {**found, "on": {"rank": rank, "threads": threads, "rounds": repeat}}


def tell(found: dict[str, Any]) -> str:
    """Write what was measured as tables, beside the aims."""
    read, opened, made = found["reading"], found["opening"], found["set_up"]
    times = read["peak_bytes"] / read["array_bytes"]
    own = statistics.median(made["split_s"]) + statistics.median(made["set_ups"][SOLVERS[0]])
    theirs = made["set_ups"].get(REFERENCE)
    on = f"{read['ratings']:,} ratings"
    rows = [
        (f"read ratings.csv, {on}", seconds(read["read_s"]), "<= 8 s"),
        ("memory above the start, x of the arrays", f"{times:.2f}", "<= 3"),
        ("read it and keep its columns in the cache", seconds(read["load_s"]), ""),
        ("open them again, in another process", seconds(opened["open_s"]), "<= 0.2 s"),
        ("split: a tenth held out by the seed", _median(made["split_s"]), ""),
        *(
            (f"set-up of {name}, rank {found['on']['rank']}", _median(taken), "")
            for name, taken in made["set_ups"].items()
        ),
        (
            f"split and set-up of {SOLVERS[0]}", seconds(own),
            f"< {_median(theirs)}" if theirs else "",
        ),
    ]  # fmt: skip
    if "large" in found:
        big = found["large"]
        of = f"of {big['ratings']:,} ratings"
        rows += [
            (f"read combined_data_*.txt {of}, keep them", seconds(big["load_s"]), ""),
            (f"split {of}", seconds(big["split_s"]), ""),
            (f"set-up of {SOLVERS[0]} {of}", seconds(big["set_up_s"]), ""),
            ("resident memory at most in all of it", size(big["peak_bytes"]), "<= 16 GiB"),
        ]
    head = f"{found['on']['threads']} thread(s), median of {found['on']['rounds']} rounds"
    missing = [f"missing: {REFERENCE}: {made['missing']}"] if made["missing"] else []
    return "\n".join([head, table(("what", "measured", "aim"), rows), *missing])


def _median(taken: list[float]) -> str:
    return seconds(statistics.median(taken))


def _apart(work: Callable[..., Found], *given: Any) -> Found:
    """Call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


@contextmanager
def _clock(into: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    into.append(time.perf_counter() - began)


def _reading(path: Path, cache: Path, settings: Any) -> Row:
    """Write the file, in one more process; read it; read it again into the cache."""
    written, mean = _apart(write_movielens, path, settings)
    os.environ["MFVIZ_CACHE_DIR"] = str(cache)
    catalog.load("toy")  # what is imported once counts nowhere
    read_s: list[float] = []
    with Peak() as peak, _clock(read_s):
        ratings = read_parts([path], name=path.name)
    if ratings.nnz != written or abs(ratings.mean - mean) > 1e-9 or ratings.times is None:
        raise MfvizError(f"{path.name} was not read as it was written.")
    arrays = ratings.nbytes + ratings.times.nbytes
    del ratings
    load_s: list[float] = []
    with _clock(load_s):
        catalog.load(path)
    return {
        "ratings": written,
        "file_bytes": path.stat().st_size,
        "read_s": read_s[0],
        "load_s": load_s[0],
        "peak_bytes": peak.rise,
        "array_bytes": arrays,
    }


def _opening(path: Path, cache: Path) -> Row:
    os.environ["MFVIZ_CACHE_DIR"] = str(cache)
    catalog.load("toy")
    open_s: list[float] = []
    with _clock(open_s):
        ratings = catalog.load(path)
    return {"open_s": open_s[0], "kept": ratings.nnz >= LEAST}


def _set_up(
    path: Path, cache: Path, rank: int, threads: int, repeat: int, libmf: str | None
) -> Row:
    os.environ["MFVIZ_CACHE_DIR"] = str(cache)
    ratings = catalog.load(path)
    solvers = {key: solver_class(key).make(rank=rank, workers=threads) for key in SOLVERS}
    for solver in solvers.values():
        warm(solver)
    library, missing = None, ""
    try:
        library = LibMF(libmf)
    except MfvizError as error:
        missing = str(error)
    split_s: list[float] = []
    set_ups: dict[str, list[float]] = {name: [] for name in solvers}
    if library is not None:
        set_ups[REFERENCE] = []
    for _ in range(repeat):  # in turns
        with _clock(split_s):
            problem = split(ratings, holdout=0.1)
        for key, solver in solvers.items():
            with _clock(set_ups[key]):
                _lay_out(solver, problem)
        if library is not None:
            set_ups[REFERENCE].append(_set_up_of(library, problem, rank, threads))
    return {"split_s": split_s, "set_ups": set_ups, "missing": missing}


def _lay_out(solver: Solver, problem: Problem) -> None:
    """Set a solver up: what it does up to its first update."""
    with Crew(solver.threads, "mfviz-bench") as crew:
        context = make_context(solver, crew)
        checkpoints = solver.iterate(problem, context)
        for checkpoint in checkpoints:
            if checkpoint.kind == "epoch":
                break
        checkpoints.close()  # type: ignore[attr-defined]
        context.ledger.close()


def _set_up_of(library: LibMF, problem: Problem, rank: int, threads: int) -> float:
    """LIBMF's set-up: what a training of one iteration takes beyond the iteration."""
    records, shape = nodes(problem.train), (problem.n_users, problem.n_items)
    taken: list[float] = []
    for iterations in (1, 3):
        with _clock(taken):
            library.train(
                records, shape, rank=rank, threads=threads, iterations=iterations, lam=0.05,
                eta=0.1,
            )  # fmt: skip
    return max(0.0, taken[0] - (taken[1] - taken[0]) / 2)


def _large(folder: Path, ratings: int, rank: int, threads: int) -> Row:
    (folder / "ratings.csv").unlink()
    place = folder / "netflix"
    place.mkdir()
    written, mean = _apart(write_netflix, place, scaled(NETFLIX, ratings))
    return _apart(_loading, place, folder, rank, threads, written, mean)


def _loading(place: Path, cache: Path, rank: int, threads: int, written: int, mean: float) -> Row:
    os.environ["MFVIZ_CACHE_DIR"] = str(cache)
    solver = solver_class(SOLVERS[0]).make(rank=rank, workers=threads)
    warm(solver)
    taken: list[float] = []
    with Peak() as peak:
        with _clock(taken):
            found = catalog.load(place)
        with _clock(taken):
            problem = split(found, holdout=0.1)
        with _clock(taken):
            _lay_out(solver, problem)
    if found.nnz != written or abs(found.mean - mean) > 1e-9:
        raise MfvizError(f"{place.name} was not read as it was written.")
    load_s, split_s, set_up_s = taken
    return {
        "ratings": written,
        "load_s": load_s,
        "split_s": split_s,
        "set_up_s": set_up_s,
        "peak_bytes": peak.most,
    }

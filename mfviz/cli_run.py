"""``mfviz run`` and ``mfviz warm``: train in this process, with progress on standard error."""

from __future__ import annotations

import gc
import math
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfviz.cli_common import as_option, echo_json, report, seconds, size, table
from mfviz.errors import MfvizError, ParameterError
from mfviz.telemetry.agreement import agreement, sentence

if TYPE_CHECKING:
    from mfviz.data.problem import Problem
    from mfviz.telemetry.history import History

__all__ = ["run", "warm"]

ROWS = 12  # epochs in the table for people; the rest is left out in the middle


@click.command()
@click.option("--solver", required=True, metavar="KEY", help="Solver, see: mfviz solvers.")
@click.option(
    "--data", required=True, metavar="NAME|PATH", help="Data set, see: mfviz datasets; or a file."
)
@click.option(
    "--test", metavar="PATH", help="Test ratings in a file of their own, or Netflix's probe.txt."
)
@click.option(
    "--columns",
    metavar="USER,ITEM,RATING[,TIME]",
    help="Columns of the data set's file, by name or position from 1 [found].",
)
@click.option("--holdout", type=float, help="Share of the ratings held out for the test [0.1].")
@click.option(
    "--split",
    default="random",
    metavar="random|time|official",
    show_default=True,
    help="What is held out: drawn by the seed, the latest, or the set's official test file.",
)
@click.option(
    "--leave-out", type=int, metavar="K", help="Hold out K ratings of each user, not a share."
)
@click.option("--backend", default="cpu", metavar="cpu|cuda", show_default=True)
@click.option("--device", default=0, show_default=True, help="Of several, see: mfviz devices.")
@click.option(
    "--profile", is_flag=True, help="Compare a device's times with CUPTI's (extra: profile)."
)
@click.option(
    "--preset", metavar="NAME", help="Published settings, see: mfviz solvers; options given win."
)
@click.option("--rank", type=int, help="Features; without it, what is proposed for the data.")
@click.option("--epochs", type=int, help="Passes over the ratings; without it, as proposed.")
@click.option("--workers", type=int, help="Threads; without it, one for each core.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of split, start and order.")
@click.option(
    "--evaluate-every", type=int, default=1, show_default=True, help="Epochs; 0: at the end only."
)
@click.option("--pace", type=float, default=math.inf, help="Epochs a second [unlimited].")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other setting.")
@click.option(
    "--trace", type=click.Path(path_type=Path), help="Write the run to this .mfviz file."
)
@as_option
def run(
    solver: str,
    data: str,
    backend: str,
    device: int,
    profile: bool,
    settings: tuple[str, ...],
    trace: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Train a solver on a data set and tell how it went.

    Settings that are not given are those of the preset, else those that mfviz proposes for the
    data. Exit code 1 says that the run failed or its trace could not be written, 130 that it was
    interrupted; what was reached is told in all cases.
    """
    from mfviz.api import make_solver
    from mfviz.experiments.run import Run
    from mfviz.progress import watch
    from mfviz.telemetry.history import History

    wanted = _settings(solver, settings, given)
    problem = _problem(data, {**given, "seed": wanted["seed"]})
    chosen = make_solver(solver, problem, **wanted)
    run_id = uuid.uuid4().hex[:12]
    folder = _folder(run_id, trace)
    timing = {name: given[name] for name in ("pace", "evaluate_every")} | {"profile": profile}
    try:
        made = Run(
            problem, chosen, backend=backend, device=device, folder=folder, run_id=run_id, **timing
        )
    except MfvizError:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    history, interrupted = History(), False
    try:
        watch(made, shown=False if as_json else None)
    except KeyboardInterrupt:
        interrupted = True
    history.follow(made.log)
    if as_json:
        echo_json(report(history))
    else:
        click.echo(tell(history))
    kept = trace is None or folder is None or _kept(folder, trace)
    if interrupted:
        return 130
    return 0 if kept and history.status != "failed" else 1


@click.command()
@as_option
def warm(as_json: bool) -> None:
    """Compile the kernels of all solvers and keep them, so that the first run starts at once."""
    from mfviz.experiments.warmup import warming
    from mfviz.progress import progress_bar
    from mfviz.solvers.base import registry

    rows: list[tuple[str, float]] = []
    gc.disable()  # a compiler leaves little garbage, and looking for it takes a tenth of its time
    try:
        with progress_bar(len(registry()), "compiling", unit="solver") as bar:
            for key, cls in registry().items():
                compiled = warming(cls())
                compiled.wait()
                if compiled.error is not None:
                    raise compiled.error
                rows.append((key, compiled.seconds))
                bar.update()
    finally:
        gc.enable()
    if as_json:
        echo_json({"compiled": [{"solver": key, "seconds": taken} for key, taken in rows]})
    else:
        click.echo(table(("solver", "seconds"), [(key, f"{taken:.2f}") for key, taken in rows]))


def tell(history: History) -> str:
    """Put a run in words and a table of its epochs, for people."""
    shape = history.shape
    head = (
        f"{history.title or history.solver} on {history.problem}: "
        f"{shape.get('users', 0):,} users x {shape.get('items', 0):,} items, "
        f"{shape.get('train', 0):,} training and {shape.get('test', 0):,} test ratings"
    )
    params = "  ".join(f"{name}={value}" for name, value in history.params.items())
    ending = history.status + (f": {history.reason}" if history.reason else "")
    times = ", ".join(
        f"{name} {seconds(value)}"
        for name, value in (
            ("set-up", history.setup_s),
            ("compile", history.compile_s),
            ("solve", history.solve_s),
            ("evaluation", history.eval_s),
            ("wall", history.wall_s),
        )
    )
    peaks = ", ".join(f"{place} {size(held)}" for place, held in history.peak_by_place.items())
    lines = [
        head,
        *(f"note: {notice.message}" for notice in history.notices),
        params,
        "",
        _epochs(history),
        "",
        ending,
        f"best test RMSE {_rmse(history.best_test_rmse)}; {times}",
        f"peak memory: {peaks or '-'}; reproducible: {history.determinism or 'not stated'}",
        *(sentence(lane, found) for lane, found in agreement(history.measured).items()),
    ]
    return "\n".join(lines)


def _epochs(history: History) -> str:
    rows: list[tuple[Any, ...]] = [
        (e.epoch, f"{e.updates:,}", f"{e.solve_s:.4f}", _rmse(e.train_rmse), _rmse(e.test_rmse))
        for e in history.epochs
    ]
    if len(rows) > ROWS:
        rows = [*rows[: ROWS // 2], ("...", "", "", "", ""), *rows[-ROWS // 2 :]]
    return table(("epoch", "updates", "solve s", "train RMSE", "test RMSE"), rows)


def _rmse(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _problem(data: str, given: dict[str, Any]) -> Problem:
    from mfviz.data.given import load_problem

    columns = given["columns"]
    leave_out = given["leave_out"]
    if leave_out is not None and leave_out < 1:
        raise ParameterError(f"--leave-out is {leave_out}; it must be at least 1.", "leave_out")
    return load_problem(
        data,
        test=given["test"],
        holdout=given["holdout"],
        by=given["split"],
        leave_out=leave_out or 0,
        seed=given["seed"],
        columns=columns.split(",") if columns is not None else (),
    )


def _settings(key: str, texts: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Read the settings that were given: a preset's, over them options' and those of --set."""
    from mfviz.experiments.proposals import published
    from mfviz.solvers.base import solver_class
    from mfviz.views.values import parse

    known = solver_class(key).hyper_parameters()
    chosen = published(key, given["preset"]) if given["preset"] is not None else {}
    chosen |= {n: given[n] for n in ("rank", "epochs", "workers", "seed") if given[n] is not None}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--set {text!r} must be NAME=VALUE, as in --set lam=0.05.")
        if name not in known:
            raise ParameterError(
                f"{key} has no setting {name!r}; it has {', '.join(known)}.", name
            )
        chosen[name] = parse(known[name], value, name)
    return chosen


def _folder(run_id: str, trace: Path | None) -> Path | None:
    """Make the run's folder: a killed run leaves its events there, for mfviz replay."""
    from mfviz.experiments.store import check_target, new_folder

    if trace is not None:
        check_target(trace)
    try:
        return new_folder(run_id)
    except OSError as error:
        if trace is not None:
            raise
        click.echo(f"mfviz: the run is not kept on disk: {error}", err=True)
        return None


def _kept(folder: Path, trace: Path) -> bool:
    """Write the trace; where that fails (the disk is full), say where the run lies instead."""
    from mfviz.experiments.store import pack

    try:
        pack(folder, trace)
    except (OSError, MfvizError) as error:
        reason = " ".join(str(error).split())
        click.echo(
            f"mfviz: {trace} could not be written ({reason}); the run is kept in {folder}, which "
            "mfviz replay reads too.",
            err=True,
        )
        return False
    return True

"""``mfviz bench``: measure the page, the solvers and their kernels on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mfviz.bench.gpu_cli import gpu
from mfviz.cli_common import as_option, echo_json, table
from mfviz.errors import ParameterError

__all__ = ["bench"]

DATA = click.option(
    "--data", default="1m-like", show_default=True, help="Name or path of ratings."
)


@click.group(invoke_without_command=True)
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure mfviz on this machine; without a name, all but data, gpu, peers and traces."""
    if context.invoked_subcommand is None:
        context.invoke(everything)


bench.add_command(gpu)


@bench.command("all")
@as_option
def everything(as_json: bool) -> None:
    """Measure the page, the cost of watching, the solvers, their kernels and how they scale."""
    found = {**_page("1m-like", "sgd", 3, 60.0), **_solvers("1m-like", 64, 10, None, 3, ())}
    found |= _kernels("1m-like", (32, 64, 128), 5, None, 3, ())
    found |= _scaling((), (0.25, 0.5, 1.0), (32, 64, 128), (), 3, 3)
    _show(found, as_json)


@bench.command()
@DATA
@click.option("--solver", default="sgd", show_default=True, help="Solver of the watched job.")
@click.option("--repeat", default=3, show_default=True, help="Pairs of runs, in turns.")
@click.option(
    "--updates", default=400.0, show_default=True, help="Size of the job in million updates."
)
@as_option
def page(data: str, solver: str, repeat: int, updates: float, as_json: bool) -> None:
    """Measure seconds to a moving curve, the cost of watching, and how late events show."""
    _show(_page(data, solver, repeat, updates), as_json)


@bench.command()
@DATA
@click.option("--rank", default=64, show_default=True)
@click.option("--epochs", default=10, show_default=True)
@click.option("--workers", type=int, help="Threads [one for each core].")
@click.option("--repeat", default=3, show_default=True, help="Rounds; medians are shown.")
@click.option("--solver", "keys", multiple=True, metavar="KEY", help="All, if none is given.")
@as_option
def solvers(
    data: str,
    rank: int,
    epochs: int,
    workers: int | None,
    repeat: int,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure updates a second of the solvers, evaluation left out."""
    _show(_solvers(data, rank, epochs, workers, repeat, keys), as_json)


@bench.command()
@DATA
@click.option("--rank", "ranks", type=int, multiple=True, help="May be repeated [32, 64, 128].")
@click.option("--epochs", default=5, show_default=True)
@click.option("--workers", type=int, help="Threads [one for each core].")
@click.option("--repeat", default=3, show_default=True, help="Rounds; medians are shown.")
@click.option("--solver", "keys", multiple=True, metavar="KEY", help="All, if none is given.")
@as_option
def kernels(
    data: str,
    ranks: tuple[int, ...],
    epochs: int,
    workers: int | None,
    repeat: int,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure Mu/s and GB/s of each kernel, beside the bandwidth of memory."""
    _show(_kernels(data, ranks or (32, 64, 128), epochs, workers, repeat, keys), as_json)


@bench.command()
@click.option(
    "--solver", "keys", multiple=True, metavar="KEY", help="[sgd, strip_sgd, als, ccdpp]"
)
@click.option("--size", "sizes", type=float, multiple=True, help="Of ml-1m's [0.25, 0.5, 1].")
@click.option("--rank", "ranks", type=int, multiple=True, help="May be repeated [32, 64, 128].")
@click.option("--workers", type=int, multiple=True, help="May be repeated [1 to all cores].")
@click.option("--epochs", default=3, show_default=True)
@click.option("--repeat", default=3, show_default=True, help="Rounds; medians are shown.")
@as_option
def scaling(
    keys: tuple[str, ...],
    sizes: tuple[float, ...],
    ranks: tuple[int, ...],
    workers: tuple[int, ...],
    epochs: int,
    repeat: int,
    as_json: bool,
) -> None:
    """Measure how an epoch's cost grows with data (synthetic), rank and workers.

    And what more workers can give at all: flops alone, gathers alone.
    """
    chosen = (keys, sizes or (0.25, 0.5, 1.0), ranks or (32, 64, 128), workers, epochs, repeat)
    _show(_scaling(*chosen), as_json)


@bench.command()
@DATA
@click.option("--rank", "ranks", type=int, multiple=True, help="May be repeated [64].")
@click.option("--threads", type=int, multiple=True, help="May be repeated [each core].")
@click.option("--repeat", default=5, show_default=True, help="Rounds; medians are shown.")
@click.option("--goal", type=float, help="Test RMSE to reach [LIBMF's best + 0.0005].")
@click.option("--libmf", help="LIBMF's shared library, built with AVX [$LIBMF_SO].")
@click.option("--only", multiple=True, metavar="PART", help="Contenders whose name has this.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write RMSE against seconds as SVG (of the last rank and threads).",
)
@as_option
def peers(
    data: str,
    ranks: tuple[int, ...],
    threads: tuple[int, ...],
    repeat: int,
    goal: float | None,
    libmf: str | None,
    only: tuple[str, ...],
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure mfviz beside LIBMF, implicit, Surprise and cornac: same split, same threads."""
    from mfviz.api import load
    from mfviz.backends.host import cpu_count
    from mfviz.bench.chart import as_svg
    from mfviz.bench.machine import machine, words
    from mfviz.bench.peers import compare, tell
    from mfviz.data.problem import split

    if plot is not None and not plot.parent.is_dir():
        raise ParameterError(f"--plot {plot}: the folder {plot.parent} does not exist.")
    problem = split(load(data), holdout=0.1)
    described, found = machine(), []
    if not as_json:
        click.echo(words(described))
    for rank in ranks or (64,):
        for count in threads or (cpu_count(),):
            found.append(
                compare(
                    problem, rank=rank, threads=count, repeat=repeat, goal=goal, libmf=libmf,
                    only=only,
                )
            )  # fmt: skip
            if not as_json:
                click.echo("\n" + tell(found[-1]))
    if plot is not None:
        plot.write_text(as_svg(found[-1]), encoding="utf-8")
    if as_json:
        echo_json({"machine": described, "peers": found})


@bench.command()
@click.option("--ratings", default=25_000_095, show_default=True, help="Lines of ratings.csv.")
@click.option(
    "--large", default=100_480_507, show_default=True, help="Ratings in Netflix's files; 0: none."
)
@click.option("--rank", default=64, show_default=True)
@click.option("--threads", type=int, help="Of the set-ups [one for each core].")
@click.option("--repeat", default=5, show_default=True, help="Rounds; medians are shown.")
@click.option("--libmf", help="LIBMF's shared library, built with AVX [$LIBMF_SO].")
@as_option
def data(
    ratings: int,
    large: int,
    rank: int,
    threads: int | None,
    repeat: int,
    libmf: str | None,
    as_json: bool,
) -> None:
    """Measure reading, opening again, split and layout of large synthetic files."""
    from mfviz.backends.host import cpu_count
    from mfviz.bench.data import measure, tell
    from mfviz.bench.machine import machine, words

    for name, value, least in (("ratings", ratings, 1000), ("repeat", repeat, 1)):
        if value < least:
            raise ParameterError(f"--{name} is {value}; it must be at least {least}.", name)
    if large and large < 1000:
        raise ParameterError(f"--large is {large}; it must be at least 1000, or 0.", "large")
    described = machine()
    found = measure(
        lines=ratings, large=large, rank=rank, threads=threads or cpu_count(), repeat=repeat,
        libmf=libmf,
    )  # fmt: skip
    if as_json:
        echo_json({"machine": described, "data": found})
    else:
        click.echo(words(described) + "\n\n" + tell(found))


@bench.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("assets/traces"),
    show_default=True,
)
def traces(folder: Path) -> None:
    """Record the runs that the page plays on opening anew."""
    from mfviz.bench.traces import record

    if not folder.parent.is_dir():
        raise ParameterError(f"--folder {folder}: the folder {folder.parent} does not exist.")
    click.echo(table(("file", "bytes"), record(folder)))


def _page(data: str, solver: str, repeat: int, updates: float) -> dict[str, Any]:
    from mfviz.api import load
    from mfviz.backends.host import cpu_count
    from mfviz.bench.page import Desk, latency, opening, overhead

    # The browser is a program of its own and needs a core; the solver gets the others.
    job = {"data": data, "solver": solver, "rank": 32, "workers": max(1, cpu_count() - 1)}
    epochs = max(2, round(updates * 1e6 / (0.9 * load(data).nnz)))
    with Desk.open() as desk:
        return {
            "opening": opening(desk),
            "latency": latency(desk, {**job, "data": "toy"}, rate=20.0, events=300),
            "overhead": overhead(desk, {**job, "epochs": epochs}, repeat=repeat),
            "job": {**job, "epochs": epochs},
        }


def _solvers(
    data: str, rank: int, epochs: int, workers: int | None, repeat: int, keys: tuple[str, ...]
) -> dict[str, Any]:
    from mfviz.bench.solvers import measure

    rows = measure(
        data, rank=rank, epochs=epochs, workers=workers, repeat=repeat, solvers=list(keys)
    )
    return {"solvers": rows, "solvers_on": {"data": data, "rank": rank, "epochs": epochs}}


def _kernels(
    data: str,
    ranks: tuple[int, ...],
    epochs: int,
    workers: int | None,
    repeat: int,
    keys: tuple[str, ...],
) -> dict[str, Any]:
    from mfviz.api import load
    from mfviz.backends.host import cpu_count
    from mfviz.bench.kernels import measure
    from mfviz.data.problem import split

    problem, threads = split(load(data), holdout=0.1), workers or cpu_count()
    return {
        "kernels": measure(
            problem, ranks=ranks, epochs=epochs, workers=threads, repeat=repeat, solvers=keys
        )
    }


def _scaling(
    keys: tuple[str, ...],
    sizes: tuple[float, ...],
    ranks: tuple[int, ...],
    workers: tuple[int, ...],
    epochs: int,
    repeat: int,
) -> dict[str, Any]:
    from mfviz.backends.host import cpu_count
    from mfviz.bench.scaling import measure

    powers = sorted({min(1 << k, cpu_count()) for k in range(cpu_count().bit_length() + 1)})
    return {
        "scaling": measure(
            solvers=keys or ("sgd", "strip_sgd", "als", "ccdpp"), sizes=sizes, ranks=ranks,
            workers=workers or powers, epochs=epochs, repeat=repeat,
        )
    }  # fmt: skip


def _show(found: dict[str, Any], as_json: bool) -> None:
    from mfviz.bench import kernels, scaling, solvers
    from mfviz.bench.machine import machine, words

    described = machine()
    if as_json:
        echo_json({"machine": described, **found})
        return
    click.echo(words(described))
    if "opening" in found:
        click.echo("\n" + table(("page", "measured", "aim"), _page_rows(found)))
    if "solvers" in found:
        on = found["solvers_on"]
        click.echo(f"\n{on['data']}, rank {on['rank']}, {on['epochs']} epochs, no evaluation")
        click.echo(solvers.tell(found["solvers"]))
    for name, module in (("kernels", kernels), ("scaling", scaling)):
        if name in found:
            click.echo("\n" + module.tell(found[name]))


def _page_rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    opening, late, cost = found["opening"], found["latency"], found["overhead"]
    job = " ".join(f"{name}={value}" for name, value in found["job"].items())
    return [
        ("opening to a curve", f"{opening['curve_s']:.2f} s", ""),
        ("opening to a moving curve", f"{opening['moving_s']:.2f} s", "<= 3 s"),
        ("the same, worst", f"{opening['worst_moving_s']:.2f} s", ""),
        (f"event to screen at {late['events_per_s']:g}/s, median", f"{late['p50_ms']:.0f} ms", ""),
        ("the same, 95th percentile", f"{late['p95_ms']:.0f} ms", "<= 150 ms"),
        ("events shown", f"{late['shown_percent']:.1f} %", "100 %"),
        ("solve without a page", f"{cost['without_page_s']:.3f} s", job),
        ("solve with the page open", f"{cost['with_page_s']:.3f} s", ""),
        ("cost of watching, median of the pairs", f"{cost['overhead_percent']:+.1f} %", "<= 3 %"),
        (
            "the same, 90 % interval",
            f"{cost['overhead_low_percent']:+.1f} to {cost['overhead_high_percent']:+.1f} %",
            "",
        ),
    ]

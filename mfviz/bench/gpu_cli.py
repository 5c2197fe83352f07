"""``mfviz bench gpu``: the solvers with a CUDA form on this machine's device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mfviz.cli_common import as_option, echo_json
from mfviz.errors import ParameterError

__all__ = ["gpu"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@click.command()
@click.option(
    "--sizes", default="ml-1m,1m,25m,10m,netflix", show_default=True,
    help="1m, 10m, 25m and netflix are synthetic ratings of that shape; or names of data sets.",
)  # fmt: skip
@click.option("--solvers", default="", metavar="KEY,KEY", help="[all with a CUDA form]")
@click.option("--rank", default=64, show_default=True)
@click.option("--epochs", default=6, show_default=True, help="Of runs that are not evaluated.")
@click.option("--minutes", default=9.0, show_default=True, help="After which nothing begins.")
@click.option(
    "--rounds", default=2, show_default=True,
    help="Pairs of runs that tell what event timing costs; 0: none.",
)  # fmt: skip
@click.option("--backend", default="cuda", metavar="cuda|cpu", show_default=True)
@click.option("--device", default=0, show_default=True, help="See: mfviz devices.")
@click.option(
    "--record", default="1m", show_default=True, metavar="SIZE",
    help="Keep the evaluated runs of this synthetic size.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(".bench/gpu"),
    show_default=True, help="Folder of gpu.json, gpu.md and traces; written as results come.",
)  # fmt: skip
@as_option
def gpu(sizes: str, solvers: str, backend: str, as_json: bool, **given: Any) -> None:
    """Measure each solver with a CUDA form at growing sizes, beside bandwidth, model and goals."""
    from mfviz.bench.gpu import Plan, measure_all
    from mfviz.bench.gpu_report import markdown

    if backend not in ("cuda", "cpu"):
        raise ParameterError(f"--backend is {backend!r}; it must be cuda or cpu.", "backend")
    for name, least in (("rank", 1), ("epochs", 2), ("minutes", 0.01), ("rounds", 0)):
        if given[name] < least:
            raise ParameterError(f"--{name} is {given[name]}; it must be at least {least}.", name)
    plan = Plan(sizes=_names(sizes), solvers=_names(solvers), backend=backend, **given)
    found = measure_all(plan, lambda line: click.echo(line, err=True))
    if as_json:
        echo_json(found)
    else:
        click.echo(markdown(found))
        click.echo(f"\nwritten to {plan.out}")

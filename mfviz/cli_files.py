"""``mfviz replay`` and ``mfviz trace``: what can be done with a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfviz.cli_common import as_option, echo_json, report
from mfviz.cli_run import tell

if TYPE_CHECKING:
    from mfviz.telemetry.history import History

__all__ = ["replay", "trace"]

FILE = click.argument("file", type=click.Path(path_type=Path), metavar="FILE")


@click.command()
@FILE
@as_option
def replay(file: Path, as_json: bool) -> None:
    """Tell a recorded run (a .mfviz file or a run folder) as mfviz run told it."""
    history = _read(file)
    if as_json:
        echo_json(report(history))
    else:
        click.echo(tell(history))


@click.command()
@FILE
@click.option(
    "--perfetto",
    "out",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON file to write, for ui.perfetto.dev or chrome://tracing.",
)
def trace(file: Path, out: Path) -> None:
    """Export the timeline, RMSE and memory of a recorded run for a trace viewer."""
    from mfviz.telemetry.trace import write_perfetto

    write_perfetto(_read(file), out)
    click.echo(f"{out} written; open it in ui.perfetto.dev or chrome://tracing", err=True)


def _read(file: Path) -> History:
    from mfviz.experiments.store import open_run

    return open_run(file).history()

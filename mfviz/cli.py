"""The ``mfviz`` command: a page, runs, and what solvers and data there are.

Exit codes: 0 done, stopped or diverged; 1 failed; 2 bad input, with one clear line on standard
error; 130 interrupted. With ``--json``, standard output holds one strict JSON object and nothing
else; progress goes to standard error. Commands import what they need when they run, so that
``mfviz --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from mfviz import __version__
from mfviz.errors import MfvizError

__all__ = ["cli", "main"]

HOMES = {
    "explore": "mfviz.cli_explore",
    "solvers": "mfviz.cli_info",
    "devices": "mfviz.cli_info",
    "datasets": "mfviz.cli_info",
    "data": "mfviz.cli_info",
    "memory": "mfviz.cli_info",
    "run": "mfviz.cli_run",
    "warm": "mfviz.cli_run",
    "replay": "mfviz.cli_files",
    "trace": "mfviz.cli_files",
    "bench": "mfviz.bench.cli",
}
HELP = {
    "explore": "Serve the explorer on this machine.",
    "run": "Train a solver and tell its RMSE, times and memory.",
    "solvers": "List the solvers and their settings.",
    "devices": "List what can be trained on.",
    "datasets": "List the data sets.",
    "data": "Download a data set, tell what a file holds, or clear what is kept.",
    "memory": "Predict the memory of a solver.",
    "replay": "Tell the story of a recorded run.",
    "trace": "Export a recorded run for a trace viewer.",
    "warm": "Compile the kernels ahead of the first run.",
    "bench": "Measure mfviz on this machine.",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a reader needs them."""
        return list(HELP)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        home = HOMES.get(cmd_name)
        if home is None:
            return None
        command: click.Command = getattr(import_module(home), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(HELP.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown command with the names of those there are."""
        if args and args[0] not in HOMES:
            raise click.UsageError(f"no command {args[0]!r}; there are {', '.join(HELP)}.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that went (head, less) is no failure, as it is to click."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _reader_gone()


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mfviz")
def cli() -> None:
    """See how matrix factorization runs in parallel."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without it, those of the process.
    """
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="mfviz",
            standalone_mode=False,
        )
        if sys.stdout is not None:  # it may be closed: mfviz run ... >&-
            sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        code = fail(130, "interrupted")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = fail(2, error.format_message())
    except (MfvizError, OSError) as error:
        code = _input_error(error)
    except Exception as error:
        if os.environ.get("MFVIZ_DEBUG"):
            raise
        code = fail(
            1, f"{type(error).__name__}: {error} (set MFVIZ_DEBUG=1 to see where it came from)"
        )
    sys.exit(code if isinstance(code, int) else 0)


def fail(code: int, message: str) -> int:
    """Say what went wrong, in one line on standard error, and return the exit code."""
    line = " ".join(str(message).split())
    click.echo(f"mfviz: {line}", err=True)
    return code


def _reader_gone() -> int:
    """End in silence: Python must not complain at exit about what it could not write either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _input_error(error: Any) -> int:
    if isinstance(error, BrokenPipeError):
        return _reader_gone()
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return fail(2, f"{where}{error.strerror or error}")
    return fail(2, str(error))

"""What the commands share: strict JSON, tables for people, a run's report."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mfviz.telemetry.history import History

__all__ = ["as_json", "as_option", "echo_json", "mib", "report", "seconds", "table"]

as_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one strict JSON object and nothing else."
)


def strict(value: Any) -> Any:
    """Make a value fit for strict JSON: NaN and infinities become null, NumPy numbers plain."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_json(value: Any) -> str:
    """Write a value as strict JSON."""
    return json.dumps(strict(value), allow_nan=False, indent=2)


def echo_json(value: Any) -> None:
    """Print a value as strict JSON on standard output."""
    click.echo(as_json(value))


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, indent: str = "") -> str:
    """Align columns of text; numbers to the right.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequences
        Strings, or numbers that are written as they are.
    indent : str
        Put before each line.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[at], int | float) or _is_number(row[at]) for row in rows)
        for at in range(len(headers))
    ]
    lines = []
    for row in (list(headers), ["-" * width for width in widths], *cells):
        pieces = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append((indent + "  ".join(pieces)).rstrip())
    return "\n".join(lines)


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and text.replace(",", "").replace(".", "").lstrip("-").isdigit()


def seconds(value: float) -> str:
    """Write seconds with a unit that suits them."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def mib(size: float) -> str:
    """Write bytes as MiB."""
    return f"{size / 2**20:,.1f} MiB"


def report(history: History) -> dict[str, Any]:
    """Tell a run as ``mfviz run --json`` does.

    Parameters
    ----------
    history : History
        Of a live run that has ended, or of a run file.

    Returns
    -------
    dict
        RMSE are those of the last epoch, NaN where it was not evaluated.
    """
    last = history.epochs[-1] if history.epochs else None
    peaks = history.peak_by_place
    return {
        "status": history.status,
        "reason": history.reason,
        "fix": history.fix,
        "run": history.run,
        "solver": history.solver,
        "params": history.params,
        "backend": history.backend,
        "device": history.device,
        "problem": history.problem,
        "fingerprint": history.fingerprint,
        "shape": history.shape,
        "seed": history.seed,
        "determinism": history.determinism,
        "reconstruction": history.reconstruction,
        "epochs": last.epoch if last else 0,
        "updates": last.updates if last else 0,
        "setup_s": history.setup_s,
        "compile_s": history.compile_s,
        "solve_s": history.solve_s,
        "eval_s": history.eval_s,
        "wall_s": history.wall_s,
        "train_rmse": last.train_rmse if last else math.nan,
        "test_rmse": last.test_rmse if last else math.nan,
        "best_test_rmse": history.best_test_rmse,
        "history": history.frame().to_dict("records"),
        "peak_host_bytes": peaks.get("host", 0),
        "peak_device_bytes": sum(size for place, size in peaks.items() if place != "host"),
        "notices": [notice.message for notice in history.notices],
    }

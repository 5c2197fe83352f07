"""What the commands share: strict JSON, tables for people, a run's report."""

from __future__ import annotations

import json
import math
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mfviz.telemetry.agreement import agreement

if TYPE_CHECKING:
    from mfviz.telemetry.history import History

__all__ = ["as_json", "as_option", "echo_json", "report", "seconds", "size", "table"]

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
    """Align columns of text, numbers to the right; a long last column is wrapped on a terminal.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequences
        What is no string is written as it is.
    indent : str
        Put before each line.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    right = [bool(cells) and all(map(_is_number, column)) for column in zip(*cells, strict=True)]
    right = right or [False] * len(headers)
    *fixed, _ = widths
    room = shutil.get_terminal_size((100, 24)).columns - len(indent) - sum(fixed) - 2 * len(fixed)
    widths[-1] = min(widths[-1], max(room, 24))
    lines = []
    for row in (list(headers), ["-" * width for width in widths], *cells):
        *first, last = row
        wrapped = textwrap.wrap(last, widths[-1]) or [""]
        blank = [""] * len(first)
        for at, piece in enumerate(wrapped):
            line = zip([*(blank if at else first), piece], widths, right, strict=True)
            aligned = [text.rjust(n) if to_right else text.ljust(n) for text, n, to_right in line]
            lines.append((indent + "  ".join(aligned)).rstrip())
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    """Whether a cell belongs into a column of numbers; gaps do."""
    return text in ("", "...", "-") or text.replace(",", "").replace(".", "").isdigit()


def seconds(value: float) -> str:
    """Write seconds with a unit that suits them."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def size(held: float) -> str:
    """Write bytes with a unit that suits them."""
    for unit in ("B", "KiB", "MiB"):
        if held < 1024:
            return f"{held:.0f} {unit}" if unit == "B" else f"{held:.1f} {unit}"
        held /= 1024
    return f"{held:,.2f} GiB"


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
        **({"profile": found} if (found := agreement(history.measured)) else {}),
        "notices": [notice.message for notice in history.notices],
    }

"""Export to the Chrome trace event format, which ui.perfetto.dev and chrome://tracing open.

Times are microseconds since the run was created; a process is the run, a thread is a lane.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mfviz.telemetry.history import History

__all__ = ["perfetto", "write_perfetto"]

PID = 1


def perfetto(history: History) -> dict[str, Any]:
    """Put a run into a trace: lanes as threads, RMSE and memory as counters.

    Parameters
    ----------
    history : History

    Returns
    -------
    dict
        Strict JSON: values that are not finite are left out.
    """
    events = [_name("process_name", 0, f"{history.title or history.solver} ({history.problem})")]
    threads = {lane: at + 1 for at, lane in enumerate(history.lanes)}
    for lane, tid in threads.items():
        events.append(_name("thread_name", tid, lane))
        events.append(_meta("thread_sort_index", tid, {"sort_index": tid}))
    for span in history.spans:
        events.append(
            {
                "ph": "X", "pid": PID, "tid": threads[span.lane],
                "name": span.name, "cat": span.reason or span.op,
                "ts": span.start_ns / 1e3, "dur": (span.end_ns - span.start_ns) / 1e3,
                "args": {
                    "op": span.op, "epoch": span.epoch, "ratings": span.ratings,
                    "bytes": span.bytes, "block": span.block, "reason": span.reason,
                    "clock": span.clock,
                },
            }
        )  # fmt: skip
    return {
        "traceEvents": [*events, *_rmse(history), *_memory(history)],
        "displayTimeUnit": "ms",
        "otherData": {"run": history.run, "fingerprint": history.fingerprint, **history.versions},
    }


def write_perfetto(history: History, path: str | Path) -> None:
    """Write :func:`perfetto` to a file."""
    with Path(path).open("w", encoding="utf-8") as file:
        json.dump(perfetto(history), file, allow_nan=False)


def _meta(name: str, tid: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "pid": PID, "tid": tid, "name": name, "args": args}


def _name(kind: str, tid: int, name: str) -> dict[str, Any]:
    return _meta(kind, tid, {"name": name})


def _counter(name: str, t_ns: float, values: dict[str, float]) -> dict[str, Any]:
    return {"ph": "C", "pid": PID, "tid": 0, "name": name, "ts": t_ns / 1e3, "args": values}


def _rmse(history: History) -> list[dict[str, Any]]:
    found = []
    for row in history.evaluated:
        values = {"train": row.train_rmse, "test": row.test_rmse}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if finite:
            found.append(_counter("RMSE", history.started_ns + row.wall_s * 1e9, finite))
    return found


def _memory(history: History) -> list[dict[str, Any]]:
    """Bytes held, by part, at each change of the ledger, and the samples of the system."""
    found, held = [], dict.fromkeys(history.peak_by_part, 0)
    for t_ns, _, _, part, delta in history.ledger:
        held[part] = held.get(part, 0) + delta
        found.append(_counter("memory held (bytes)", t_ns, dict(held)))
    for sample in history.memory:
        name = f"{sample.place} (bytes)"
        found.append(_counter(name, sample.t_ns, {"used": sample.used_bytes}))
    return found

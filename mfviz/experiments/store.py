"""Runs on disk: a folder while a run grows, one ``.mfviz`` zip of the same when it is done.

A zip is read in place and never extracted, so no name in it can reach another folder.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import platformdirs

from mfviz.errors import RunFileError
from mfviz.telemetry.events import Event, Noticed, RunEnded, decode, encode
from mfviz.telemetry.history import History
from mfviz.telemetry.log import EVENTS_FILE, EventLog

__all__ = [
    "RecordedRun",
    "check_target",
    "copy_log",
    "new_folder",
    "open_run",
    "pack",
    "prune",
    "runs_dir",
]

KEEP = 50  # run folders that stay
LIMIT_BYTES = 1 << 30  # most that is read of a file's events or of one of its arrays
FOLDER_NAME = re.compile(r"\d{8}-\d{6}-[\w-]+")
DAMAGED = (zlib.error, zipfile.BadZipFile, EOFError, OSError)  # what reading a part may raise
ARRAY_NAME = re.compile(r"\w+")
TORN = "The last line of the run's file was incomplete and is left out; the rest is intact."
BROKEN_OFF = "The record breaks off here: the process ended before the run did."


def runs_dir() -> Path:
    """Folder of the run folders: ``$MFVIZ_RUNS_DIR``, else the user's data folder."""
    given = os.environ.get("MFVIZ_RUNS_DIR")
    return Path(given) if given else platformdirs.user_data_path("mfviz") / "runs"


def new_folder(run_id: str) -> Path:
    """Make a folder for a run, and remove the oldest beyond the last 50.

    Parameters
    ----------
    run_id : str
        Part of the folder's name, after the time.

    Returns
    -------
    Path
        In :func:`runs_dir`, or among the temporary files where that cannot be written.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9_-]', '_', run_id)}"
    folder = runs_dir() / name
    try:
        folder.mkdir(parents=True)
    except OSError:  # a home that is read-only or full is no reason not to run
        return Path(tempfile.mkdtemp(prefix="mfviz-run-"))
    prune(keep=KEEP)
    return folder


def prune(keep: int = KEEP) -> int:
    """Remove all run folders but the ``keep`` that were written to last; return how many went."""
    folders = [p for p in runs_dir().iterdir() if p.is_dir() and FOLDER_NAME.fullmatch(p.name)]
    folders.sort(key=_last_written, reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders[keep:])


def copy_log(log: EventLog, folder: Path) -> None:
    """Write all events of a log to ``events.jsonl`` in a folder."""
    cursor = 0
    with (folder / EVENTS_FILE).open("w", encoding="utf-8") as file:
        while cursor < len(log):
            events, cursor = log.read(cursor, 10_000)
            file.writelines(encode(event) + "\n" for event in events)


def check_target(target: Path) -> None:
    """Refuse a place where no ``.mfviz`` file can be put.

    Parameters
    ----------
    target : Path
        The file to be written. What is there is replaced, so it must be an ordinary file: a device
        or a pipe would be gone afterwards.

    Raises
    ------
    RunFileError
        If it is something else than a file, or its folder is missing or cannot be written to.
    """
    parent = target.absolute().parent
    if target.is_dir():
        raise RunFileError(f"{target} is a folder; name a file, as in run.mfviz.")
    if target.exists() and not target.is_file():
        raise RunFileError(f"{target} is a device or a pipe; name a file, as in run.mfviz.")
    if not parent.is_dir():
        raise RunFileError(f"{target}: the folder {parent} does not exist; make it.")
    if not os.access(parent, os.W_OK):
        raise RunFileError(f"{target}: the folder {parent} cannot be written to.")


def pack(folder: Path, target: Path, *, arrays: bool = True) -> Path:
    """Put a run folder into one ``.mfviz`` file, which appears only when it is complete.

    Parameters
    ----------
    folder : Path
        The run's folder; it stays.
    target : Path
    arrays : bool
        Whether ``arrays/*.npy`` go into it.

    Returns
    -------
    Path

    Raises
    ------
    RunFileError
        If the folder holds no run, or no file can be put there (see :func:`check_target`).
    """
    check_target(target)
    if not (folder / EVENTS_FILE).is_file():
        raise RunFileError(f"{folder} holds no run: {EVENTS_FILE} is missing.")
    files = [folder / EVENTS_FILE]
    if arrays:
        files += sorted((folder / "arrays").glob("*.npy"))
    partial = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for file in files:
                archive.write(file, file.relative_to(folder).as_posix())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


@dataclass(frozen=True)
class RecordedRun:
    """A run that was read from disk.

    Attributes
    ----------
    path : Path
        Folder or file it came from.
    events : list of Event
        All events. If the process was killed, a notice and a run-ended (stopped) that say so are
        added, so that a record always has an end.
    """

    path: Path
    events: list[Event]

    def history(self) -> History:
        """The events, folded into tables."""
        history = History()
        history.feed(self.events)
        return history

    def array(self, name: str) -> npt.NDArray[Any]:
        """Read an array that was saved with the run ("P", "Q", "bu", "bi").

        Raises
        ------
        RunFileError
            If the run has no such array, or it cannot be read.
        """
        if not ARRAY_NAME.fullmatch(name):
            raise RunFileError(f"{name!r} is no name of an array; use letters and digits.")
        try:
            with _open(self.path, f"arrays/{name}.npy") as file:
                data = file.read(LIMIT_BYTES)
            return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
        except (ValueError, *DAMAGED) as error:
            raise RunFileError(f"{self.path}: the array {name} is damaged ({error}).") from None


def open_run(path: str | Path) -> RecordedRun:
    """Read a run from its folder or its ``.mfviz`` file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    RecordedRun

    Raises
    ------
    RunFileError
        If it does not exist, is no run, or is damaged before its last line.
    """
    path = Path(path)
    try:
        with _open(path, EVENTS_FILE) as file:
            events, torn = _parse(path, file)
    except DAMAGED as error:
        raise RunFileError(f"{path} is damaged ({error}); use another copy.") from None
    if not events:
        raise RunFileError(f"{path} holds no event; it is no run or was cut off at once.")
    if torn:
        events.append(_next(events, Noticed, level="warning", message=TORN))
    if not isinstance(events[-1], RunEnded):
        history = History()
        history.feed(events)
        names = ("setup_s", "solve_s", "eval_s", "wall_s")
        times = {name: getattr(history, name) for name in names}
        events.append(_next(events, RunEnded, status="stopped", reason=BROKEN_OFF, **times))
    return RecordedRun(path, events)


def _next(events: list[Event], kind: type[Event], **fields: Any) -> Event:
    last = events[-1]
    return kind(run=last.run, seq=last.seq + 1, t_ns=last.t_ns, **fields)


def _parse(path: Path, file: BinaryIO) -> tuple[list[Event], bool]:
    """All events, and whether the last line was torn."""
    events: list[Event] = []
    for number, line in enumerate(_lines(path, file), 1):
        if not line.endswith(b"\n"):
            return events, True
        try:
            events.append(decode(line.decode()))
        except ValueError as error:  # JSON and UTF-8 errors are ValueErrors too
            raise RunFileError(
                f"{path}: line {number} of {EVENTS_FILE} is no event ({error}). "
                "The file is damaged; use another copy."
            ) from None
    return events, False


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    total = 0
    while line := file.readline(LIMIT_BYTES):
        total += len(line)
        if total > LIMIT_BYTES:
            raise RunFileError(f"{path} unpacks to more than {LIMIT_BYTES >> 30} GiB of events.")
        yield line


def _open(path: Path, name: str) -> BinaryIO:
    """Open a file of a run folder or of a zip."""
    try:
        if path.is_dir():
            return (path / name).open("rb")
        if path.exists() and not path.is_file():
            raise OSError("it is a device or a pipe")  # which may never end, or never begin
        return io.BufferedReader(zipfile.ZipFile(path).open(name))  # type: ignore[type-var]
    except FileNotFoundError:
        missing = name if path.is_dir() else "the file"
        raise RunFileError(
            f"{path}: {missing} does not exist; give a run folder or a .mfviz file."
        ) from None
    except (zipfile.BadZipFile, KeyError, OSError, RuntimeError) as error:
        raise RunFileError(
            f"{path} is neither a run folder nor a .mfviz file ({error}). Save the run again."
        ) from None


def _last_written(folder: Path) -> float:
    for path in (folder / EVENTS_FILE, folder):
        try:
            return path.stat().st_mtime
        except OSError:  # without events, or removed by another process just now
            continue
    return 0.0

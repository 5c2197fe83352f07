"""Fetch a file over HTTP, and go on where an earlier attempt broke off.

What arrived of a broken download waits in a hidden file whose name tells which version of the
file it is a part of (by the server's ETag or date). Who goes on with it takes it away first, so
that two processes never write to one file. Without such a mark all is asked for again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

__all__ = ["Fetcher"]

TIMEOUT_S = 30
BLOCK_BYTES = 1 << 16  # so much at most is lost where a connection breaks
DIGITS = 16  # of a mark
OTHERS = (requests.codes.partial_content, requests.codes.requested_range_not_satisfiable)
PLAIN = {"Accept-Encoding": "identity"}  # the bytes of the file, else they could not be counted


class Fetcher:
    """A downloader for pooch.

    Parameters
    ----------
    folder : Path
        Where what arrived of a broken download waits.
    name : str
        Of the file; parts are kept apart by it.
    progress : bool or progress bar
        Draw a bar on standard error, or use this one: it has ``total``, ``update(count)`` and
        ``close()``. What its ``update`` raises ends the download.
    """

    def __init__(self, folder: Path, name: str, progress: Any = True) -> None:
        self._folder, self._name, self._progress = folder, name, progress
        self._mark = ""  # of the version that is being fetched

    def __call__(self, url: str, target: str, pooch: Any = None) -> None:
        """Fetch ``url`` into ``target``.

        Raises
        ------
        requests.RequestException
            If the server cannot be reached, refuses or breaks off.
        """
        path = Path(target)
        self._take(path)
        try:
            self._fetch(url, path)
        except BaseException:
            if self._mark and path.exists():
                os.replace(path, self._part(self._mark))
            raise

    def _fetch(self, url: str, path: Path) -> None:
        have = path.stat().st_size if self._mark else 0
        with self._ask(url, have) as answer:
            goes_on = (
                answer.status_code == requests.codes.partial_content
                and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                and _mark(answer) == self._mark
            )
            if answer.status_code in OTHERS and not goes_on and have:
                self._mark = ""  # the server has another version by now
                return self._fetch(url, path)
            answer.raise_for_status()
            self._mark = _mark(answer)
            have = have if goes_on else 0
            total = have + int(answer.headers.get("Content-Length", 0))
            with self._bar(total) as bar, open(path, "ab" if goes_on else "wb") as file:
                bar.update(have)
                for block in answer.iter_content(BLOCK_BYTES):
                    file.write(block)
                    bar.update(len(block))
        return None

    def _ask(self, url: str, have: int) -> requests.Response:
        headers = {**PLAIN, "Range": f"bytes={have}-"} if have else PLAIN
        return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)

    def _take(self, path: Path) -> None:
        """Take what an earlier attempt left, unless somebody else is quicker."""
        self._mark = ""
        for part in self._folder.glob(f".{self._name}-{'[0-9a-f]' * DIGITS}.part"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(part, path)
                self._mark = part.stem.rpartition("-")[2]
                return

    def _part(self, mark: str) -> Path:
        return self._folder / f".{self._name}-{mark}.part"

    @contextlib.contextmanager
    def _bar(self, total: int) -> Iterator[Any]:
        bar = self._progress
        if isinstance(bar, bool):
            from tqdm import tqdm

            bar = tqdm(
                total=total, unit="B", unit_scale=True, desc=self._name, disable=not bar,
                leave=False,
            )  # fmt: skip
        bar.total = total
        try:
            yield bar
        finally:
            bar.close()


def _mark(answer: requests.Response) -> str:
    """What stands for the version of a file; "" where the server does not tell it."""
    tag = answer.headers.get("ETag", "")
    told = answer.headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
    return hashlib.sha256(told.encode()).hexdigest()[:DIGITS] if told else ""

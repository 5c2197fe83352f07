"""Get a public data set from its official address, into the user's cache.

What arrives is checked against the published checksum before anything is put in place, and a
download that fails or is damaged leaves the cache as it was. Of one that is broken off, what
arrived waits for the next attempt (:mod:`mfviz.data.fetching`).
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pooch

from mfviz.data.catalog import entry
from mfviz.data.entries import Entry
from mfviz.data.fetching import Fetcher
from mfviz.data.formats import read_parts
from mfviz.data.places import cache_dir, ratings_files
from mfviz.errors import DataError

__all__ = ["download", "get"]

# What is kept of an archive: ratings, official splits, titles and the terms of use.
WANTED = (
    *("u.data", "u?.base", "u?.test", "u.item", "ratings.*", "movies.*"),
    *("README*", "LICENSE*"),
)


def get(name: str, *, accept_licence: bool, progress: Any = True) -> Path:
    """Download a data set unless it is in the cache.

    Parameters
    ----------
    name : str
        Name in the catalog.
    accept_licence : bool
        Whether the user has seen the licence and agrees.
    progress : bool or progress bar
        Draw a bar on standard error, or use this one (as tqdm's).

    Returns
    -------
    Path
        Folder of the data set.

    Raises
    ------
    DataError
        If the name is not known or has no download, the licence is not accepted, the address
        cannot be reached, or what came is not what was expected.
    """
    found = entry(name)
    if found.kind == "synthetic":
        raise DataError(f"{name} is synthetic and made on this machine; there is nothing to get.")
    if not found.url:
        raise DataError(
            f"{name} has no public download. {found.licence} Put your own copy into the folder "
            f"{name} under MFVIZ_DATA_DIR."
        )
    if not accept_licence:
        raise DataError(
            f"{name} is not downloaded before its licence is accepted. {found.licence}"
        )
    return download(found, cache_dir(), progress=progress)


def download(found: Entry, folder: Path, *, progress: Any = True) -> Path:
    """Download a data set into ``folder/NAME``, whole or not at all.

    Parameters
    ----------
    found : Entry
        With an address.
    folder : Path
        Made if it is missing.
    progress : bool or progress bar

    Returns
    -------
    Path

    Raises
    ------
    DataError
        As :func:`get`.
    """
    target = folder / found.name
    if ratings_files(target):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{found.name}-") as scratch:
            archive = _fetch(found, Path(scratch), Fetcher(folder, found.name, progress))
            fresh = Path(scratch) / "whole"
            fresh.mkdir()
            if zipfile.is_zipfile(archive):
                _unpack(archive, fresh)
            else:
                archive.rename(fresh / archive.name)
            files = ratings_files(fresh)
            if not files:
                raise DataError(
                    f"{found.url}: what came holds no ratings. The address may have moved; "
                    f"{_by_hand(found)}"
                )
            if not found.checksum:
                read_parts(files, name=found.name)  # no checksum is published: look at it all
            _put(fresh, target)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror or error}). Free some space, or set "
            "MFVIZ_CACHE_DIR to another folder."
        ) from None
    return target


def _fetch(found: Entry, folder: Path, fetcher: Fetcher) -> Path:
    pooch.get_logger().setLevel("WARNING")  # it tells where its temporary file is
    name = found.url.rsplit("/", 1)[-1]
    try:
        pooch.retrieve(
            found.url,
            known_hash=found.checksum or None,
            fname=name,
            path=folder,
            downloader=fetcher,
        )
    except ValueError:
        raise DataError(
            f"{found.url}: what came has not the published checksum ({found.checksum}), so it was "
            "deleted. It was damaged on the way, or the set has changed; try again later."
        ) from None
    except OSError as error:  # all errors of requests are; those of the disk have a number
        if error.errno is not None:
            raise
        raise DataError(
            f"{found.url}: cannot be fetched ({_reason(error)}). Check the connection, or "
            f"{_by_hand(found)}"
        ) from None
    return folder / name


def _unpack(archive: Path, folder: Path) -> None:
    """Take the wanted files out of a zip, flat: names in it cannot lead elsewhere."""
    try:
        with zipfile.ZipFile(archive) as pack:
            for member in pack.infolist():
                name = member.filename.rsplit("/", 1)[-1]
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in WANTED):
                    with pack.open(member) as source, open(folder / name, "wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{archive.name}: this archive is damaged ({error}). Try again.") from None


def _put(fresh: Path, target: Path) -> None:
    """Move a finished folder into its place."""
    try:
        os.replace(fresh, target)
    except OSError:
        if not ratings_files(target):  # else another process was quicker, with the same files
            raise


def _by_hand(found: Entry) -> str:
    return (
        f"download {found.url} elsewhere, unpack it and put it into the folder {found.name} under "
        "MFVIZ_DATA_DIR."
    )


def _reason(error: Exception) -> str:
    text = str(error)
    if "certificate" in text.lower():
        return "the server's certificate is not valid at present"
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    if type(error).__name__ == "ConnectTimeout" or "timed out" in text:
        return "the server does not answer"
    return "no connection to the server"

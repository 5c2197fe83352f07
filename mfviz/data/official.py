"""Test sets that the owners of a data set gave beside it, in its folder or in its archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mfviz.data.archive import is_npz, members
from mfviz.data.formats import reading
from mfviz.data.places import in_archive, without_packing
from mfviz.errors import ParameterError

__all__ = ["official_test"]

# Beside training files of such a name lie test files of such names: Netflix Prize, KDD Cup 2011,
# Yahoo! Music R2, MovieLens 100K.
OFFICIAL = (
    ("mv_*.txt", "probe.txt"),
    ("combined_data_*.txt", "probe.txt"),
    ("trainIdx1.txt", "validationIdx1.txt"),
    ("train_*.txt", "test_*.txt"),
    ("*.base", "{stem}.test"),
)


def official_test(files: Sequence[Path]) -> tuple[Path, ...]:
    """Find the official test set beside the training files, or in the folder above them.

    Parameters
    ----------
    files : sequence of Path
        Of a set; an archive, or a member of one as ``archive.zip/member``, too.

    Returns
    -------
    tuple of Path
        Members of an archive are paths below it.

    Raises
    ------
    ParameterError
        If there is none: says which ones are known.
    """
    for path in _unpacked(files[:1]):
        name = without_packing(path.name)
        for pattern, beside in OFFICIAL:
            if not fnmatchcase(name, pattern):
                continue
            wanted = beside.format(stem=PurePosixPath(name).stem)
            for folder in _folders(path):
                found: dict[str, Path] = {}
                for other in folder:
                    if fnmatchcase(without_packing(other.name), wanted):
                        found.setdefault(without_packing(other.name), other)
                if found:
                    return tuple(found.values())
    known = "; ".join(f"{beside} beside {pattern}" for pattern, beside in OFFICIAL[1:4])
    raise ParameterError(
        f"there is no official test set here. Known are {known}; u1.test beside u1.base. Name the "
        "file with --test, or split at random.",
        "split",
    )


def _unpacked(files: Sequence[Path]) -> Iterator[Path]:
    """Files, and in place of an archive what is read of it."""
    for path in files:
        if path.is_file() and zipfile.is_zipfile(path) and not is_npz(path):
            with reading(str(path)):
                yield from (path / part.member for part in members(path))
        else:
            yield path


def _folders(path: Path) -> Iterator[list[Path]]:
    """What lies beside a file, and then what lies in the folder above."""
    inside = None if path.exists() else in_archive(path)
    if inside is None:
        for folder in (path.parent, path.parent.parent):
            yield sorted(folder.iterdir())
        return
    archive, member = inside
    with reading(str(archive)), zipfile.ZipFile(archive) as pack:
        names = sorted(name for name in pack.namelist() if not name.endswith("/"))
    own = PurePosixPath(member).parent
    for parent in (own, own.parent):
        yield [archive / name for name in names if PurePosixPath(name).parent == parent]

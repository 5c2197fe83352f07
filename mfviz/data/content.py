"""Where the bytes of ratings come from: a file, what it unpacks to, or many files as one.

Nothing is unpacked to disk. What is compressed is read as a stream, again from its start where a
second look is needed: that costs less than to hold the text.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

__all__ = [
    "BOM",
    "LONGEST_LINE",
    "PACKINGS",
    "Content",
    "Glued",
    "blocks",
    "holds",
    "printable",
    "squeezed",
]

# What compressed text starts with, and Arrow's name of the method.
PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
BLOCK_BYTES = 1 << 22
BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 20
RUN = re.compile(rb"[ \t]+")
EDGE = re.compile(rb"^ | (?=[\r\n]|$)|(?<=[\r\n]) ")


@dataclass(frozen=True)
class Content:
    """The bytes of one file of ratings.

    Attributes
    ----------
    path : Path
    packing : str
        How the file is compressed, as one of :data:`PACKINGS`; "" if it is not.
    member : str
        Name in a zip archive; "" where the file is none.
    """

    path: Path
    packing: str = ""
    member: str = ""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.path}, in it {printable(self.member)}" if self.member else str(self.path)

    @property
    def parts(self) -> tuple[Content, ...]:
        """The files that it is made of: itself."""
        return (self,)

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open it from the start, as a binary stream."""
        if self.member:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                if self.packing:
                    with pa.CompressedInputStream(pa.PythonFile(stream), self.packing) as inner:
                        yield inner
                else:
                    yield stream
        else:
            with pa.input_stream(str(self.path), compression=self.packing or None) as stream:
                yield stream


@dataclass(frozen=True)
class Glued:
    """Several files read as one, each beginning on a line of its own.

    Attributes
    ----------
    parts : tuple of Content
        At least one.
    """

    parts: tuple[Content, ...]

    @property
    def label(self) -> str:
        """What messages call it: the first of the files, and that there are more."""
        more = f" and {len(self.parts) - 1:,} more" if len(self.parts) > 1 else ""
        return self.parts[0].label + more

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open it from the start, as a binary stream."""
        with _Pieces(_ended(self.parts)) as stream:
            yield stream


class _Pieces(io.RawIOBase):
    """A stream over pieces of bytes, none of them empty."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill ``target`` as far as one piece goes; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _ended(parts: Sequence[Content]) -> Iterator[bytes]:
    """Bytes of all parts, with a line end after each that has none."""
    for part in parts:
        last = b"\n"
        with part.open() as stream:
            for at, block in enumerate(blocks(stream)):
                last = block[-1:]
                piece = block.removeprefix(BOM) if at == 0 else block
                if piece:
                    yield piece
        if last not in b"\r\n":
            yield b"\n"


def blocks(stream: Any, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Read a binary stream to its end, block by block."""
    while block := stream.read(size):
        yield block


def holds(content: Content | Glued, text: bytes) -> bool:
    """Whether one byte occurs.

    Parameters
    ----------
    content : Content or Glued
    text : bytes
        A single one, so that it cannot lie across two blocks.
    """
    with content.open() as stream:
        return any(text in block for block in blocks(stream))


def squeezed(stream: Any) -> io.RawIOBase:
    """Write each run of spaces and tabs as one space, and none at the edges of a line.

    Parameters
    ----------
    stream : binary stream
        Text of columns that are separated by white space.
    """
    return _Pieces(_squeezed(stream))


def _squeezed(stream: Any) -> Iterator[bytes]:
    rest = b""
    for at, block in enumerate(blocks(stream)):
        whole = rest + (block.removeprefix(BOM) if at == 0 else block)
        cut = max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1
        rest = whole[cut:]
        if cut:
            yield EDGE.sub(b"", RUN.sub(b" ", whole[:cut]))
        if len(rest) > LONGEST_LINE:
            raise ValueError("a line is too long")
    last = EDGE.sub(b"", RUN.sub(b" ", rest))
    if last:
        yield last


def printable(text: str) -> str:
    """Make a name fit for a message of one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)

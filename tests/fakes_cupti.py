"""A stand-in for CUPTI's Python module, ``cupti.cupti``: as much of it as mfviz calls."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

AHEAD = 10**15  # ns: its clock is another one
FIRST = 7  # number of the first stream


class Kind(enum.IntEnum):
    """What can be recorded."""

    MEMCPY = 1
    CONCURRENT_KERNEL = 10


class FakeCupti:
    """See the module; ``seen`` is what it has of (stream, start, end) on the host's clock."""

    ActivityKind = Kind

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.enabled: set[int] = set()
        self.seen: list[tuple[int, int, int]] = []
        self._completed: Callable[[Sequence[Any]], None] | None = None

    def activity_register_callbacks(
        self, requested: Callable[[], tuple[int, int]], completed: Callable[[Sequence[Any]], None]
    ) -> None:
        size, most = requested()
        assert size % 8 == 0
        assert most == 0
        self._completed = completed

    def activity_enable(self, kind: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.enabled.add(kind)

    def activity_disable(self, kind: int) -> None:
        self.enabled.remove(kind)

    def activity_flush_all(self, flag: int) -> None:
        assert flag == 1
        assert self._completed is not None
        seen, self.seen = self.seen, []
        made = [
            SimpleNamespace(stream_id=stream + FIRST, start=start + AHEAD, end=end + AHEAD)
            for stream, start, end in reversed(seen)  # buffers come in any order
        ]
        self._completed(made)

    def get_timestamp(self) -> int:
        return time.monotonic_ns() + AHEAD

    def get_stream_id_ex(self, context: int, stream: int, per_thread_stream: int) -> int:
        assert (context, per_thread_stream) == (0, 0)
        return stream + FIRST

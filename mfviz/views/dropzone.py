"""A place to drop a file on: the browser sends it in pieces, each after the one before arrived.

One message of the size of a file would exceed what a server takes, and hold up everything else.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import param

from mfviz.views.theme import sheet

__all__ = ["LIMIT_BYTES", "DropZone"]

LIMIT_BYTES = 10**9
PIECE_BYTES = 1 << 20


class DropZone(pn.custom.JSComponent):
    """A button that also takes a dropped file.

    Parameters
    ----------
    done : callable
        Receives the path of a file that arrived whole.
    failed : callable
        Receives a sentence where one was refused.
    **params
        Parameters of the component (``limit``, ``piece``, ``height``, ...).
    """

    limit = param.Integer(default=LIMIT_BYTES, doc="Largest file in bytes.")
    piece = param.Integer(default=PIECE_BYTES, doc="Bytes of a message.")

    _esm = """
    export function render({model}) {
      const zone = document.createElement("label")
      const input = document.createElement("input")
      const words = document.createElement("span")
      zone.className = "zone"
      input.type = "file"
      input.setAttribute("aria-label", "Choose a file of ratings")
      const idle = "Choose a file, or drop it here"
      words.textContent = idle
      zone.append(input, words)
      let file = null

      const piece = async (at) => {
        const part = await file.slice(at, at + model.piece).arrayBuffer()
        model.send_msg({name: file.name, size: file.size, at, piece: part})
      }
      const begin = (chosen) => {
        if (chosen == null || file != null) return
        if (chosen.size > model.limit) {
          model.send_msg({name: chosen.name, size: chosen.size, at: 0, piece: null})
          return
        }
        file = chosen
        piece(0)
      }
      model.on("msg:custom", ({next}) => {
        if (file == null) return
        if (next != null && next < file.size) {
          words.textContent = `Sending ${file.name}: ${Math.floor(100 * next / file.size)} %`
          piece(next)
        } else {
          file = null
          input.value = ""
          words.textContent = idle
        }
      })
      input.addEventListener("change", () => begin(input.files[0]))
      zone.addEventListener("dragover", (event) => {
        event.preventDefault()
        zone.classList.add("over")
      })
      zone.addEventListener("dragleave", () => zone.classList.remove("over"))
      zone.addEventListener("drop", (event) => {
        event.preventDefault()
        zone.classList.remove("over")
        begin(event.dataTransfer.files[0])
      })
      return zone
    }
    """

    def __init__(
        self, done: Callable[[Path], None], failed: Callable[[str], None], **params: Any
    ) -> None:
        defaults = {"margin": 0, "height": 44, "sizing_mode": "stretch_width"}
        super().__init__(**(defaults | {"stylesheets": [sheet("zone")]} | params))
        self._done, self._failed = done, failed
        self._folder: Path | None = None
        self._target: Path | None = None
        self._got = 0

    def close(self) -> None:
        """Remove the files that arrived."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _handle_msg(self, message: dict[str, Any]) -> None:
        piece, at, size = message.get("piece"), message.get("at"), message.get("size")
        if not isinstance(at, int | float) or not isinstance(size, int | float):
            return
        name = str(message.get("name", ""))
        if piece is None or not 0 < size <= self.limit:
            self._refuse(_too_large(name, size, self.limit) if size else f"{name} is empty.")
        elif not isinstance(piece, bytes | bytearray | memoryview) or (at and at != self._got):
            self._refuse(f"{name} did not arrive whole. Choose it again.")
        else:
            self._take(name, int(at), int(size), bytes(piece))

    def _take(self, name: str, at: int, size: int, piece: bytes) -> None:
        """Append a piece, and ask for the next one or pass the file on."""
        if at == 0:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="mfviz-upload-"))
            self._target, self._got = self._folder / _safe(name), 0
            self._target.unlink(missing_ok=True)
        if self._target is None or self._got + len(piece) > size or not piece:
            self._refuse(f"{name} did not arrive whole. Choose it again.")
            return
        with open(self._target, "ab") as file:
            file.write(piece)
        self._got += len(piece)
        self._send_msg({"next": self._got})
        if self._got == size:
            target, self._target = self._target, None
            self._done(target)

    def _refuse(self, sentence: str) -> None:
        self._target, self._got = None, 0
        self._send_msg({"next": None})
        self._failed(sentence)


def _safe(name: str) -> str:
    """A name for a file of ours: no folders, nothing that a shell or a page could take amiss."""
    return re.sub(r"[^\w.-]+", "_", Path(name.replace("\\", "/")).name).lstrip(".")[-80:] or "file"


def _too_large(name: str, size: float, limit: int) -> str:
    return (
        f"{name} has {math.ceil(size / 1e6):,} MB; at most {limit / 1e6:,.0f} MB can be sent. Put "
        "it on the machine that serves this page and give its path on the left."
    )

"""Whether the browser keeps up: it answers each beat once it has painted what came before it.

A server can send changes faster than a slow browser draws them. What is not drawn yet would queue
up and the page would show the past, so nothing is sent while the answer is owed: the next message
then holds everything that happened meanwhile.
"""

from __future__ import annotations

from typing import Any

import panel as pn
import param

__all__ = ["Beat"]

PATIENCE_S = 2.0  # a browser that never answers (one that sleeps) still gets news this often


class Beat(pn.custom.JSComponent):
    """Counts the messages that the browser has painted."""

    sent = param.Integer(default=0, doc="Beats sent to the browser.")

    _esm = """
    export function render({model, el}) {
      const answer = () => {
        const beat = model.sent
        const painted = () => setTimeout(() => model.send_msg({beat}), 0)
        document.hidden ? painted() : requestAnimationFrame(painted)
      }
      model.on("sent", answer)
      answer()
      el.style.display = "none"
    }
    """

    def __init__(self, **params: Any) -> None:
        hidden = {"width": 0, "height": 0, "margin": 0, "styles": {"position": "absolute"}}
        super().__init__(**(hidden | params))
        self._painted = 0
        self._sent_s = 0.0

    def ask(self, now: float) -> bool:
        """Tell whether changes may be sent at ``now`` (seconds of a monotonic clock).

        If so, the browser is asked to answer once it has painted them.
        """
        if self._painted < self.sent and now - self._sent_s < PATIENCE_S:
            return False
        self._sent_s = now
        self.sent += 1
        return True

    def _handle_msg(self, message: dict[str, Any]) -> None:
        self._painted = max(self._painted, int(message.get("beat", 0)))

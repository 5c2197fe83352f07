"""What only the browser can do: keys of the whole page, the clipboard, the title of the tab.

Keys are ignored while a field has the focus; Space belongs to a button that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

from mfviz.views.tabs import TABS

__all__ = ["KEYS", "Keys"]

# Key as the browser names it -> action and what the help says.
KEYS = {
    " ": ("toggle", "Space", "play or pause"),
    "ArrowRight": ("step", "→", "step"),
    "ArrowLeft": ("back", "←", "previous epoch"),
    "Shift+ArrowRight": ("forward10", "Shift →", "ten epochs on"),
    "Shift+ArrowLeft": ("back10", "Shift ←", "ten epochs back"),
    "Home": ("home", "Home", "first epoch"),
    "End": ("end", "End", "last epoch"),
    "r": ("reset", "R", "reset; the seed stays"),
    "Control+Enter": ("run", "Ctrl Enter", "run"),
    "s": ("stop", "S", "stop"),
    "d": ("theme", "D", "light or dark"),
    **{
        str(at): (f"tab-{key}", str(at), f"the {words} tab")
        for at, (key, words) in enumerate(TABS.items(), 1)
    },
    "?": ("help", "?", "this help"),
}


class Keys(pn.custom.JSComponent):
    """Listens to the keys of the document while it is on the page."""

    keys = param.List(default=list(KEYS), doc="Keys to report.")

    _esm = """
    const FIELD = 'input:not([type="range"]):not([type="checkbox"]), textarea, select'
    const PRESSED = 'button, a[href], [role="button"], input[type="checkbox"]'
    const LISTED = '[role="combobox"], [role="option"], [role="menuitem"], [role="dialog"]'

    const isFor = (target, key) => {
      const within = (what) => target.closest?.(what) != null
      if (key === "Control+Enter") return false
      if (target.isContentEditable || within(FIELD) || within(LISTED)) return true
      if (key === " ") return within(PRESSED)
      return key.length > 1 && within('input[type="range"]')
    }

    export function render({model, el}) {
      const listen = (event) => {
        const target = event.composedPath()[0]
        const name = event.key.length === 1 ? event.key.toLowerCase() : event.key
        const key = (event.ctrlKey || event.metaKey ? "Control+" : "")
          + (event.shiftKey && event.key.length > 1 ? "Shift+" : "") + name
        if (!model.keys.includes(key) || event.altKey || isFor(target, key)) return
        event.preventDefault()
        if (event.repeat && !key.includes("Arrow")) return
        if (key === "Control+Enter") target.blur?.()
        model.send_msg({key})
      }
      // A button that was clicked must not take the next Space for itself.
      const release = (event) => {
        if (event.detail > 0) event.composedPath()[0].closest?.("button")?.blur()
      }
      document.addEventListener("keydown", listen)
      document.addEventListener("click", release)
      model.on("msg:custom", () => {
        navigator.clipboard?.writeText(window.location.href).catch(() => {})
      })
      model.on("remove", () => {
        document.removeEventListener("keydown", listen)
        document.removeEventListener("click", release)
      })
      el.style.display = "none"
    }
    """

    def __init__(self, act: Callable[[str], None], **params: Any) -> None:
        hidden = {"width": 0, "height": 0, "margin": 0, "styles": {"position": "absolute"}}
        super().__init__(**(hidden | params))
        self._act = act

    def copy_address(self) -> None:
        """Put the page's address on the clipboard."""
        self._send_msg({"copy": True})

    def _handle_msg(self, message: dict[str, Any]) -> None:
        found = KEYS.get(message.get("key", ""))
        if found is not None:
            self._act(found[0])

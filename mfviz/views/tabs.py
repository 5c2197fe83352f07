"""The tabs of the page: buttons that a keyboard can reach, in the app bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

from mfviz.views.theme import sheet

__all__ = ["SETTINGS", "TABS", "Tabs"]

# Key in the address -> word on the tab.
TABS = {"train": "Train", "timeline": "Timeline", "memory": "Memory", "data": "Data"}
# Names in the address of what is chosen on a tab.
SETTINGS = {
    "timeline": ("epoch", "lanes"),
    "memory": ("fit.data", "fit.rank", "fit.on", "fit.limit"),
}


class Tabs(pn.custom.JSComponent):
    """A row of tabs; it tells which one was chosen and changes nothing by itself."""

    names = param.List(default=[], doc="Pairs of key and word.")
    active = param.String(default="", doc="Key of the tab that is shown.")

    _esm = """
    export function render({model}) {
      const list = document.createElement("div")
      list.className = "tabs"
      list.setAttribute("role", "tablist")
      const send = (key) => model.send_msg({tab: key})
      const tabs = model.names.map(([key, words], at) => {
        const tab = document.createElement("button")
        tab.setAttribute("role", "tab")
        tab.textContent = words
        tab.addEventListener("click", () => send(key))
        tab.addEventListener("keydown", (event) => {
          const by = {ArrowRight: 1, ArrowLeft: -1}[event.key]
          if (by == null) return
          event.preventDefault()
          event.stopPropagation()
          const next = (at + by + tabs.length) % tabs.length
          tabs[next].focus()
          send(model.names[next][0])
        })
        list.append(tab)
        return tab
      })
      const draw = () => tabs.forEach((tab, at) => {
        const chosen = model.names[at][0] === model.active
        tab.setAttribute("aria-selected", chosen)
        tab.tabIndex = chosen ? 0 : -1
      })
      model.on("active", draw)
      draw()
      return list
    }
    """

    def __init__(self, chosen: Callable[[str], None], **params: Any) -> None:
        defaults = {"names": [list(pair) for pair in TABS.items()], "active": "train", "margin": 0}
        super().__init__(**(defaults | {"stylesheets": [sheet("tabs")]} | params))
        self._chosen = chosen

    def _handle_msg(self, message: dict[str, Any]) -> None:
        if message.get("tab") in TABS:
            self._chosen(message["tab"])

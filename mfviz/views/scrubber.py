"""The scrubber: a native range input with ticks, which never answers by itself.

Material's slider sends a stale value back when it is moved from Python several times a second on a
busy machine, which a session would take for a person's hand. This one speaks only when it is
dragged or moved by keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import param

from mfviz.views.theme import sheet

__all__ = ["Scrubber"]


class Scrubber(pn.custom.JSComponent):
    """A place in a run, in epochs."""

    value = param.Number(default=0.0, doc="Epoch shown, with fractions.")
    end = param.Integer(default=1, doc="Last epoch of the scale.")
    ticks = param.List(default=[], doc="Epochs with a tick.")
    marks = param.List(default=[], doc="Triples of epoch, words and letter of a run.")
    text = param.String(default="", doc="The place in words, for screen readers.")
    disabled = param.Boolean(default=False)

    _esm = """
    export function render({model}) {
      const root = document.createElement("div")
      const input = document.createElement("input")
      const scale = document.createElement("div")
      root.className = "scrubber"
      scale.className = "scale"
      Object.assign(input, {type: "range", min: 0, step: 1})
      input.setAttribute("aria-label", "Epoch")
      root.append(input, scale)
      let dragging = false

      const place = () => {
        if (!dragging) input.value = model.value
        input.style.setProperty("--at", `${100 * input.value / model.end}%`)
        input.setAttribute("aria-valuetext", model.text)
      }
      const draw = () => {
        input.max = model.end
        input.disabled = model.disabled
        const at = (epoch) => `calc(7px + (100% - 14px) * ${epoch / model.end})`
        scale.replaceChildren(...model.ticks.map((epoch) => {
          const tick = document.createElement("i")
          tick.style.left = at(epoch)
          return tick
        }), ...model.marks.map(([epoch, words, letter]) => {
          const mark = document.createElement("span")
          mark.style.left = at(epoch)
          mark.className = letter
          mark.textContent = words
          return mark
        }))
        place()
        arrange()
      }
      // Words stand right of their mark; left of it where the next one, or the end, is too near;
      // and where there is no room either way they are told by the pointer only.
      const arrange = () => {
        const wide = scale.clientWidth
        if (!wide) return
        const at = (mark) => 7 + (wide - 14) * mark.epoch / model.end
        const marks = [...scale.querySelectorAll("span")]
          .map((span, i) => ({span, epoch: model.marks[i][0]}))
          .sort((a, b) => a.epoch - b.epoch)
        let free = 0
        marks.forEach((mark, i) => {
          const {span} = mark
          span.classList.remove("before", "bare")
          span.title = span.textContent
          const x = at(mark), room = i + 1 < marks.length ? at(marks[i + 1]) - 2 : wide
          const needed = span.offsetWidth
          if (x >= free && x + needed <= room) { free = x + needed; return }
          span.classList.add(x - needed >= free ? "before" : "bare")
          free = x + 2
        })
      }
      new ResizeObserver(arrange).observe(scale)
      input.step = "any"
      const send = () => model.send_msg({epoch: Math.round(Number(input.value))})
      input.addEventListener("pointerdown", () => { dragging = true })
      input.addEventListener("input", () => { place(); send() })
      input.addEventListener("pointerup", () => { dragging = false; send(); input.blur() })
      input.addEventListener("pointercancel", () => { dragging = false })
      input.addEventListener("keydown", (event) => {
        const by = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10,
          PageDown: -10}[event.key]
        if (by == null) return
        event.preventDefault()
        input.value = Math.min(Math.max(Math.round(Number(input.value)) + by, 0), model.end)
        place()
        send()
      })
      model.on(["end", "ticks", "marks", "disabled"], draw)
      model.on(["value", "text"], place)
      draw()
      return root
    }
    """

    def __init__(self, moved: Callable[[float], None], **params: Any) -> None:
        defaults = {"margin": 0, "sizing_mode": "stretch_width", "height": 28}
        super().__init__(**(defaults | {"stylesheets": [sheet("scrubber")]} | params))
        self._moved = moved

    def _handle_msg(self, message: dict[str, Any]) -> None:
        epoch = message.get("epoch")
        if isinstance(epoch, int | float):
            self._moved(float(epoch))

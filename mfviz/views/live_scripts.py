"""The few lines of the live figures that run in the browser: ticks, tool tips, lines of a run."""

from __future__ import annotations

__all__ = [
    "AGO", "AT_X", "BUSY", "CLEAN_EDGE", "COUNTS", "EVEN", "FACT", "NO_VARIABLES", "OF_LAYER",
    "OF_RUN", "PLAIN",
]  # fmt: skip

COUNTS = """
const a = Math.abs(tick)
const [size, unit] =
  a >= 1e9 ? [1e9, " G"] : a >= 1e6 ? [1e6, " M"] : a >= 1e3 ? [1e3, " K"] : [1, ""]
return Number((tick / size).toPrecision(4)) + unit
"""
# As many decimals as the step between ticks needs, and the same for all of them.
EVEN = """
const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1
return tick.toFixed(Math.min(Math.max(Math.ceil(-Math.log10(step) - 1e-6), 0), 6))
"""
PLAIN = "return String(Number(tick.toPrecision(6)))"
# A column as the line of run `letter` wants it: rows of other runs repeat its last point, so that
# its points are joined across them.
OF_RUN = """
const {run, [column]: all} = this.data, out = new Float64Array(run.length)
let last = NaN
for (let i = 0; i < out.length; i++) {
  if (run[i] === letter) last = all[i]
  out[i] = last
}
return out
"""
# One line of the tool tip: the state of run `format` at the x of the point under the pointer.
AT_X = """
const {data} = source, xs = data[hit.x.field], at = xs[special_vars.index]
let found = -1
for (let i = 0; i < xs.length; i++)
  if (data.run[i] === format && xs[i] <= at && (found < 0 || xs[i] >= xs[found])) found = i
if (found < 0) return ""
const rmse = (v) => Number.isFinite(v) ? v.toFixed(3) : "–"
const [test, train] = [data.test_rmse[found], data.train_rmse[found]]
return `${source.tags[0][format] ?? format}  test ${rmse(test)}  train ${rmse(train)}`
  + `  epoch ${data.epoch[found]}, ${data.solve_s[found].toPrecision(3)} s`
"""
# Time before now, in the unit that suits the axis.
AGO = """
if (tick === 0) return words.data.now[0]
const wide = Math.max(...ticks.map(Math.abs)), a = Math.abs(tick)
const [size, unit] = wide >= 2000 ? [1e3, "s"] : wide >= 2 ? [1, "ms"] : [1e-3, "µs"]
return (tick < 0 ? "−" : "+") + Number((a / size).toPrecision(4)) + " " + unit
"""
# Recorded to busy time, along the corners of a rising line; read anew for every batch of rows.
BUSY = """
const {x, y} = corners.data, last = x.length - 1, out = new Float64Array(xs.length)
for (let i = 0; i < xs.length; i++) {
  const at = xs[i]
  if (at >= x[last]) { out[i] = y[last]; continue }
  let low = 0, high = last
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (x[middle] <= at) low = middle
    else high = middle
  }
  const wide = x[high] - x[low]
  out[i] = wide > 0 ? y[low] + (at - x[low]) / wide * (y[high] - y[low]) : y[high]
}
return out
"""
# Rows of a run that are work, waits or modelled; plainer filters would walk the rows four times.
OF_LAYER = """
const {run, op, measured} = source.data, out = new Array(run.length)
for (let i = 0; i < out.length; i++)
  out[i] = run[i] === letter
    && (measured[i] ? (op[i] === "wait" ? "wait" : "work") : "modelled") === layer
return out
"""
# Each line of the tool tip is one of these; an empty one takes no room.
FACT = """
const row = (name) => source.data[name][special_vars.index]
const ms = row("end_ms") - row("start_ms")
const time = (t) => t >= 1000 ? (t / 1000).toPrecision(4) + " s"
  : t >= 1 ? t.toPrecision(4) + " ms" : (1000 * t).toPrecision(3) + " µs"
const many = (v) => v >= 1e9 ? (v / 1e9).toPrecision(3) + " G"
  : v >= 1e6 ? (v / 1e6).toPrecision(3) + " M"
  : v >= 1e3 ? (v / 1e3).toPrecision(3) + " K" : String(Math.round(v))
const wait = row("op") === "wait"
const [names, clocks] = source.tags
const block = (name, text) => {
  if (!text || !["users", "items"].includes(name)) return text ? `, block ${text}` : ""
  const [start, end] = text.split(",")
  if (row("lane").includes("stream")) return `, batch ${start}`
  return end === undefined ? ` ${text}` : ` ${Number(start) + 1}–${end}`
}
switch (format) {
  case "title": return wait ? "wait: " + (reasons[row("reason")] ?? row("reason"))
    : `${row("op")} ${row("name")}` + block(row("name"), row("block"))
  case "lane":
    return `${names[row("run")] ?? row("run")}, lane ${row("lane")}, epoch ${row("epoch")}`
  case "time": return `${time(ms)}, from ${row("start_ms").toFixed(2)} ms of the run`
  case "work": return row("ratings") > 0
    ? `${Math.round(row("ratings")).toLocaleString("en")} ratings, `
      + `${many(row("ratings") / ms * 1e3)} updates/s`
    : row("bytes") > 0
    ? `${many(row("bytes"))}B, ${(row("bytes") / ms / 1e6).toPrecision(3)} GB/s` : ""
  default: return row("measured") ? `measured, ${clocks[row("run")] ?? "host clock"}` : "modelled"
}
"""
# Bokeh's figures ask for a CSS variable of their own before each line or text that they draw, and
# the browser works out all styles anew for it: an eighth of all that it does. The page sets
# none of them. Where another Bokeh has no such method, it stays as it is.
NO_VARIABLES = """
try {
  const {prototype} = Bokeh.require("core/visuals/visual").VisualProperties
  if (prototype._get_css_value) prototype._get_css_value = () => ""
} catch {}
"""
# Bokeh clears a canvas half a pixel off: its outermost row and column would keep the colour that
# the figure had in the other theme.
CLEAN_EDGE = """
const layer = Bokeh.index.find_one_by_id(cb_obj.id)?.canvas_view?.primary
layer?.undo_transform?.((ctx) => ctx.clearRect(0, 0, layer.canvas.width, layer.canvas.height))
"""

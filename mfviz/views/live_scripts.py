"""The few lines of the live figures that run in the browser: ticks, tool tips, lines of a run."""

from __future__ import annotations

__all__ = ["AT_X", "COUNTS", "EVEN", "FACT", "OF_RUN", "PLAIN", "ago"]

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
return `${names[format] ?? format}  test ${rmse(test)}  train ${rmse(train)}`
  + `  epoch ${data.epoch[found]}, ${data.solve_s[found].toPrecision(3)} s`
"""
AGO = """
const a = Math.abs(tick)
if (a === 0) return word
const [size, unit] = wide >= 2000 ? [1e3, "s"] : wide >= 2 ? [1, "ms"] : [1e-3, "µs"]
return "−" + Number((a / size).toPrecision(4)) + " " + unit
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
const block = (name, text) => {
  if (!text || !["users", "items"].includes(name)) return text ? `, block ${text}` : ""
  const [start, end] = text.split(",")
  return ` ${Number(start) + 1}–${end}`
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


def ago(end: str, window_ms: float) -> str:
    """Code of the tick formatter: "now" or "end" at 0, else how long before."""
    return f'const word = "{end}", wide = {window_ms}\n{AGO}'

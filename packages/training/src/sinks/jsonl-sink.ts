import { Effect, type Scope } from "effect"
import { closeSync, fdatasyncSync, openSync, readFileSync } from "node:fs"
import { type MetricSinkShape, SinkFailed, type StepMetrics } from "./metric-sink.ts"
import { replaceFile } from "../write-files.ts"
import { appendWhole, attemptFile } from "./sink-file.ts"

/**
 * One line of `metrics.jsonl`: `step` first, then the metrics in the order given. Numbers are printed so that they read
 * back as the same float64.
 *
 * @throws SinkFailed on NaN and infinity, which JSON cannot hold, and on a metric called `step`.
 */
export const metricsLine = (file: string, step: number, metrics: StepMetrics): string => {
  const refuse = (reason: string) => new SinkFailed({ file, reason })
  const fields = Object.entries(metrics).map(([name, value]) => {
    if (name === "step") throw refuse(`a metric of step ${step} is called "step", the name of the line's own key`)
    if (!Number.isFinite(value)) throw refuse(`metric "${name}" of step ${step} is ${value}, which JSON cannot hold`)
    return `${JSON.stringify(name)}:${Object.is(value, -0) ? "-0" : value}`
  })
  return `{${[`"step":${step}`, ...fields].join(",")}}\n`
}

const stepOf = (file: string, line: string, number: number): number => {
  try {
    const { step } = JSON.parse(line) as { readonly step?: unknown }
    if (typeof step === "number") return step
  } catch {
    // Not JSON at all: the same complaint.
  }
  throw new SinkFailed({ file, reason: `line ${number} is not a JSON object with a number "step"` })
}

/**
 * Lines of a metrics file that a run left behind, up to and including a step. What follows the last newline is a write
 * cut short by a crash and is left out.
 *
 * @throws SinkFailed on a whole line without a step.
 */
const linesUpTo = (file: string, text: string, afterStep: number) =>
  text
    .split("\n")
    .slice(0, -1)
    .filter((line, index) => stepOf(file, line, index + 1) <= afterStep)
    .map((line) => `${line}\n`)

const rewrite = (file: string, afterStep: number) => {
  const text = readFileSync(file, "utf8")
  const kept = linesUpTo(file, text, afterStep).join("")
  if (kept !== text) replaceFile(file, Buffer.from(kept))
}

const openForAppending = (file: string) => openSync(file, "a")

/**
 * `metrics.jsonl`: one JSON object a line, on the disk before the next step begins. Opening an existing file drops a
 * torn last line and goes on after it; `truncate` replaces the file atomically.
 */
export const jsonlSink = Effect.fn("jsonlSink")(function* (
  file: string
): Effect.fn.Return<MetricSinkShape, SinkFailed, Scope.Scope> {
  let descriptor = yield* attemptFile(file, () => openForAppending(file))
  yield* Effect.addFinalizer(() => Effect.sync(() => closeSync(descriptor)))
  const truncate = (afterStep: number) =>
    attemptFile(file, () => {
      rewrite(file, afterStep)
      const reopened = openForAppending(file) // the old descriptor still points at the file that was replaced
      closeSync(descriptor)
      descriptor = reopened
    })
  yield* truncate(Number.POSITIVE_INFINITY)
  return {
    write: (step, metrics) =>
      attemptFile(file, () => {
        appendWhole(descriptor, Buffer.from(metricsLine(file, step, metrics)))
        fdatasyncSync(descriptor)
      }),
    truncate
  }
})

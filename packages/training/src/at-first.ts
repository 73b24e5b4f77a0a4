import type { ModelRuntimeShape } from "@plumbline/runtime"
import type { Expected } from "./algorithm.ts"
import type { StepMetrics } from "./sinks/metric-sink.ts"

export type Precision = ModelRuntimeShape["precision"]

/** Nats that rounding may put the log-ratio of a response off. */
const ROUNDING: Readonly<Record<Precision, number>> = { float32: 0.01, bfloat16: 1 }

/** Those metrics of a first step that are known, and of them those that are not what they should be. */
export const atFirst = (
  expected: Readonly<Record<string, Expected>>,
  metrics: StepMetrics,
  precision: Precision
): { readonly known: ReadonlyArray<string>; readonly off: ReadonlyArray<string> } => {
  const known = Object.keys(expected).filter((name) => name in metrics)
  const isOff = (name: string) => {
    const { perNat, value } = expected[name]!
    return !(Math.abs(metrics[name]! - value) <= perNat * ROUNDING[precision])
  }
  return { known, off: known.filter(isOff) }
}

/** `loss is 0.774543 and not 0.693147: the policy …`, of those that are off. */
export const offText = (
  expected: Readonly<Record<string, Expected>>,
  metrics: StepMetrics,
  off: ReadonlyArray<string>
): string => {
  const shown = off.map(
    (name) => `${name} is ${shortNumber(metrics[name]!)} and not ${shortNumber(expected[name]!.value)}`
  )
  return `${shown.join(", ")}: the policy as it begins is not its reference, as after another training, with another adapter or other weights`
}

/** Six digits at most. */
export const shortNumber = (value: number): string => String(Number(value.toPrecision(6)))

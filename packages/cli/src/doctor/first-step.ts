import type { Examiner, Finding, FirstStep } from "@plumbline/training"

type Precision = Examiner["precision"]

/** Nats that rounding may put the log-ratio of a response off. */
const ROUNDING: Readonly<Record<Precision, number>> = { float32: 0.01, bfloat16: 1 }

/** What the first step of a run says of it. */
export const firstStepFindings = (step: FirstStep, precision: Precision): ReadonlyArray<Finding> => [
  ...expectations(step, precision),
  ...warnings(step)
]

/** Metrics that are known before anything is learnt. */
const expectations = ({ expected, metrics }: FirstStep, precision: Precision): ReadonlyArray<Finding> => {
  const known = Object.entries(expected).filter(([name]) => name in metrics)
  if (known.length === 0) return []
  const off = known.filter(
    ([name, { perNat, value }]) => !(Math.abs(metrics[name]! - value) <= perNat * ROUNDING[precision])
  )
  const shown = (off.length === 0 ? known : off).map(([name, { value }]) => {
    const wanted = off.length === 0 ? "" : ` and not ${short(value)}`
    return `${name} is ${short(metrics[name]!)}${wanted}`
  })
  const meaning =
    off.length === 0
      ? "as before anything is learnt"
      : "the policy as it begins is not its reference, as after another training, with another adapter or other weights"
  return [
    { check: "first-step", verdict: off.length === 0 ? "fine" : "refused", text: `${shown.join(", ")}: ${meaning}` }
  ]
}

/** Of a batch that teaches nothing. */
const warnings = ({ metrics }: FirstStep): ReadonlyArray<Finding> =>
  [
    "loss" in metrics ? undefined : "the first batch has nothing to learn from",
    metrics["frac_reward_zero_std"] === 1
      ? "the responses to each prompt of the first batch have equal rewards: nothing can be learnt from them"
      : undefined,
    metrics["completions/clipped_ratio"] === 1
      ? "every response of the first batch was cut at its length, and none ended by itself"
      : undefined,
    metrics["grad_norm"] === 0 ? "the gradient of the first step is 0" : undefined
  ].flatMap((text) => (text === undefined ? [] : [{ check: "first-step", verdict: "warning" as const, text }]))

const short = (value: number): string => String(Number(value.toPrecision(6)))

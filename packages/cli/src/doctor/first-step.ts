import { atFirst, type Finding, type FirstStep, offText, type Precision, shortNumber } from "@plumbline/training"

/** What the first step of a run says of it. */
export const firstStepFindings = (step: FirstStep, precision: Precision): ReadonlyArray<Finding> => [
  ...expectations(step, precision),
  ...warnings(step)
]

/** Metrics that are known before anything is learnt. */
const expectations = ({ expected, metrics }: FirstStep, precision: Precision): ReadonlyArray<Finding> => {
  const { known, off } = atFirst(expected, metrics, precision)
  if (off.length > 0) return [{ check: "first-step", verdict: "refused", text: offText(expected, metrics, off) }]
  if (known.length === 0) return []
  const shown = known.map((name) => `${name} is ${shortNumber(metrics[name]!)}`).join(", ")
  return [{ check: "first-step", verdict: "fine", text: `${shown}: as before anything is learnt` }]
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

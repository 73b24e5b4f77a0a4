import { type Finding, type FirstStep, type MicroBatching, type Precision, shortNumber } from "@plumbline/training"

/** What rounding may change in the loss, and of the gradient's norm. */
const ROUNDING: Readonly<Record<Precision, { readonly loss: number; readonly gradient: number }>> = {
  float32: { loss: 1e-4, gradient: 1e-3 },
  bfloat16: { loss: 2e-2, gradient: 5e-2 }
}

/** Of a gradient, below which there is little but rounding. */
const LEAST_NORM = 1e-3

/** Another split of the first step's batch; none where it has one unit. */
export const otherSplit = ({ units }: FirstStep): MicroBatching | undefined => {
  if (Math.max(0, ...units) > 1) return { count: 1 }
  return units.length > 1 ? { count: 2 } : undefined
}

/** Whether the same batch makes the same step, however it is split. */
export const splitFinding = (asAsked: FirstStep, otherwise: FirstStep, precision: Precision): Finding => {
  const [a, b] = [asAsked.metrics, otherwise.metrics]
  if (String(asAsked.units) === String(otherwise.units)) {
    return unknown("batches are split by the algorithm itself")
  }
  if (a["num_tokens"] !== b["num_tokens"]) return unknown("the two were not made of the same tokens")
  if (!(a["grad_norm"]! > 0)) return unknown("the first batch teaches nothing")
  const compared = (["loss", "grad_norm"] as const).filter((name) => name in a || name in b)
  const apart = compared.filter((name) => !alike(name, a[name], b[name], ROUNDING[precision]))
  const shown = (apart.length === 0 ? compared : apart).map(
    (name) => `${name} ${short(a[name])}${apart.length === 0 ? "" : ` and ${short(b[name])}`}`
  )
  const ways = `${sizes(asAsked)} and ${sizes(otherwise)} at once`
  return apart.length === 0
    ? { check: "micro-batches", verdict: "fine", text: `${ways} make the same step: ${shown.join(", ")}` }
    : {
        check: "micro-batches",
        verdict: "refused",
        text: `${ways} make different steps: ${shown.join(", ")}; the loss is no sum over its units, or its units are miscounted`
      }
}

const unknown = (reason: string): Finding => ({
  check: "micro-batches",
  verdict: "warning",
  text: `not compared: ${reason}`
})

const alike = (
  name: "loss" | "grad_norm",
  a: number | undefined,
  b: number | undefined,
  { gradient, loss }: (typeof ROUNDING)[Precision]
): boolean => {
  if (a === undefined || b === undefined) return false
  const size = Math.max(Math.abs(a), Math.abs(b))
  return Math.abs(a - b) <= (name === "loss" ? loss * Math.max(1, size) : gradient * Math.max(LEAST_NORM, size))
}

const sizes = ({ units }: FirstStep): string => {
  const [least, most] = [Math.min(...units), Math.max(...units)]
  return least === most ? String(most) : `${least} to ${most}`
}

const short = (value: number | undefined): string => (value === undefined ? "none" : shortNumber(value))

import type { TokenizedPreference } from "@plumbline/data"
import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import { expect } from "vitest"
import type { ReferenceFreeLoss } from "../reference-free/reference-free-loss.ts"
import { expectClose, onWasm } from "./preference-case.ts"

/** Log-probs of pairs under the policy, as plain numbers. */
export interface PolicyNumbers {
  readonly chosen: ReadonlyArray<number>
  readonly rejected: ReadonlyArray<number>
}

/** The pair of the reference tables: sums of log-probs. */
export const tableSums: PolicyNumbers = { chosen: [-12], rejected: [-15] }

/** The pair of the reference tables: means of log-probs. */
export const tableMeans: PolicyNumbers = { chosen: [-1.2], rejected: [-1.5] }

type Loss<Row extends TokenizedPreference> = Pick<ReferenceFreeLoss<Row>, "perPair">

export const pairLosses = <Row extends TokenizedPreference>(loss: Loss<Row>, { chosen, rejected }: PolicyNumbers) =>
  tf.tidy(() => [
    ...loss.perPair({ chosen: tf.tensor1d([...chosen]), rejected: tf.tensor1d([...rejected]) }).dataSync()
  ])

/** ∂ Σ loss / ∂ log-prob, by the tape: of the chosen sides, then of the rejected ones. */
export const pairGradients = <Row extends TokenizedPreference>(loss: Loss<Row>, numbers: PolicyNumbers) =>
  tf.tidy(() => {
    const total = (chosen: Tensor, rejected: Tensor) =>
      tf.sum(loss.perPair({ chosen: chosen as Tensor1D, rejected: rejected as Tensor1D }))
    const slopes = tf.grads(total)([tf.tensor1d([...numbers.chosen]), tf.tensor1d([...numbers.rejected])])
    return slopes.flatMap((slope) => [...slope.dataSync()])
  })

const differences = <Row extends TokenizedPreference>(loss: Loss<Row>, numbers: PolicyNumbers, step = 2e-3) =>
  (["chosen", "rejected"] as const).flatMap((side) => {
    const moved = (by: number) => pairLosses(loss, { ...numbers, [side]: numbers[side].map((value) => value + by) })
    const [above, below] = [moved(step), moved(-step)]
    return above.map((value, i) => (value - below[i]!) / (2 * step))
  })

/** What every reference-free loss must satisfy besides its own table. */
export const referenceFreeLaws = <Row extends TokenizedPreference>(loss: ReferenceFreeLoss<Row>) => {
  onWasm("has the gradient of its value, on both sides and for both signs of the gap", () => {
    const pairs = { chosen: [-1.2, -2.5, -0.3, -4], rejected: [-1.5, -0.4, -3, -4.2] }
    expectClose(pairGradients(loss, pairs), differences(loss, pairs), 3e-3)
  })

  onWasm("is finite, with finite gradients, at −10⁴ nats and where a response is certain", () => {
    const far = { chosen: [-1e4, 0, -1, -1e4, 0], rejected: [0, -1e4, -1e4, -1e4, 0] }
    for (const value of [...pairLosses(loss, far), ...pairGradients(loss, far)]) {
      expect(Number.isFinite(value)).toBe(true)
    }
  })
}

import { tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import { expect } from "vitest"
import type { UnpairedLoss } from "../unpaired/unpaired-loss.ts"
import { expectClose, onWasm } from "./preference-case.ts"

/** Log-ratios of judged responses, as plain numbers. */
export interface JudgedNumbers {
  readonly logRatios: ReadonlyArray<number>
  readonly desirable: ReadonlyArray<number>
  readonly baseline: number
}

/** Log-ratios 1 of a desirable response and −0.5 of an undesirable one, as in the reference tables. */
export const tableResponses = { logRatios: [1, -0.5], desirable: [1, 0] } as const

const lossTensor = (loss: UnpairedLoss, logRatios: Tensor1D, { baseline, desirable }: JudgedNumbers): Tensor1D =>
  loss.perResponse({ logRatios, desirable: tf.tensor1d([...desirable]), baseline })

export const responseLosses = (loss: UnpairedLoss, numbers: JudgedNumbers): ReadonlyArray<number> =>
  tf.tidy(() => [...lossTensor(loss, tf.tensor1d([...numbers.logRatios]), numbers).dataSync()])

/** ∂ Σ loss / ∂ log-ratio, by the tape. */
export const responseGradients = (loss: UnpairedLoss, numbers: JudgedNumbers): ReadonlyArray<number> =>
  tf.tidy(() => {
    const total = (logRatios: Tensor) => tf.sum(lossTensor(loss, logRatios as Tensor1D, numbers))
    return [
      ...tf
        .grad(total)(tf.tensor1d([...numbers.logRatios]))
        .dataSync()
    ]
  })

const differences = (loss: UnpairedLoss, numbers: JudgedNumbers, step = 1e-2): ReadonlyArray<number> => {
  const moved = (by: number) =>
    responseLosses(loss, { ...numbers, logRatios: numbers.logRatios.map((ratio) => ratio + by) })
  const [above, below] = [moved(step), moved(-step)]
  return above.map((value, i) => (value - below[i]!) / (2 * step))
}

/** What every unpaired loss must satisfy besides its own table. */
export const unpairedLossLaws = (loss: UnpairedLoss) => {
  const both = { logRatios: [1, -2, 0.3, -0.7, 4], desirable: [1, 1, 0, 0, 1], baseline: 0.4 }

  onWasm("has the gradient of its value, for both classes and both signs", () =>
    expectClose(responseGradients(loss, both), differences(loss, both), 2e-3)
  )

  onWasm("pushes desirable responses up and the others down", () =>
    responseGradients(loss, both).forEach((slope, i) => expect(Math.sign(slope)).toBe(both.desirable[i] === 1 ? -1 : 1))
  )

  onWasm("is finite, with finite gradients, at ±10⁴ nats", () => {
    const far = { logRatios: [1e4, -1e4, 1e4, -1e4], desirable: [1, 1, 0, 0], baseline: 0.4 }
    for (const value of [...responseLosses(loss, far), ...responseGradients(loss, far)]) {
      expect(Number.isFinite(value)).toBe(true)
    }
  })
}

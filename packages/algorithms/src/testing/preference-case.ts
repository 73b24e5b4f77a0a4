import { it } from "@effect/vitest"
import { ModelRuntime, tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import { Effect } from "effect"
import { expect } from "vitest"
import type { PairLogProbs, PreferenceLoss } from "../preference/preference-loss.ts"

/** Log-ratios and lengths of pairs, as plain numbers. */
export interface PairNumbers {
  readonly chosen: ReadonlyArray<number>
  readonly rejected: ReadonlyArray<number>
  readonly chosenLengths?: ReadonlyArray<number>
  readonly rejectedLengths?: ReadonlyArray<number>
}

/**
 * The pair of the reference tables: log π −12 and −15, log π_ref −13 and −14.5, so the log-ratios are 1 and
 * −0.5; 8 and 10 tokens.
 */
export const tablePair: PairNumbers = { chosen: [1], rejected: [-0.5], chosenLengths: [8], rejectedLengths: [10] }

const tensors = ({ chosen, chosenLengths, rejected, rejectedLengths }: PairNumbers): PairLogProbs => ({
  chosen: tf.tensor1d([...chosen]),
  rejected: tf.tensor1d([...rejected]),
  chosenLengths: tf.tensor1d([...(chosenLengths ?? chosen.map(() => 1))]),
  rejectedLengths: tf.tensor1d([...(rejectedLengths ?? rejected.map(() => 1))])
})

export const lossOf = (loss: PreferenceLoss, pairs: PairNumbers): ReadonlyArray<number> =>
  tf.tidy(() => [...loss.perPair(tensors(pairs)).dataSync()])

/** ∂ Σ loss / ∂ log-ratio, by the tape. */
export const gradientsOf = (loss: PreferenceLoss, pairs: PairNumbers) =>
  tf.tidy(() => {
    const constant = tensors(pairs)
    const total = (chosen: Tensor, rejected: Tensor) =>
      tf.sum(loss.perPair({ ...constant, chosen: chosen as Tensor1D, rejected: rejected as Tensor1D }))
    const [chosen, rejected] = tf.grads(total)([constant.chosen, constant.rejected])
    return { chosen: [...chosen!.dataSync()], rejected: [...rejected!.dataSync()] }
  })

/** The same by central differences of the loss itself, for pairs whose losses are independent. */
const differencesOf = (loss: PreferenceLoss, pairs: PairNumbers, side: "chosen" | "rejected", step = 1e-2) => {
  const moved = (by: number) => lossOf(loss, { ...pairs, [side]: pairs[side].map((value) => value + by) })
  const below = moved(-step)
  return moved(step).map((value, pair) => (value - below[pair]!) / (2 * step))
}

export const expectClose = (actual: ReadonlyArray<number>, expected: ReadonlyArray<number>, tolerance: number) => {
  expect(actual.length).toBe(expected.length)
  actual.forEach((value, i) =>
    expect(Math.abs(value - expected[i]!), `[${i}] ${value} for ${expected[i]}`).toBeLessThanOrEqual(
      tolerance * Math.max(1, Math.abs(expected[i]!))
    )
  )
}

/** A test body that runs synchronously on the wasm backend. */
export const onWasm = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

/** What every preference loss must satisfy besides its own table. */
export const preferenceLossLaws = (loss: PreferenceLoss) => {
  onWasm("has the gradient of its value, on both sides and for both signs of the gap", () => {
    const pairs = {
      chosen: [1, -2, 0.3, -0.7],
      rejected: [-0.5, 1.5, 0.1, -3],
      chosenLengths: [8, 3, 5, 2],
      rejectedLengths: [10, 4, 2, 7]
    }
    const { chosen, rejected } = gradientsOf(loss, pairs)
    expectClose(chosen, differencesOf(loss, pairs, "chosen"), 2e-3)
    expectClose(rejected, differencesOf(loss, pairs, "rejected"), 2e-3)
  })

  onWasm("is finite, with finite gradients, at ±10⁴ nats", () => {
    const far = { chosen: [1e4, -1e4, 0, 0], rejected: [0, 0, 1e4, -1e4] }
    const { chosen, rejected } = gradientsOf(loss, far)
    for (const value of [...lossOf(loss, far), ...chosen, ...rejected]) expect(Number.isFinite(value)).toBe(true)
  })

  onWasm("leaves no tensor behind", () => {
    lossOf(loss, tablePair)
    const before = tf.memory().numTensors
    lossOf(loss, tablePair)
    gradientsOf(loss, tablePair)
    expect(tf.memory().numTensors).toBe(before)
  })
}

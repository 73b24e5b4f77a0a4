import { it } from "@effect/vitest"
import { ModelRuntime, tf, type Tensor, type Tensor1D } from "@plumbline/runtime"
import { Effect } from "effect"
import { expect } from "vitest"
import type { PairLogProbs, PreferenceLoss } from "../preference/preference-loss.ts"

/** Log-ratios and lengths of pairs, as plain numbers. */
export interface PairNumbers {
  readonly chosen: ReadonlyArray<number>
  readonly rejected: ReadonlyArray<number>
  /** log π_ref; 0 when absent, where the log-ratio is log π itself. */
  readonly referenceChosen?: ReadonlyArray<number>
  readonly referenceRejected?: ReadonlyArray<number>
  /** Graded reward of the chosen response minus that of the rejected one. */
  readonly rewardGaps?: ReadonlyArray<number>
  readonly chosenLengths?: ReadonlyArray<number>
  readonly rejectedLengths?: ReadonlyArray<number>
}

/**
 * The pair of the reference tables: log π −12 and −15, log π_ref −13 and −14.5, so the log-ratios are 1 and
 * −0.5; 8 and 10 tokens.
 */
export const tablePair: PairNumbers = {
  chosen: [1],
  rejected: [-0.5],
  referenceChosen: [-13],
  referenceRejected: [-14.5],
  chosenLengths: [8],
  rejectedLengths: [10]
}

type Sides = { readonly chosen: Tensor1D; readonly rejected: Tensor1D }

const sides = ({ chosen, rejected }: PairNumbers): Sides => ({
  chosen: tf.tensor1d([...chosen]),
  rejected: tf.tensor1d([...rejected])
})

const tensors = (numbers: PairNumbers, { chosen, rejected }: Sides): PairLogProbs => {
  const given = (values: ReadonlyArray<number> | undefined, otherwise: number) =>
    tf.tensor1d([...(values ?? numbers.chosen.map(() => otherwise))])
  return {
    chosen,
    rejected,
    policyChosen: tf.add(chosen, given(numbers.referenceChosen, 0)),
    policyRejected: tf.add(rejected, given(numbers.referenceRejected, 0)),
    chosenLengths: given(numbers.chosenLengths, 1),
    rejectedLengths: given(numbers.rejectedLengths, 1),
    rewardGaps: given(numbers.rewardGaps, Number.NaN)
  }
}

export const lossOf = (loss: PreferenceLoss, pairs: PairNumbers): ReadonlyArray<number> =>
  tf.tidy(() => [...loss.perPair(tensors(pairs, sides(pairs))).dataSync()])

/** ∂ Σ loss / ∂ log-ratio, by the tape. */
export const gradientsOf = (loss: PreferenceLoss, pairs: PairNumbers) =>
  tf.tidy(() => {
    const total = (chosen: Tensor, rejected: Tensor) =>
      tf.sum(loss.perPair(tensors(pairs, { chosen: chosen as Tensor1D, rejected: rejected as Tensor1D })))
    const { chosen: better, rejected: worse } = sides(pairs)
    const [chosen, rejected] = tf.grads(total)([better, worse])
    return { chosen: [...chosen!.dataSync()], rejected: [...rejected!.dataSync()] }
  })

/** The same by central differences of the summed loss, one log-ratio at a time: pairs may depend on one another. */
const differencesOf = (loss: PreferenceLoss, pairs: PairNumbers, side: "chosen" | "rejected", step = 1e-2) => {
  const sumAt = (pair: number, by: number) => {
    const moved = pairs[side].map((value, i) => (i === pair ? value + by : value))
    return lossOf(loss, { ...pairs, [side]: moved }).reduce((total, value) => total + value, 0)
  }
  return pairs[side].map((_, pair) => (sumAt(pair, step) - sumAt(pair, -step)) / (2 * step))
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
      referenceChosen: [-13, -20, -7, -9],
      referenceRejected: [-14.5, -18, -9, -4],
      rewardGaps: [0.8, 0.1, -0.5, 3],
      chosenLengths: [8, 3, 5, 2],
      rejectedLengths: [10, 4, 2, 7]
    }
    const { chosen, rejected } = gradientsOf(loss, pairs)
    expectClose(chosen, differencesOf(loss, pairs, "chosen"), 2e-3)
    expectClose(rejected, differencesOf(loss, pairs, "rejected"), 2e-3)
  })

  onWasm("is finite, with finite gradients, at ±10⁴ nats", () => {
    const far = { chosen: [1e4, -1e4, 0, 0], rejected: [0, 0, 1e4, -1e4], rewardGaps: [3, 3, -3, 0.1] }
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

import { assert, describe, it } from "@effect/vitest"
import { ModelRuntime, type Tensor, type Tensor1D, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { bradleyTerry, marginBradleyTerry, scaledBradleyTerry } from "./bradley-terry.ts"
import type { PairwiseLoss } from "./pairwise-loss.ts"

interface Pairs {
  readonly chosen: ReadonlyArray<number>
  readonly rejected: ReadonlyArray<number>
  readonly margins?: ReadonlyArray<number>
  readonly strengths?: ReadonlyArray<number>
}

/** Losses, and their gradients by either score. */
const table = (loss: PairwiseLoss, { chosen, margins, rejected, strengths }: Pairs) =>
  tf.tidy(() => {
    const given = (values: ReadonlyArray<number> | undefined, otherwise: number) =>
      tf.tensor1d([...(values ?? chosen.map(() => otherwise))])
    const perPair = (c: Tensor, r: Tensor) =>
      loss.perPair({
        chosen: c as Tensor1D,
        rejected: r as Tensor1D,
        margins: given(margins, 0),
        strengths: given(strengths, NaN)
      })
    const sides = [given(chosen, 0), given(rejected, 0)] as [Tensor1D, Tensor1D]
    const gradients = tf.grads((c: Tensor, r: Tensor) => tf.sum(perPair(c, r)))(sides)
    return [perPair(...sides), ...gradients].map((values) => [...values!.dataSync()])
  })

const near = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>, tolerance = 2e-6) => {
  assert.strictEqual(found.length, expected.length)
  expected.forEach((value, i) => assert.closeTo(found[i]!, value, tolerance * Math.max(1, Math.abs(value))))
}

const onWasm = (name: string, body: () => void) =>
  it.effect(name, () => Effect.sync(body).pipe(Effect.provide(ModelRuntime.layerWasm)))

// scores of 1 and 0.2 are those of the reference table, whose values were computed in float64
const pair = { chosen: [1], rejected: [0.2] }

describe("bradleyTerry", () => {
  onWasm("costs −log σ of the gap, ln 2 at equal scores, and pushes by σ(−gap)", () => {
    const [losses, chosen, rejected] = table(bradleyTerry(), { chosen: [1, 3, -1], rejected: [0.2, 3, 1] })
    near(losses!, [0.3711006659, Math.LN2, 2.126928011])
    // σ(−0.8), σ(0), σ(2)
    near(chosen!, [-0.3100255189, -0.5, -0.880797078])
    near(rejected!, [0.3100255189, 0.5, 0.880797078])
  })

  onWasm("wants the margin of pairs that have one besides", () => {
    const [losses, chosen, rejected] = table(bradleyTerry(), { ...pair, margins: [0.5] })
    near(losses!, [0.5543552445])
    near(chosen!, [-0.4255574832]) // σ(−0.3)
    near(rejected!, [0.4255574832])
  })

  onWasm("adds c·(r_c + r_r)² where it centres", () => {
    const [losses, chosen, rejected] = table(bradleyTerry({ centring: 0.01 }), pair)
    near(losses!, [0.3711006659 + 0.0144])
    near(chosen!, [-0.3100255189 + 0.024]) // 2·0.01·1.2
    near(rejected!, [0.3100255189 + 0.024])
  })

  onWasm("does not read strengths", () => near(table(bradleyTerry(), { ...pair, strengths: [3] })[0]!, [0.3711006659]))
})

describe("marginBradleyTerry", () => {
  onWasm("takes the strength for the margin", () => {
    const [losses, chosen] = table(marginBradleyTerry(), { ...pair, margins: [9], strengths: [0.5] })
    near(losses!, [0.5543552445])
    near(chosen!, [-0.4255574832])
  })
})

describe("scaledBradleyTerry", () => {
  onWasm("weighs pairs by their strength, one of 0 not at all, and centres apart from it", () => {
    const pairs = { chosen: [1, 1], rejected: [0.2, 0.2], strengths: [3, 0] }
    const [losses, chosen, rejected] = table(scaledBradleyTerry({ centring: 0.01 }), pairs)
    near(losses!, [3 * 0.3711006659 + 0.0144, 0.0144])
    near(chosen!, [-3 * 0.3100255189 + 0.024, 0.024])
    near(rejected!, [3 * 0.3100255189 + 0.024, 0.024])
  })
})

describe("every pairwise loss", () => {
  for (const loss of [bradleyTerry({ centring: 0.01 }), marginBradleyTerry(), scaledBradleyTerry()]) {
    onWasm(`is finite at ±10⁴, with finite gradients: ${loss.name}`, () => {
      const far = { chosen: [1e4, -1e4, 0, 0], rejected: [0, 0, 1e4, -1e4], strengths: [1, 2, 0, 3] }
      for (const value of table(loss, far).flat()) assert.isTrue(Number.isFinite(value))
    })
  }
})

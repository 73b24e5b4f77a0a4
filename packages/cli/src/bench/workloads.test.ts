import { llama } from "@plumbline/models"
import { alone, ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { countOperations } from "./operations.ts"
import type { Shape } from "./shapes.ts"
import { preferenceWorkload, supervisedWorkload, type Task, type Workload } from "./workloads.ts"

beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerWasm))))

const shape: Shape = { family: llama, vocabulary: 32, width: 8, layers: 1, heads: 2, mlpWidth: 16 }
const task: Task = {
  shape,
  batch: 2,
  microBatch: 2,
  length: 4,
  seed: 0,
  precomputeReference: false,
  loraRank: undefined,
  quantised: false,
  activationCheckpointing: false,
  processes: alone
}

/** Three steps of a workload and what they left. */
const tried = (make: (task: Task) => Workload, given: Task) => {
  const before = tf.memory().numTensors
  const workload = make(given)
  const losses = [workload.step(), workload.step(), workload.step()] as const
  const { flopsPerStep, tokensPerStep } = workload
  workload.dispose()
  return { losses, flopsPerStep, tokensPerStep, left: tf.memory().numTensors - before }
}

// Matrices and norms: 4·8² + 3·8·16 + 3·8 + the output matrix 32·8 = 920. A token of a row of 4 takes
// 6·920 + 6·layers·width·length = 6·920 + 6·1·8·4 = 5712 FLOPs forward and backward.
const FLOPS_PER_TOKEN = 5712

describe("supervised steps", () => {
  it("count 6 FLOPs a weight and token, and attention", () => {
    const { flopsPerStep, tokensPerStep } = tried(supervisedWorkload, task)
    expect([tokensPerStep, flopsPerStep]).toEqual([8, 8 * FLOPS_PER_TOKEN])
  })

  it("start near ln V, learn the batch and leave no tensor", () => {
    const { left, losses } = tried(supervisedWorkload, task)
    expect(losses[0]).toBeCloseTo(Math.log(32), 1)
    expect(losses[2]).toBeLessThan(losses[0])
    expect(left).toBe(0)
  })

  it("do not depend on the split into micro-batches", () => {
    const split = tried(supervisedWorkload, { ...task, microBatch: 1 })
    expect(split.losses[2]).toBeCloseTo(tried(supervisedWorkload, task).losses[2], 5)
  })
})

describe.each([
  ["supervised", supervisedWorkload, 1, Math.log(32)],
  ["preference", preferenceWorkload, 2, Math.LN2]
] as const)("%s steps through an adapter", (_, make, sides, first) => {
  it.each([false, true])(
    "train the adapter alone, in 4 bits below it: %s, count 4 FLOPs a frozen weight and 6 a trained one, and leave nothing",
    (quantised) => {
      const given = { ...task, loraRank: 2, quantised, precomputeReference: true }
      const { flopsPerStep, left, losses } = tried(make, given)
      expect(losses[0]).toBeCloseTo(first, 1)
      expect(losses[2]).toBeLessThan(losses[0])
      expect(left).toBe(0)
      // of rank 2 on seven layers: 4·2·(8 + 8) + 3·2·(8 + 16) = 272 numbers
      expect(flopsPerStep).toBe(8 * sides * (4 * 920 + 6 * 1 * 8 * 4 + 6 * 272))
      const workload = make(given)
      expect(workload.policy.variables.reduce((total, { size }) => total + size, 0)).toBe(272)
      workload.dispose()
    }
  )
})

describe.each([
  ["supervised", supervisedWorkload],
  ["preference", preferenceWorkload]
] as const)("%s steps with activation checkpointing", (_, make) => {
  it("run each block's kernels once more, with the same losses and nothing left", () => {
    const given = { ...task, activationCheckpointing: true }
    const [kept, again] = [tried(make, task), tried(make, given)]
    expect(again).toEqual(kept)
    const kernels = (of: Task) => {
      const workload = make(of)
      const { total } = countOperations(() => void workload.step())
      workload.dispose()
      return total
    }
    // the block's own: 2 norms, 7 linears, 2 rotaries, attention, gated activation, 2 sums
    expect(kernels(given) - kernels(task)).toBeGreaterThanOrEqual(15)
  })
})

describe("preference steps", () => {
  const precomputed = { ...task, precomputeReference: true }

  it("count both responses, and a third more for a reference in every step", () => {
    const once = tried(preferenceWorkload, precomputed)
    // 2 pairs of 2 rows of 4 tokens
    expect([once.tokensPerStep, once.flopsPerStep]).toEqual([16, 16 * FLOPS_PER_TOKEN])
    expect(tried(preferenceWorkload, task).flopsPerStep).toBeCloseTo((16 * FLOPS_PER_TOKEN * 4) / 3, 6)
  })

  it("start at ln 2 and learn the pairs, whenever the reference's log-probs were made", () => {
    const everyStep = tried(preferenceWorkload, task)
    expect(everyStep.losses[0]).toBeCloseTo(Math.LN2, 6)
    expect(everyStep.losses[2]).toBeLessThan(Math.LN2)
    expect(tried(preferenceWorkload, precomputed).losses).toEqual(everyStep.losses)
  })

  it("leave no tensor", () => {
    expect(tried(preferenceWorkload, task).left).toBe(0)
    expect(tried(preferenceWorkload, precomputed).left).toBe(0)
  })
})

import { decoderConfig, llama } from "@plumbline/models"
import { describe, expect, it } from "vitest"
import { costsOf } from "./costs.ts"
import type { Workload } from "./workload.ts"

const table = {
  family: llama,
  vocabulary: 10,
  width: 4,
  layers: 1,
  heads: 2,
  mlpWidth: 8,
  maxPositions: 16,
  tiedEmbeddings: true
}
const config = decoderConfig(table)

/** 10·4 embeddings + 4·(4·4) attention + 3·(4·8) MLP + 3·4 norms */
const N = 40 + 64 + 96 + 12

const options = {
  activationCheckpointing: false,
  processes: 1,
  sharding: "gradients",
  adapter: undefined,
  quantised: false,
  precision: "float32",
  device: "cpu",
  batchSize: 2,
  epochs: 3,
  evalEvery: 2,
  keepCheckpoints: 2
} as const

/** Four rows of 4 tokens, 2 steps an epoch. */
const rows: Workload = { units: [[4], [4], [4], [4]], heldOut: [], stepsPerEpoch: 2, reference: "never" }

/** Training FLOPs of a token in a row of 4: 6·N + 12·heads·headWidth·(w − w²/2T) with w = T = 4 */
const perToken = 6 * N + 12 * 4 * 2

describe("costsOf", () => {
  it("counts steps, tokens and FLOPs of rows", () => {
    expect(costsOf(config, rows, options)).toMatchObject({
      parameters: N,
      steps: 6,
      rows: 4,
      tokensPerStep: 8,
      flopsPerStep: 8 * perToken,
      flops: 6 * 8 * perToken
    })
  })

  it("adds a third for a reference at every step, and once all over for a precomputed one", () => {
    const every = costsOf(config, { ...rows, reference: "every step" }, options)
    expect(every.flopsPerStep).toBeCloseTo((8 * perToken * 4) / 3, 6)
    const once = costsOf(config, { ...rows, reference: "once" }, options)
    expect(once.flopsPerStep).toBe(8 * perToken)
    expect(once.flops).toBeCloseTo(6 * 8 * perToken + (16 * perToken) / 3, 6)
  })

  it("adds the blocks' forward pass with activation checkpointing, and keeps little more than their inputs", () => {
    const given = { ...options, activationCheckpointing: true }
    // a third of the blocks' share: all but the output matrix, 6·10·4 FLOPs a token
    expect(costsOf(config, rows, given).flopsPerStep).toBeCloseTo(8 * (perToken + (perToken - 6 * 40) / 3), 6)
    const deep = decoderConfig({ ...table, layers: 5 })
    // one layer's 56 features, as below, and five inputs of 4; and the slopes of an MLP
    expect(costsOf(deep, rows, given).memory.activations).toBe(8 * 4 * (56 + 5 * 4 + 24))
    expect(costsOf(deep, rows, options).memory.activations).toBe(8 * 4 * (5 * 56 + 24))
  })

  it("adds the forward passes of evaluations", () => {
    const { flops } = costsOf(config, { ...rows, heldOut: [[4]] }, options)
    // after steps 2, 4 and 6, over 4 tokens
    expect(flops).toBeCloseTo(6 * 8 * perToken + (3 * 4 * perToken) / 3, 6)
  })

  it("counts float32 weights, gradients, two moments, a copy for the reference, and a micro-batch's activations", () => {
    const { memory } = costsOf(config, { ...rows, reference: "every step" }, options)
    // a token: 4 bytes · 1 layer · (4·4 + 2·2·(2 + 2) + 3·8) features and the slopes of an MLP, 3·8; a batch has 8 tokens.
    // behind the blocks 3 · 4 features, and all logits
    expect(memory).toEqual({
      weights: 4 * N,
      gradients: 4 * N,
      moments: 8 * N,
      reference: 4 * N,
      activations: 8 * 4 * (56 + 24),
      output: 8 * 4 * (12 + 10),
      unfolded: 0,
      gathered: 0
    })
    expect(costsOf(config, rows, { ...options, microBatchSize: 1 }).memory).toMatchObject({
      activations: 4 * 4 * 80,
      // each joins the sum as it is made
      gradients: 4 * N
    })
    expect(costsOf(config, rows, { ...options, microBatchTokens: 5 }).memory.activations).toBe(5 * 4 * 80)
  })

  it("counts bfloat16 activations and gradients, and copies of matrices beside their float32 values", () => {
    const { memory } = costsOf(config, rows, { ...options, precision: "bfloat16" })
    expect(memory).toMatchObject({ weights: 4 * N + 2 * (N - 12), gradients: 2 * N, moments: 8 * N })
    expect(memory.activations).toBe(8 * 2 * 80)
  })

  it("counts a process's part of float32 values, moments and sums, and whole values beside a reference that moves", () => {
    const given = { ...options, precision: "bfloat16", processes: 4 } as const
    const often = costsOf(config, { ...rows, reference: "every step" }, { ...given, batchSize: 16, microBatchSize: 1 })
    expect(often.memory).toMatchObject({
      weights: 4 * 12 + (2 + 4 / 4) * (N - 12),
      // the sums of its own micro-batches, and its part of everyone's
      gradients: 2 * N + N,
      moments: 2 * N,
      reference: 4 * 12 + 2 * (N - 12)
    })
    const moving = costsOf(config, { ...rows, reference: "moving" }, given)
    const whole = 4 * N + 2 * (N - 12)
    expect(moving.memory).toMatchObject({ weights: whole, reference: whole })
    expect(moving.checkpointBytes).toBe(4 * N * 2 + 8 * N)
  })

  it("counts a process's part of all matrices where weights are in parts, and those of two places on the way", () => {
    const given = { ...options, precision: "bfloat16", processes: 4, sharding: "full" } as const
    const { memory } = costsOf(
      config,
      { ...rows, reference: "every step" },
      { ...given, batchSize: 16, microBatchSize: 1 }
    )
    expect(memory).toMatchObject({
      weights: 4 * 12 + (4 / 4) * (N - 12),
      // what is on its way, and parts of one micro-batch's sums and of those before
      gradients: 2 * N + 2 * N,
      reference: 4 * 12 + (2 / 4) * (N - 12),
      // the block, and the embedding before it
      gathered: 2 * (40 + 64 + 96)
    })
    expect(costsOf(config, rows, given).memory.gradients).toBe(2 * N + N)
    // another output matrix than the embedding is behind the block
    const untied = decoderConfig({ ...table, tiedEmbeddings: false })
    expect(costsOf(untied, rows, given).memory.gathered).toBe(2 * (40 + 64 + 96))
  })

  const adapter = { trained: 30, stored: 40, modules: ["model.layers.0.self_attn.v_proj"], isNew: true }
  const adapted = { ...options, adapter } as const

  it("counts moments and gradients of an adapter alone, whose base is frozen and its reference", () => {
    const costs = costsOf(config, { ...rows, reference: "every step" }, adapted)
    expect(costs.trainedParameters).toBe(30)
    // the norm before the MLP, 4, and what the down projection is given, 8, are read by no gradient
    expect(costs.memory).toMatchObject({
      weights: 4 * (N + 40),
      gradients: 4 * 30,
      moments: 8 * 30,
      reference: 0,
      activations: 8 * 4 * (80 - 12)
    })
    expect(costs.checkpointBytes).toBe(4 * 40 + 8 * 30)
    const again = costsOf(
      config,
      { ...rows, reference: "every step" },
      { ...adapted, adapter: { ...adapter, isNew: false } }
    )
    expect(again.memory.reference).toBe(4 * 40)
  })

  it("counts no gradient of frozen weights in the FLOPs, and the adapter's beside", () => {
    // 4·N + attention as above, 6 an adapter's number
    const trained = 4 * N + 12 * 4 * 2 + 6 * 40
    expect(costsOf(config, rows, adapted).flopsPerStep).toBe(8 * trained)
    expect(costsOf(config, { ...rows, reference: "every step" }, adapted).flopsPerStep).toBeCloseTo(
      8 * (trained + perToken / 3),
      6
    )
  })

  it("counts the blocks' matrices in 4 bits, and the largest as products read it", () => {
    const { memory } = costsOf(config, rows, { ...adapted, quantised: true, precision: "bfloat16" })
    // 4 of 16 and 3 of 32 numbers, each a block of 64: 32 bytes of codes, 256 of scales, 4 for those
    const folded = 7 * (32 + 256 + 4)
    // the embedding in 16 bits, 12 numbers of norms in 32, the adapter's with a copy of what is trained
    expect(memory.weights).toBe(folded + 2 * 40 + 4 * 12 + 6 * 30 + 4 * 10)
    expect(memory.unfolded).toBe(2 * 32)
    // an adapter on every layer, and what the down projection is given is made again
    const modules = ["q", "gate", "down"].map(
      (name) => `model.layers.0.${name === "q" ? "self_attn" : "mlp"}.${name}_proj`
    )
    const everywhere = { ...adapted, adapter: { ...adapter, modules } }
    expect(costsOf(config, rows, everywhere).memory.activations).toBe(8 * 4 * 80)
    expect(costsOf(config, rows, { ...everywhere, quantised: true }).memory.activations).toBe(8 * 4 * (80 - 8))
  })

  it("keeps the newest checkpoints, the best beside them where there are evaluations, and the final model", () => {
    const checkpoint = 12 * N
    const disk = (workload: Workload, changed: object) =>
      costsOf(config, workload, { ...options, ...changed }).diskBytes
    // one checkpoint, at the last step
    expect(disk(rows, {})).toBe(checkpoint + 4 * N)
    expect(disk(rows, { saveEvery: 1 })).toBe(2 * checkpoint + 4 * N)
    expect(disk({ ...rows, heldOut: [[4]] }, {})).toBe(3 * checkpoint + 4 * N)
    expect(disk(rows, { saveEvery: 0 })).toBe(4 * N)
  })
})

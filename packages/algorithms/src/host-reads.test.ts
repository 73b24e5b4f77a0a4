import { collate } from "@plumbline/data"
import { createModel, freeze, llama } from "@plumbline/models"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { accumulate } from "@plumbline/training"
import { Effect, Exit } from "effect"
import { afterEach, describe, expect, it, vi } from "vitest"
import { dpo, negativeLogLikelihood, pairRows, preferenceObjective, responseLogProbs } from "./index.ts"

const torch = await Effect.runPromiseExit(Effect.provide(ModelRuntime, ModelRuntime.layerTorch({ device: "cpu" })))

const packed = { layout: "packed", padId: 0 } as const
const rowOf = (ids: ReadonlyArray<number>) => ({
  ids: Int32Array.from(ids),
  lossMask: Uint8Array.from(ids, (_, t) => (t > 0 ? 1 : 0))
})
const lists = [
  [1, 2, 3, 1, 2],
  [4, 5, 1]
]

/** What a device waits for is a read of its values; on the CPU the reads are the same ones. */
describe.skipIf(Exit.isFailure(torch))("a training step on torch", () => {
  afterEach(() => vi.restoreAllMocks())

  const model = () =>
    createModel({ family: llama, vocabulary: 13, width: 16, layers: 2, heads: 2, mlpWidth: 24, maxPositions: 16 }, 1)

  /** Reads of the second of two steps: the first foresees nothing. */
  const readsOf = (step: () => ReturnType<typeof accumulate>): number => {
    tf.dispose(step().gradients)
    const reads = vi.spyOn((tf.backend() as unknown as { readonly addon: { toHost: () => unknown } }).addon, "toHost")
    tf.dispose(step().gradients)
    return reads.mock.calls.length
  }

  it("of supervised fine-tuning reads once", () => {
    const policy = model()
    const batches = lists.map((ids) => ({ rows: collate([rowOf(ids)], packed), tokens: ids.length, origins: ["row"] }))
    expect(readsOf(() => accumulate(negativeLogLikelihood, { policy }, batches))).toBe(1)
    policy.dispose()
  })

  it("of DPO reads once when the reference is known", () => {
    const policy = model()
    const reference = freeze(policy)
    const [chosen, rejected] = lists.map(rowOf)
    const rows = pairRows(packed, [{ row: { chosen: chosen!, rejected: rejected! }, tokens: 8, origin: "pair" }])
    const batch = { ...rows, referenceLogProbs: responseLogProbs(reference, rows) }
    const objective = preferenceObjective(dpo({ beta: 0.1 }))
    expect(readsOf(() => accumulate(objective, { policy }, [batch]))).toBe(1)
    reference.dispose()
    policy.dispose()
  })
})

import { createModel, llama } from "@plumbline/models"
import { ModelRuntime, narrowed, type ProcessesShape, tf, type Variable } from "@plumbline/runtime"
import { Effect, Exit } from "effect"
import { describe, expect, it } from "vitest"
import { dividedWeights } from "./divided-weights.ts"

const second: ProcessesShape = { rank: 1, size: 2, sharding: "gradients", exchange: (value) => [value, value] }

const table = { family: llama, vocabulary: 512, width: 128, layers: 1, heads: 4, mlpWidth: 512, maxPositions: 64 }

/** What became of the weights of a model that was divided, by name. */
const divided = (precision: "float32" | "bfloat16") =>
  Effect.sync(() => {
    const model = createModel(table, 3)
    const exact = new Map([...model.parameters].map(([name, tensor]) => [name, tensor.dataSync() as Float32Array]))
    const weights = dividedWeights([model], second)
    weights.divide()
    const found = [...model.parameters].map(([name, tensor]) => {
      const before = exact.get(name)!
      const narrow = tf.tidy(() => narrowed(tf.tensor(before, tensor.shape)).dataSync())
      return {
        name,
        before,
        part: weights.partOf(tensor as Variable)?.dataSync(),
        isExact: tensor.dataSync().every((value, i) => value === before[i]),
        isNarrow: tensor.dataSync().every((value, i) => value === narrow[i])
      }
    })
    weights.dispose()
    model.dispose()
    return found
  }).pipe(Effect.provide(ModelRuntime.layerTorch({ device: "cpu", precision })), Effect.runPromise)

const torch = ModelRuntime.layerTorch({ device: "cpu" })
const hasTorch = Exit.isSuccess(await Effect.runPromiseExit(Effect.provide(ModelRuntime, torch)))

describe.skipIf(!hasTorch)("dividedWeights", () => {
  it("leaves a matrix as products read it, and a process its part of the exact values; small ones as they are", async () => {
    const found = await divided("bfloat16")
    const parts = found.filter(({ part }) => part !== undefined)
    // the embedding, the output matrix and the MLP: 65,536 numbers and more
    expect(parts.map(({ before }) => before.length)).toEqual([65_536, 65_536, 65_536, 65_536, 65_536])
    for (const { before, isExact, isNarrow, part } of parts) {
      expect(part).toEqual(before.subarray(before.length / 2))
      expect([isExact, isNarrow]).toEqual([false, true])
    }
    for (const { isExact, part } of found) if (part === undefined) expect(isExact).toBe(true)
  })

  it("divides nothing where products read the exact values", async () => {
    for (const { isExact, part } of await divided("float32")) expect([isExact, part]).toEqual([true, undefined])
  })
})

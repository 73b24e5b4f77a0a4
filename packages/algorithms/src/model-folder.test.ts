import { type CausalLM, Policy, ReferencePolicy, saveModel } from "@plumbline/models"
import { adaptedPolicy, adaptNew, type AdapterOptions, lora } from "@plumbline/peft"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { referenceFolder } from "./model-folder.ts"
import { collate } from "@plumbline/data"
import { smallModel, unevenRows } from "./testing/small-models.ts"

let folder: string
const run = <A, E>(effect: Effect.Effect<A, E, ModelRuntime>) =>
  Effect.runPromise(Effect.provide(effect, ModelRuntime.layerWasm))

/** A base, and an adapter of it that has learnt something. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-reference-"))
  await run(
    Effect.gen(function* () {
      const base = smallModel()
      yield* saveModel(base, join(folder, "base"))
      const { model } = adaptNew(base, lora({ rank: 2 }), 1, { baseFolder: join(folder, "base") })
      for (const variable of model.variables) variable.assign(tf.fill(variable.shape, 0.3))
      yield* saveModel(model, join(folder, "adapter"))
    })
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const rows = collate(unevenRows, { layout: "packed", padId: 0 })
const logProbs = (model: CausalLM) => {
  const { correct, entropy, logProbs: values } = model.tokenLogProbs(rows)
  const read = Array.from(values.dataSync())
  tf.dispose([correct, entropy, values])
  return read
}

/** Log-probs of policy and reference before training, of the reference after a change of the policy, and what the reference holds. */
const observed = (options: AdapterOptions & { readonly reference?: string }) => {
  const all = { ...options, model: join(folder, "base"), seed: 1 }
  return run(
    Effect.scoped(
      Effect.gen(function* () {
        const policy = yield* Policy
        const before = tf.memory().numBytes
        const context = yield* Layer.build(referenceFolder(all))
        const bytes = tf.memory().numBytes - before
        const reference = yield* Effect.provide(ReferencePolicy, context)
        const [own, its] = [logProbs(policy), logProbs(reference)]
        for (const variable of policy.variables) variable.assign(tf.fill(variable.shape, 0.2))
        policy.version.advance()
        return { own, its, later: logProbs(reference), bytes }
      })
    ).pipe(Effect.provide(adaptedPolicy(all.model, all, all.seed)))
  )
}

const baseLogProbs = () => run(Effect.sync(() => logProbs(smallModel())))
const baseBytes = () => 4 * [...smallModel().parameters.values()].reduce((total, { size }) => total + size, 0)

it("is the base at no memory where an adapter is new", async () => {
  const { bytes, its, later, own } = await observed({ loraRank: 2 })
  expect(bytes).toBe(0)
  expect(its).toEqual(await baseLogProbs())
  expect(own).toEqual(its)
  expect(later).toEqual(its)
})

it("is the base at no memory where it is named beside an adapter that goes on", async () => {
  const { bytes, its, later, own } = await observed({
    adapter: join(folder, "adapter"),
    reference: join(folder, "base")
  })
  expect(bytes).toBe(0)
  expect(its).toEqual(await baseLogProbs())
  expect(own).not.toEqual(its)
  expect(later).toEqual(its)
})

it("is the policy before training otherwise, of which the adapter alone is held twice", async () => {
  const { bytes, its, later, own } = await observed({ adapter: join(folder, "adapter") })
  expect(own).toEqual(its)
  expect(its).not.toEqual(await baseLogProbs())
  expect(later).toEqual(its)
  expect(bytes).toBeGreaterThan(0)
  expect(bytes).toBeLessThan(await run(Effect.sync(baseBytes)))
})

it("is another copy of the folder where all weights are trained", async () => {
  const { bytes, its, later } = await observed({})
  expect(bytes).toBe(await run(Effect.sync(baseBytes)))
  expect(later).toEqual(its)
})

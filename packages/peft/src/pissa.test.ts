import { describe, expect, it } from "@effect/vitest"
import { type CausalLM, freeze, loadCausalLM, restoreWeights, saveModel } from "@plumbline/models"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime, type Tensor2D, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { adaptNew } from "./adapt.ts"
import { loadAdapter } from "./file/load-adapter.ts"
import { lora, type LoraOptions } from "./methods/lora.ts"
import { descend, expectStep, fixtures, logProbs, type PeftValues, worst } from "./testing/peft-values.ts"

const json = (...path: ReadonlyArray<string>) => JSON.parse(readFileSync(join(...path), "utf8"))

const inFolder = <A, E>(name: string, body: (folder: string) => Effect.Effect<A, E, ModelRuntime>) =>
  it.effect(name, () =>
    Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "pissa-"))),
      body,
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

const theirs: ReadonlyArray<readonly [string, Omit<LoraOptions, "rank">]> = [
  ["pissa", { targets: ["q_proj", "k_proj", "down_proj"], rankPattern: { k_proj: 2 } }],
  ["pissa-rslora", { targets: ["v_proj", "gate_proj"], rankStabilized: true }]
]

describe.for(theirs)("peft's %s", ([name, options]) => {
  const opened = Effect.gen(function* () {
    const expected = json(fixtures, "pissa", name, "expected.json") as PeftValues
    const base = yield* loadCausalLM(join(fixtures, "families", expected.base), { name, trainable: false })
    return { base, expected, ids: expected.input_ids }
  })

  inFolder("begins, descends and is stored as ours, whose base stays as it is", (folder) =>
    Effect.gen(function* () {
      const { base, expected, ids } = yield* opened
      const before = [...base.parameters.values()].map((tensor) => tensor.dataSync().slice())
      const adapted = adaptNew(base, lora({ rank: 4, alpha: 6, init: "pissa", ...options }), 1)
      const { model } = adapted
      expect(logProbs(model, ids)).toEqual(logProbs(base, ids))
      expect(worst(logProbs(model, ids), expected.token_logprobs)).toBeLessThanOrEqual(1e-5)
      expectStep(adapted, expected)
      const after = logProbs(model, ids)
      expect(worst(after, expected.token_logprobs_after_step)).toBeLessThanOrEqual(1e-5)
      expect(worst(after, expected.token_logprobs)).toBeGreaterThan(1e-2)
      expect([...base.parameters.values()].map((tensor) => tensor.dataSync())).toEqual(before)
      yield* saveModel(model, folder)
      const { auto_mapping: _, target_modules: __, ...written } = json(folder, "adapter_config.json")
      expect(json(fixtures, "pissa", name, "adapter_config.json")).toMatchObject({
        ...written,
        // √2·√2 is not 2
        lora_alpha: expect.closeTo(written.lora_alpha, 12)
      })
      const again = yield* loadAdapter(base, folder, { trainable: false })
      expect(worst(logProbs(again.model, ids), after)).toBeLessThanOrEqual(1e-6)
    })
  )

  it.effect("opens as the LoRA adapter that peft made of it", () =>
    Effect.gen(function* () {
      const { base, expected, ids } = yield* opened
      const { model } = yield* loadAdapter(base, join(fixtures, "pissa", name), { trainable: false })
      expect(worst(logProbs(model, ids), expected.token_logprobs_after_step)).toBeLessThanOrEqual(1e-5)
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

const ids = [3, 9, 4, 9, 21, 7, 30]

describe("PiSSA", () => {
  inFolder("goes on from what was stored of it, bit for bit", (folder) =>
    Effect.gen(function* () {
      const base = freeze(tinyModel(5))
      const begun = () => adaptNew(base, lora({ rank: 3, init: "pissa" }), 4).model
      const [first, second] = [begun(), begun()]
      descend(first, ids, 0.3)
      yield* saveModel(first, join(folder, "then"))
      yield* restoreWeights(second, join(folder, "then"))
      const values = (model: CausalLM) => model.variables.map((variable) => variable.dataSync())
      expect(values(second)).toEqual(values(first))
      expect(logProbs(second, ids)).toEqual(logProbs(first, ids))
      for (const model of [first, second]) descend(model, ids, 0.3)
      expect(values(second)).toEqual(values(first))
    })
  )

  inFolder("begins as a base in 4 bits, too", (folder) =>
    Effect.gen(function* () {
      yield* saveModel(tinyModel(5), folder)
      const base = yield* loadCausalLM(folder, { name: "base", trainable: false, quantised: true })
      const { model } = adaptNew(base, lora({ rank: 3, init: "pissa" }), 1)
      expect(logProbs(model, ids)).toEqual(logProbs(base, ids))
      const { loss } = descend(model, ids, 0.1)
      expect(descend(model, ids, 0.1).loss).toBeLessThan(loss - 0.01)
    })
  )

  it.effect("is refused where there are no such singular values, and with what it does not go with", () =>
    Effect.sync(() => {
      const base = tinyModel(5)
      const begin = (options: LoraOptions) => () => adaptNew(base, lora({ init: "pissa", ...options }), 1)
      expect(begin({ rank: 17, targets: ["q_proj"] })).toThrow("[16, 16] has no 17 singular values")
      expect(begin({ rank: 2, alpha: 0 })).toThrow("alpha must be above 0")
      expect(begin({ rank: 2, decomposed: true })).toThrow("DoRA")
      base.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

it.effect("orthogonal matrices have the sizes of PEFT's, and share no direction of the ranks between them", () =>
  Effect.sync(() => {
    const { adapter } = adaptNew(tinyModel(5), lora({ rank: 8, init: "orthogonal" }), 1)
    const matrices = (end: string) =>
      [...adapter.tensors].flatMap(([name, tensor]) => (name.endsWith(end) ? [tensor as Tensor2D] : []))
    const [as, bs] = [matrices("lora_A.weight"), matrices("lora_B.weight")]
    as.forEach((a, layer) => {
      expect(Math.max(...tf.abs(tf.matMul(bs[layer]!, a)).dataSync())).toBeLessThan(1e-7)
    })
    // N(0, 1)/10 in half of the directions: each number has the variance 1/200
    for (const drawn of [as, bs]) {
      const all = drawn.flatMap((matrix) => [...matrix.dataSync()])
      expect(all.reduce((sum, x) => sum + x * x, 0) / all.length).toBeCloseTo(1 / 200, 3)
    }
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

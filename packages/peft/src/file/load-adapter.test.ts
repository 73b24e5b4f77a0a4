import { describe, expect, it } from "@effect/vitest"
import {
  type CausalLM,
  createModel,
  encodeSafetensors,
  freeze,
  nemotron,
  readTensors,
  saveModel
} from "@plumbline/models"
import { tinyModel, tinyTable, wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, type Tensor, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { adaptNew } from "../adapt.ts"
import { merged } from "../merge.ts"
import type { AdapterMethod } from "../method.ts"
import { bitFit } from "../methods/bit-fit.ts"
import { ia3 } from "../methods/ia3.ts"
import { lora } from "../methods/lora.ts"
import { prefixTuning } from "../methods/prefix-tuning.ts"
import { promptTuning } from "../methods/prompt-tuning.ts"
import { vera } from "../methods/vera.ts"
import { loadAdapter } from "./load-adapter.ts"
import { mergedFields } from "./merged-adapters.ts"

const inFolder = <A, E>(name: string, body: (folder: string) => Effect.Effect<A, E, ModelRuntime>) =>
  it.effect(name, () =>
    Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "adapter-"))),
      body,
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

const rows = wholeRows([3, 9, 4, 9, 21, 7, 30])
const logProbs = (model: CausalLM) => tf.tidy(() => model.tokenLogProbs(rows).logProbs.dataSync())
const disturb = (model: CausalLM) => {
  for (const variable of model.variables) tf.tidy(() => variable.assign(tf.add(variable, 0.07)))
}

const methods: ReadonlyArray<readonly [string, () => AdapterMethod]> = [
  ["LoRA", () => lora({ rank: 3, alpha: 5, rankPattern: { q_proj: 2 }, alphaPattern: { k_proj: 1 } })],
  ["rsLoRA with a head in full", () => lora({ rank: 3, rankStabilized: true, trainedModules: ["lm_head"] })],
  ["DoRA", () => lora({ rank: 3, decomposed: true, targets: ".*q_proj" })],
  ["PiSSA", () => lora({ rank: 3, alpha: 5, init: "pissa", rankPattern: { q_proj: 2 }, alphaPattern: { k_proj: 1 } })],
  ["(IA)³", () => ia3()],
  ["prompt tuning", () => promptTuning({ tokens: 5 })],
  ["prefix tuning", () => prefixTuning({ tokens: 5 })],
  ["VeRA", () => vera({ rank: 4 })],
  ["BitFit", () => bitFit({ trainedModules: ["norm"] })]
]

describe.for(methods)("%s", ([, make]) => {
  inFolder("comes back from its folder, bit for bit, to go on or to stay", (folder) =>
    Effect.gen(function* () {
      const base = freeze(tinyModel(5))
      const { model } = adaptNew(base, make(), 1)
      disturb(model)
      yield* saveModel(model, join(folder, "a"))
      for (const trainable of [true, false]) {
        const again = yield* loadAdapter(base, join(folder, "a"), { trainable })
        expect(logProbs(again.model)).toEqual(logProbs(model))
        expect(again.model.variables).toHaveLength(trainable ? model.variables.length : 0)
      }
    })
  )
})

/** Writes the file again with other tensors. */
const withTensors = (folder: string, change: (tensors: Map<string, Tensor>) => void) =>
  Effect.gen(function* () {
    const file = join(folder, "adapter_model.safetensors")
    const tensors = new Map(yield* readTensors(file))
    change(tensors)
    writeFileSync(
      file,
      encodeSafetensors(
        [...tensors].map(([name, tensor]) => ({
          name,
          shape: tensor.shape,
          values: tensor.dataSync() as Float32Array
        }))
      )
    )
  })

describe("an adapter that PEFT wrote", () => {
  inFolder("may bring a copy of the head that it is on, and no other matrix", (folder) =>
    Effect.gen(function* () {
      const base = freeze(tinyModel(5))
      yield* saveModel(adaptNew(base, lora({ rank: 2, targets: ["lm_head"] }), 1).model, folder)
      const stored = "base_model.model.lm_head.base_layer.weight"
      const head = base.weights.tensor("lm_head.weight")
      yield* withTensors(folder, (tensors) => tensors.set(stored, head))
      const before = tf.memory().numTensors
      const { adapter } = yield* loadAdapter(base, folder, { trainable: false })
      expect(tf.memory().numTensors - before).toBe(2)
      expect([...adapter.tensors.keys()].some((name) => name === stored)).toBe(false)
      yield* withTensors(folder, (tensors) => tensors.set(stored, tf.mul(head, 1.1)))
      expect(yield* refused(folder, base)).toContain(`it has no place for tensor ${stored}`)
    })
  )

  inFolder(
    "names modules that are trained in full so that PEFT, which looks at their last letters, means the same",
    (folder) =>
      Effect.gen(function* () {
        const base = freeze(tinyModel(5))
        const trainedModules = ["norm", "lm_head", "1.input_layernorm"]
        const { model } = adaptNew(base, lora({ rank: 2, trainedModules, targets: ["q_proj"] }), 1)
        disturb(model)
        yield* saveModel(model, folder)
        const { modules_to_save: written } = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"))
        expect(written).toEqual(["model.norm", "lm_head", "1.input_layernorm"])
        const again = yield* loadAdapter(base, folder, { trainable: true })
        expect(logProbs(again.model)).toEqual(logProbs(model))
        expect(again.model.variables).toHaveLength(model.variables.length)
      })
  )

  inFolder("trains modules in full whose names end in the letters that it gives", (folder) =>
    Effect.gen(function* () {
      const base = freeze(tinyModel(5))
      const norms = ["norm", "input_layernorm", "post_attention_layernorm"]
      const { model } = adaptNew(base, lora({ rank: 2, trainedModules: norms }), 1)
      disturb(model)
      yield* saveModel(model, folder)
      // as PEFT has it: one name for all of them
      withConfig(folder, { modules_to_save: ["norm"] })
      const again = yield* loadAdapter(base, folder, { trainable: true })
      expect(logProbs(again.model)).toEqual(logProbs(model))
      expect(again.model.variables).toHaveLength(model.variables.length)
    })
  )
})

const refused = (folder: string, base: CausalLM) =>
  loadAdapter(base, folder, { trainable: false }).pipe(
    Effect.flip,
    Effect.map(({ message }) => message)
  )

const withConfig = (folder: string, changes: object) => {
  const file = join(folder, "adapter_config.json")
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...changes }))
}

describe("an adapter folder is refused", () => {
  const saved = (folder: string) => {
    const base = freeze(tinyModel(5))
    return Effect.as(saveModel(adaptNew(base, lora({ rank: 2, targets: ["q_proj"] }), 1).model, folder), base)
  }

  inFolder("on a model of another architecture, although the shapes fit", (folder) =>
    Effect.gen(function* () {
      yield* saved(folder)
      const other = freeze(createModel({ ...tinyTable, family: nemotron }, 1))
      expect(yield* refused(folder, other)).toContain("trained on a Llama model, and this is a Nemotron")
    })
  )

  inFolder("on a model of other sizes", (folder) =>
    Effect.gen(function* () {
      yield* saved(folder)
      const other = (changes: object) => freeze(createModel({ ...tinyTable, ...changes }, 1))
      expect(yield* refused(folder, other({ width: 32 }))).toContain(
        "lora_A.weight has shape [2, 16], and it would have [2, 32]"
      )
      expect(yield* refused(folder, other({ layers: 3 }))).toContain(
        "layers.2.self_attn.q_proj.lora_A.weight is missing"
      )
      expect(yield* refused(folder, other({ layers: 1 }))).toContain(
        "it has no place for tensor base_model.model.model.layers.1"
      )
    })
  )

  inFolder("where a value is no number", (folder) =>
    Effect.gen(function* () {
      const base = yield* saved(folder)
      yield* withTensors(folder, (tensors) => {
        const [name, tensor] = [...tensors][0]!
        tensors.set(name, tf.mul(tensor, NaN))
      })
      expect(yield* refused(folder, base)).toMatch(/tensor \S+lora_[AB].weight holds what is no finite number$/)
    })
  )

  inFolder("where its configuration is none that is known", (folder) =>
    Effect.gen(function* () {
      const base = yield* saved(folder)
      const tried = (changes: object) => {
        withConfig(folder, changes)
        return refused(folder, base)
      }
      expect(yield* tried({ r: 0 })).toContain("rank 0")
      expect(yield* tried({ r: "x" })).toContain("adapter_config.json: ")
      expect(yield* tried({ r: 2, target_modules: ["q_proj", "wq"] })).toContain("no linear layer wq")
      expect(yield* tried({ target_modules: ["q_proj"], use_qalora: true })).toContain(
        "use_qalora true is not supported"
      )
      expect(yield* tried({ use_qalora: false, init_lora_weights: "pissa" })).toContain("changes the base model")
      expect(yield* tried({ peft_type: "OFT" })).toContain("peft_type OFT is not known here; known: LORA")
      rmSync(join(folder, "adapter_config.json"))
      expect(yield* refused(folder, base)).toContain("it has no adapter_config.json")
      expect(yield* refused(join(folder, "nowhere"), base)).toContain("there is no such folder")
    })
  )

  inFolder("where it is merged into the model already", (folder) =>
    Effect.gen(function* () {
      const base = yield* saved(folder)
      const adapted = yield* loadAdapter(base, folder, { trainable: false })
      const whole = merged(adapted)
      const source = { ...whole.config.source, ...(yield* mergedFields(base, folder)) }
      const marked = createModel({ ...tinyTable, settings: { ...tinyTable.settings, ...source } }, 5)
      expect(yield* refused(folder, marked)).toContain("merged into this model already")
      const files = { configFields: yield* mergedFields(base, folder) }
      yield* saveModel(whole, join(folder, "whole"), files)
      expect(readFileSync(join(folder, "whole", "config.json"), "utf8")).toContain('"merged_adapters": [')
    })
  )
})

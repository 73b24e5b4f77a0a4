import { expect, it } from "@effect/vitest"
import { createModel, freeze, llama } from "@plumbline/models"
import { tinyModel, tinyTable } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { adaptNew } from "./adapt.ts"
import { lora, numbersOf } from "./methods/lora.ts"
import { type Selection, selectModules } from "./targets.ts"

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

const selected = (selection: Selection) =>
  selectModules(freeze(tinyModel(1)), selection).map(({ name }) => name.replace("model.layers.", ""))

check("linear layers are named by ends of names, by a pattern, or all at once", () => {
  const both = (part: string) => [`0.${part}`, `1.${part}`]
  expect(selected({ targets: ["q_proj"] })).toEqual(both("self_attn.q_proj"))
  expect(selected({ targets: ["mlp.up_proj", "lm_head"] })).toEqual([...both("mlp.up_proj"), "lm_head"])
  expect(selected({ targets: ".*\\.1\\..*(k|v)_proj" })).toEqual(["1.self_attn.k_proj", "1.self_attn.v_proj"])
  expect(selected({ targets: ["q_proj"], layers: [1] })).toEqual(["1.self_attn.q_proj"])
  expect(selected({ targets: ["q_proj", "k_proj"], exclude: ["0.self_attn.k_proj", "q_proj"] })).toEqual([
    "1.self_attn.k_proj"
  ])
  // seven in each of two layers; the head is left out, as PEFT does
  expect(selected({ targets: "all-linear" })).toHaveLength(14)
  // a pattern is for the whole name
  expect(() => selected({ targets: "q_proj" })).toThrow('no linear layer of the model is matched by "q_proj"')
})

check("what the model has no place for is refused by name", () => {
  const message = (targets: Selection["targets"]) => {
    try {
      selected({ targets })
      return ""
    } catch (cause) {
      return (cause as Error).message
    }
  }
  expect(message(["q_proj", "c_attn"])).toContain("the model has no linear layer c_attn; it has q_proj, k_proj")
  // no part of a name counts
  expect(message(["proj"])).toContain("no linear layer proj")
  expect(message(["embed_tokens"])).toContain("embed_tokens is an embedding")
  expect(message([])).toContain("no target module is given")
  expect(message("(")).toContain('"(" is no regular expression')
})

check("modules trained in full exist, are one matrix and have no adapter, too", () => {
  const tied = freeze(createModel({ ...tinyTable, family: llama, tiedEmbeddings: true }, 1))
  const plain = freeze(tinyModel(1))
  const withModules = (trainedModules: ReadonlyArray<string>, model = plain, targets = ["q_proj"]) =>
    adaptNew(model, lora({ rank: 2, targets, trainedModules }), 1)
  expect(() => withModules(["classifier"])).toThrow("the model has no module classifier")
  expect(() => withModules(["q_proj"])).toThrow("is adapted, too")
  expect(() => withModules(["embed_tokens"], tied)).toThrow("is also the output matrix")
  expect(() => withModules(["lm_head"], tied)).toThrow("its output matrix is the embedding")
  expect(() => withModules([], tied, ["lm_head"])).toThrow("lm_head is the embedding matrix in this model")
  expect(withModules(["norm"]).adapter.replaced.size).toBe(1)
})

check("ranks and scales are those of the first pattern that matches", () => {
  const options = { rank: 8, alpha: 16, rankPattern: { "1.*q_proj": 2, q_proj: 4 }, alphaPattern: { k_proj: 24 } }
  const numbers = (name: string, more = {}) => numbersOf({ name: `model.layers.${name}` }, { ...options, ...more })
  expect(numbers("1.self_attn.q_proj")).toMatchObject({ rank: 2, scale: 8 })
  expect(numbers("0.self_attn.q_proj")).toMatchObject({ rank: 4, scale: 4 })
  expect(numbers("0.self_attn.k_proj")).toMatchObject({ rank: 8, scale: 3 })
  expect(numbers("0.self_attn.v_proj")).toMatchObject({ rank: 8, scale: 2 })
  // 16/√4
  expect(numbers("0.self_attn.q_proj", { rankStabilized: true })).toMatchObject({ rank: 4, scale: 8 })
  expect(numbersOf({ name: "q" }, { rank: 8 })).toMatchObject({ rank: 8, scale: 1 })
})

check("numbers that make no adapter are refused", () => {
  expect(() => lora({ rank: 0 })).toThrow("rank 0 is no whole number from 1 on")
  expect(() => lora({ rank: 2, rankPattern: { q_proj: 0 } })).toThrow("rank 0")
  expect(() => lora({ rank: 1.5 })).toThrow("rank 1.5")
  expect(() => lora({ rank: 2, dropout: 1 })).toThrow("dropout 1 is not in [0, 1)")
  expect(() => lora({ rank: 3, init: "orthogonal" })).toThrow("needs even ranks, and 3 is odd")
})

check("a pattern that is of no adapted layer is a mistake, where the adapter is new", () => {
  const begin = (patterns: object) => () =>
    adaptNew(freeze(tinyModel(1)), lora({ rank: 2, targets: ["q_proj"], ...patterns }), 1)
  expect(begin({ rankPattern: { "1.*q_proj": 3 }, alphaPattern: { q_proj: 4 } })).not.toThrow()
  expect(begin({ rankPattern: { "2.*q_proj": 3 } })).toThrow('matched by the pattern "2.*q_proj"')
  expect(begin({ alphaPattern: { k_proj: 3 } })).toThrow('matched by the pattern "k_proj"')
})

import { describe, expect, it } from "@effect/vitest"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll } from "vitest"
import { squaredReluMlp } from "../decoder/mlp.ts"
import type { Family } from "../families/family.ts"
import { llama } from "../families/llama.ts"
import type { CausalLM } from "../model.ts"
import { tinyModel, tinyTable } from "../testing/index.ts"
import { createModel } from "../create-model.ts"
import { loadCausalLM } from "./load.ts"
import { saveModel } from "./save.ts"

let workspace: string
let count = 0
beforeAll(() => void (workspace = mkdtempSync(join(tmpdir(), "models-load-"))))
afterAll(() => rmSync(workspace, { recursive: true }))

const load = (folder: string) => loadCausalLM(folder, { trainable: false, name: "loaded" })

/** A saved tiny model that a test may damage. */
const savedFolder = (make = () => tinyModel(1), maxShardBytes?: number) => {
  const model = make()
  const folder = join(workspace, `model-${++count}`)
  const options = maxShardBytes === undefined ? {} : { maxShardBytes }
  return saveModel(model, folder, options).pipe(Effect.as(folder), Effect.ensuring(Effect.sync(model.dispose)))
}

const onWasm = <A, E>(name: string, body: Effect.Effect<A, E, ModelRuntime>) =>
  it.effect(name, () => Effect.provide(body, ModelRuntime.layerWasm))

interface Entry {
  dtype: string
  shape: Array<number>
  data_offsets: [number, number]
}

/** Rewrites the header of a safetensors file; the data stay. */
const editHeader = (file: string, edit: (header: Record<string, Entry>) => void) => {
  const bytes = readFileSync(file)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length))
  edit(header)
  const text = Buffer.from(JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(file, Buffer.concat([prefix, text, bytes.subarray(8 + length)]))
}

/** Sets the bits of a float32 number of a tensor. */
const setBits = (file: string, tensor: string, index: number, bits: number) => {
  const bytes = readFileSync(file)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, Entry>
  bytes.writeUInt32LE(bits, 8 + length + header[tensor]!.data_offsets[0] + 4 * index)
  writeFileSync(file, bytes)
}

const rename = (from: string, to: string) => (header: Record<string, Entry>) => {
  header[to] = header[from]!
  delete header[from]
}

const query = "model.layers.1.self_attn.q_proj.weight"

/** Damages a saved model; the failure it is then loaded with, having left no tensor behind. */
const failureAfter = (damage: (folder: string, weights: string) => void, maxShardBytes?: number) =>
  Effect.gen(function* () {
    const folder = yield* savedFolder(undefined, maxShardBytes)
    damage(folder, join(folder, "model.safetensors"))
    const before = tf.memory().numTensors
    const failure = yield* Effect.flip(load(folder))
    expect(tf.memory().numTensors).toBe(before)
    return { failure, folder, message: failure.message.replaceAll(folder, "FOLDER") }
  })

const onDamage = (
  name: string,
  damage: (folder: string, weights: string) => void,
  expected: { readonly tag: string; readonly message: string | RegExp }
) =>
  onWasm(
    name,
    Effect.map(failureAfter(damage), ({ failure, message }) => {
      expect(failure).toMatchObject({ _tag: expected.tag })
      expect(message).toMatch(expected.message)
    })
  )

describe("a tensor that is", () => {
  onDamage("missing", (_, weights) => editHeader(weights, rename(query, "model.layers.1.self_attn.qq_proj.weight")), {
    tag: "TensorMissing",
    message:
      "FOLDER: tensor model.layers.1.self_attn.q_proj.weight [16, 16] is missing; found instead: model.layers.1.self_attn.qq_proj.weight"
  })
  onDamage(
    "unexpected",
    (folder) => {
      const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"))
      writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 1 }))
    },
    { tag: "TensorUnexpected", message: /^FOLDER: the model has no place for model\.layers\.1\..* and 4 more$/ }
  )
  onDamage("wrongly shaped", (_, weights) => editHeader(weights, (header) => void (header[query]!.shape = [8, 32])), {
    tag: "TensorShapeMismatch",
    message: `FOLDER: tensor ${query} has shape [8, 32], config.json implies [16, 16]`
  })
  for (const [value, bits] of [
    ["NaN", 0x7fc00000],
    ["Infinity", 0x7f800000],
    ["-Infinity", 0xff800000]
  ] as const) {
    onDamage(`${value} somewhere`, (_, weights) => setBits(weights, query, 5, bits), {
      tag: "CheckpointInvalid",
      message: `tensor ${query}: number 5 is ${value}: no model computes with that`
    })
  }
  onWasm(
    "as large as float32 goes, and is read",
    Effect.gen(function* () {
      const folder = yield* savedFolder()
      setBits(join(folder, "model.safetensors"), query, 5, 0xff7fffff)
      const model = yield* load(folder)
      expect(model.parameters.get(query)!.dataSync()[5]).toBe(-3.4028234663852886e38)
      model.dispose()
    })
  )
  onDamage(
    "of a type that is not read",
    (_, weights) => editHeader(weights, (header) => void (header[query]!.dtype = "I32")),
    { tag: "CheckpointInvalid", message: `tensor ${query}: is stored as I32; weights are read from F32, BF16, F16` }
  )
})

describe("a weights file that is", () => {
  onDamage("absent", (_, weights) => rmSync(weights), {
    tag: "CheckpointInvalid",
    message: "FOLDER/model.safetensors: no such file, and no model.safetensors.index.json either"
  })
  onDamage(
    "a pickle",
    (folder, weights) => {
      rmSync(weights)
      writeFileSync(join(folder, "pytorch_model.bin"), "")
    },
    { tag: "CheckpointInvalid", message: "; pytorch_model.bin cannot be read, convert to safetensors" }
  )
  onDamage("truncated", (_, weights) => truncateSync(weights, readFileSync(weights).length - 5), {
    tag: "CheckpointInvalid",
    message:
      /^FOLDER\/model\.safetensors: tensor lm_head\.weight: ends at byte \d+ of the data, the file holds \d+: it is truncated$/
  })
  onDamage("truncated in its header", (_, weights) => truncateSync(weights, 100), {
    tag: "CheckpointInvalid",
    message: /the header should take \d+ bytes, the file holds 92 after its length: it is truncated$/
  })
  onDamage("empty", (_, weights) => truncateSync(weights, 0), {
    tag: "CheckpointInvalid",
    message: "0 bytes are too few for a header"
  })
  onDamage("not safetensors", (_, weights) => writeFileSync(weights, "<!DOCTYPE html>\n"), {
    tag: "CheckpointInvalid",
    message: /a header of \d+ bytes is above the limit of 100000000/
  })
  onDamage(
    "a Git LFS pointer",
    (_, weights) => writeFileSync(weights, "version https://git-lfs.github.com/spec/v1\n"),
    {
      tag: "CheckpointInvalid",
      message:
        "FOLDER/model.safetensors: this is the pointer that Git LFS left in place of the file: fetch it with `git lfs pull`"
    }
  )
  onDamage(
    "broken JSON",
    (_, weights) => {
      const bytes = readFileSync(weights)
      bytes.write("[", 8)
      writeFileSync(weights, bytes)
    },
    { tag: "CheckpointInvalid", message: "FOLDER/model.safetensors: the header is not a JSON object" }
  )
})

const index = (folder: string) => join(folder, "model.safetensors.index.json")

describe("a sharded model", () => {
  const inShards = (damage: (folder: string) => void) => failureAfter(damage, 9000)
  onWasm(
    "with a missing shard",
    Effect.map(
      inShards((folder) => rmSync(join(folder, "model-00002-of-00003.safetensors"))),
      ({ message }) =>
        expect(message).toBe(
          "FOLDER/model.safetensors.index.json: names model-00002-of-00003.safetensors, which is not there"
        )
    )
  )
  onWasm(
    "that lacks a listed tensor",
    Effect.map(
      inShards((folder) => {
        const name = JSON.parse(readFileSync(index(folder), "utf8")).weight_map[query]
        editHeader(join(folder, name), rename(query, "other"))
      }),
      ({ failure, message }) => {
        expect(failure).toMatchObject({ _tag: "CheckpointInvalid", tensor: query })
        expect(message).toMatch(/is listed in model-0000\d-of-00003\.safetensors, which does not hold it$/)
      }
    )
  )
  onWasm(
    "whose index points out of the folder",
    Effect.map(
      inShards((folder) => {
        const json = JSON.parse(readFileSync(index(folder), "utf8"))
        json.weight_map[query] = "../secret.safetensors"
        writeFileSync(index(folder), JSON.stringify(json))
      }),
      ({ message }) => expect(message).toContain("names ../secret.safetensors, not a file beside it")
    )
  )
  onWasm(
    "whose index lists nothing",
    Effect.map(
      inShards((folder) => writeFileSync(index(folder), "{}")),
      ({ message }) => expect(message).toContain("has no weight_map from tensor to file name")
    )
  )
})

describe("a folder", () => {
  onWasm(
    "that does not exist",
    Effect.map(Effect.flip(load("/nowhere/model")), ({ message }) =>
      expect(message).toBe("no model in /nowhere/model: no such folder")
    )
  )
  onDamage("without config.json", (folder) => rmSync(join(folder, "config.json")), {
    tag: "ModelNotFound",
    message: "no model in FOLDER: it has no config.json"
  })
  onDamage("with a broken config.json", (folder) => writeFileSync(join(folder, "config.json"), "{,"), {
    tag: "ConfigInvalid",
    message: "FOLDER/config.json: is not a JSON object"
  })
  onDamage(
    "with a broken generation_config.json",
    (folder) => writeFileSync(join(folder, "generation_config.json"), "1"),
    {
      tag: "ConfigInvalid",
      message: "FOLDER/generation_config.json: is not a JSON object"
    }
  )
  onDamage(
    "with a text for an end token",
    (folder) => writeFileSync(join(folder, "generation_config.json"), '{"pad_token_id": -1, "eos_token_id": "</s>"}'),
    {
      tag: "ConfigInvalid",
      message: 'FOLDER/generation_config.json: field "eos_token_id": Expected a token id, a list of them or null'
    }
  )
})

const tied = () => createModel({ ...tinyTable, tiedEmbeddings: true }, 1)

describe("a tied model", () => {
  const embedding = "model.embed_tokens.weight"
  const tiedFolder = (untiedSource: CausalLM) =>
    Effect.map(
      savedFolder(() => untiedSource),
      (folder) => {
        const file = join(folder, "config.json")
        writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), tie_word_embeddings: true }))
        return folder
      }
    )

  onWasm(
    "is read from whichever of its two names is there",
    Effect.gen(function* () {
      const folder = yield* savedFolder(tied)
      editHeader(join(folder, "model.safetensors"), rename(embedding, "lm_head.weight"))
      const model = yield* load(folder)
      const original = tied()
      expect([...model.parameters.keys()]).toEqual([...original.parameters.keys()])
      expect(model.parameters.get(embedding)!.dataSync()).toEqual(original.parameters.get(embedding)!.dataSync())
      model.dispose()
      original.dispose()
    })
  )
  onWasm(
    "may store the matrix twice",
    Effect.gen(function* () {
      const source = tinyModel(1)
      const twice = source.parameters.get("lm_head.weight") as ReturnType<typeof tf.variable>
      twice.assign(tf.clone(source.parameters.get(embedding)!))
      const model = yield* load(yield* tiedFolder(source))
      expect(model.parameters.has("lm_head.weight")).toBe(false)
      model.dispose()
    })
  )
  onWasm(
    "may not store two different ones",
    Effect.gen(function* () {
      const failure = yield* Effect.flip(load(yield* tiedFolder(tinyModel(1))))
      expect(failure).toMatchObject({ _tag: "CheckpointInvalid", tensor: "lm_head.weight" })
    })
  )
})

describe("a family from outside", () => {
  onWasm(
    "is a value that the caller passes",
    Effect.gen(function* () {
      const house: Family = { ...llama, modelType: "house", mlps: { relu2: squaredReluMlp } }
      const table = { ...tinyTable, family: house, settings: { hidden_act: "relu2" } }
      const folder = yield* savedFolder(() => createModel(table, 1))
      expect((yield* Effect.flip(load(folder))).message).toContain("model_type house is not supported")
      const model = yield* loadCausalLM(folder, { trainable: false, name: "loaded", families: [house] })
      expect([...model.parameters.keys()].filter((name) => name.includes("gate_proj"))).toEqual([])
      model.dispose()
    })
  )
})

describe("harmless extras", () => {
  onWasm(
    "are ignored",
    Effect.gen(function* () {
      const folder = yield* savedFolder()
      editHeader(join(folder, "model.safetensors"), (header) => {
        header["model.layers.0.self_attn.rotary_emb.inv_freq"] = { dtype: "F32", shape: [0], data_offsets: [0, 0] }
      })
      const model = yield* load(folder)
      expect([...model.parameters.keys()].filter((name) => name.includes("inv_freq"))).toEqual([])
      model.dispose()
    })
  )
  onWasm(
    "other files of the folder do no harm",
    Effect.gen(function* () {
      const folder = yield* savedFolder()
      cpSync(join(folder, "config.json"), join(folder, "notes.txt"))
      const model = yield* load(folder)
      expect(model.variables).toEqual([])
      model.dispose()
    })
  )
})

import { describe, expect, it } from "@effect/vitest"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll } from "vitest"
import { createModel } from "../create-model.ts"
import { nemotron } from "../families/nemotron.ts"
import type { CausalLM } from "../model.ts"
import { tinyModel, tinyTable } from "../testing/index.ts"
import { weightsDigest } from "./digest.ts"
import { loadCausalLM } from "./load.ts"
import { saveModel } from "./save.ts"

const fixture = (name: string) => fileURLToPath(new URL(`../../../../test/fixtures/families/${name}`, import.meta.url))
const json = (folder: string, name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"))

let workspace: string
beforeAll(() => void (workspace = mkdtempSync(join(tmpdir(), "models-save-"))))
afterAll(() => rmSync(workspace, { recursive: true }))

const onWasm = <A, E>(name: string, body: () => Effect.Effect<A, E, ModelRuntime>) =>
  it.effect(name, () => Effect.provide(Effect.suspend(body), ModelRuntime.layerWasm))

const load = (folder: string) => loadCausalLM(folder, { trainable: true, name: "policy" })
const bits = (model: CausalLM) =>
  new Map([...model.parameters].map(([name, tensor]) => [name, new Uint32Array(tensor.dataSync().slice().buffer)]))

/** The data of a safetensors file by tensor name, as stored. */
const storedBytes = (file: string) => {
  const bytes = readFileSync(file)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, { data_offsets: [number, number] }>
  const names = Object.keys(header)
    .filter((name) => name !== "__metadata__")
    .toSorted()
  const data = (name: string) => header[name]!.data_offsets.map((offset) => 8 + length + offset) as [number, number]
  return names.map((name) => [name, bytes.subarray(...data(name)).toString("hex")] as const)
}

describe("save, then load", () => {
  onWasm("gives the same bits in float32, and the same config", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "float32")
      const model = createModel({ ...tinyTable, family: nemotron }, 3)
      yield* saveModel(model, folder)
      const again = yield* load(folder)
      expect(bits(again)).toEqual(bits(model))
      expect(again.config).toEqual(model.config)
      model.dispose()
      again.dispose()
    })
  )

  for (const [name, dtype] of [
    ["mistral-window", "bfloat16"],
    ["llama-old-config", "float16"],
    ["mixtral", "bfloat16"],
    ["qwen2-moe", "bfloat16"],
    ["qwen3-moe", "bfloat16"]
  ] as const) {
    onWasm(`gives the same bytes of a ${dtype} checkpoint`, () =>
      Effect.gen(function* () {
        const folder = join(workspace, name)
        const model = yield* load(fixture(name))
        yield* saveModel(model, folder, { dtype })
        expect(storedBytes(join(folder, "model.safetensors"))).toEqual(
          storedBytes(join(fixture(name), "model.safetensors"))
        )
        expect(json(folder, "config.json")).toEqual(json(fixture(name), "config.json"))
        expect(json(folder, "generation_config.json")).toEqual(json(fixture(name), "generation_config.json"))
        model.dispose()
      })
    )
  }

  onWasm("works in shards", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "shards")
      const model = tinyModel(4)
      yield* saveModel(model, folder, { maxShardBytes: 3000 })
      const shards = readdirSync(folder).filter((name) => name.endsWith(".safetensors"))
      expect(shards.length).toBeGreaterThan(2)
      const { metadata, weight_map } = json(folder, "model.safetensors.index.json")
      expect(Object.keys(weight_map)).toEqual([...model.parameters.keys()])
      expect(metadata.total_size).toBe(4 * [...model.parameters.values()].reduce((sum, { size }) => sum + size, 0))
      const again = yield* load(folder)
      expect(bits(again)).toEqual(bits(model))
      model.dispose()
      again.dispose()
    })
  )
})

describe("config.json", () => {
  onWasm("keeps unknown keys and says the new type, in the layout it had", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "typed")
      const model = yield* load(fixture("llama-old-config"))
      yield* saveModel(model, folder, { dtype: "float32" })
      const before = json(fixture("llama-old-config"), "config.json")
      expect(json(folder, "config.json")).toEqual({ ...before, torch_dtype: "float32" })
      model.dispose()
    })
  )
})

describe("a folder", () => {
  onWasm("gets the extra files, and nothing is left beside it", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "extra", "final")
      const model = tinyModel(1)
      yield* saveModel(model, folder, { extraFiles: { "tokenizer.json": "{}", blob: Uint8Array.of(1, 2) } })
      expect(readdirSync(folder).toSorted()).toEqual(["blob", "config.json", "model.safetensors", "tokenizer.json"])
      expect([...readFileSync(join(folder, "blob"))]).toEqual([1, 2])
      expect(readdirSync(join(workspace, "extra"))).toEqual(["final"])
      const failure = yield* Effect.flip(saveModel(model, folder, { extraFiles: { "../stray": "" } }))
      expect(failure.message).toContain("../stray is not a plain file name")
      model.dispose()
    })
  )

  onWasm("with a model is replaced as a whole", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "replaced")
      const [first, second] = [tinyModel(1), tinyModel(2)]
      yield* saveModel(first, folder, { extraFiles: { "old.txt": "" } })
      yield* saveModel(second, folder)
      expect(existsSync(join(folder, "old.txt"))).toBe(false)
      expect(yield* weightsDigest(folder)).toBe(yield* weightsDigest(second))
      first.dispose()
      second.dispose()
    })
  )

  onWasm("with a model survives a save that fails half-way", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "survivor")
      const [first, second] = [tinyModel(1), tinyModel(2)]
      yield* saveModel(first, folder)
      // a name that the file system refuses, met after the weights are written
      const failure = yield* Effect.flip(saveModel(second, folder, { extraFiles: { ["x".repeat(300)]: "" } }))
      expect(failure).toMatchObject({ _tag: "SaveFailed", folder })
      expect(yield* weightsDigest(folder)).toBe(yield* weightsDigest(first))
      expect(readdirSync(workspace).filter((name) => name.startsWith("."))).toEqual([])
      first.dispose()
      second.dispose()
    })
  )

  onWasm("with anything else is refused, and a path through a file", () =>
    Effect.gen(function* () {
      const folder = join(workspace, "foreign")
      mkdirSync(folder)
      writeFileSync(join(folder, "thesis.tex"), "")
      const model = tinyModel(1)
      expect((yield* Effect.flip(saveModel(model, folder))).message).toContain("is not empty and holds no model")
      expect(readdirSync(folder)).toEqual(["thesis.tex"])
      const through = join(folder, "thesis.tex", "model")
      expect((yield* Effect.flip(saveModel(model, through))).message).toContain("a part of it, is a file")
      model.dispose()
    })
  )
})

describe("weightsDigest", () => {
  onWasm("is the same for a folder and its model, and differs by one bit", () =>
    Effect.gen(function* () {
      const model = yield* load(fixture("qwen3"))
      const digest = yield* weightsDigest(model)
      expect(digest).toMatch(/^[0-9a-f]{64}$/)
      expect(yield* weightsDigest(fixture("qwen3"))).toBe(digest)
      const norm = model.variables.at(-2)!
      const values = norm.dataSync().slice() as Float32Array
      new Uint32Array(values.buffer)[0]! ^= 1
      const { tf } = yield* Effect.promise(() => import("@plumbline/runtime"))
      const changed = tf.tensor(values, norm.shape)
      norm.assign(changed)
      expect(yield* weightsDigest(model)).not.toBe(digest)
      model.dispose()
    })
  )
})

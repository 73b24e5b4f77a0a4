import { describe, expect, it } from "@effect/vitest"
import { loadCausalLM } from "@plumbline/models"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Generator } from "../generator.ts"
import { onEveryBackend } from "../testing/backends.ts"
import { request } from "../testing/index.ts"

const fromRoot = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url))

/** What transformers continued the prompt with, one token at a time, always the most likely one. */
interface Expected {
  readonly greedy: { readonly prompt: ReadonlyArray<number>; readonly continuation: ReadonlyArray<number> }
}

/** Of transformers 5.17, beside the repository; of 5.18, in it, made by its make.py. */
const golden = ["llama", "llama-spm", "mixtral", "nemotron"].map((name) => fromRoot(`../shared/golden/models/${name}`))
const fixtures = [
  "llama-biased",
  "llama3-tied",
  "mistral-full",
  "mistral-window",
  "mixtral",
  "nemotron-old-config",
  "qwen2",
  "qwen2-moe",
  "qwen3",
  "qwen3-moe"
].map((name) => fromRoot(`test/fixtures/families/${name}`))

onEveryBackend("greedy continuations", (layer) => {
  describe.for([...golden, ...fixtures])("of %s", (folder) => {
    it.live.skipIf(!existsSync(folder))("equal those of transformers, beside other rows", () =>
      Effect.gen(function* () {
        const model = yield* loadCausalLM(folder, { trainable: false, name: "checked" })
        const { greedy } = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as Expected
        const maxNewTokens = greedy.continuation.length
        const ids = Int32Array.from(greedy.prompt)
        const beside = [3, 11, 18].map((length, i) => request(ids.subarray(0, length), i, { maxNewTokens: 30 }))
        const [group] = yield* Effect.flatMap(Generator, ({ generate }) =>
          generate([request(ids, 0, { temperature: 0, maxNewTokens }, { samples: 2 }), ...beside])
        ).pipe(Effect.provide(Generator.layerModel(model, { maxBatchTokens: 16, maxRows: 4 })))
        for (const { responseIds } of group!.responses) expect([...responseIds]).toEqual(greedy.continuation)
        model.dispose()
      }).pipe(Effect.provide(layer))
    )
  })
})

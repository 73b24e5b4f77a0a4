import { expect, it } from "@effect/vitest"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { JsonObject } from "../config/decoder-config.ts"
import { loadCausalLM } from "./load.ts"
import { saveModel } from "./save.ts"

const fixture = fileURLToPath(new URL("../../../../test/fixtures/families/mixtral-fused", import.meta.url))
const load = (folder: string) => loadCausalLM(folder, { trainable: false, name: "loaded" })

/** A copy of the fixture, whose config.json has other fields. */
const withCopy = <A, E>(fields: JsonObject, body: (folder: string) => Effect.Effect<A, E, ModelRuntime>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "fused-"))
      cpSync(fixture, folder, { recursive: true })
      const config = join(folder, "config.json")
      writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), ...fields }))
      return folder
    }),
    body,
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ).pipe(Effect.provide(ModelRuntime.layerWasm))

it.effect("experts in one tensor are saved one by one, with the same values", () =>
  withCopy({}, (folder) =>
    Effect.gen(function* () {
      const model = yield* load(folder)
      yield* saveModel(model, folder)
      const again = yield* load(folder)
      expect([...again.parameters.keys()]).toContain("model.layers.1.block_sparse_moe.experts.2.w3.weight")
      for (const [name, tensor] of model.parameters) {
        expect(again.parameters.get(name)!.dataSync(), name).toEqual(tensor.dataSync())
      }
      model.dispose()
      again.dispose()
    })
  )
)

it.effect.each([
  // 4 experts of 40 features in place of 3; 3 of 41
  [{ num_local_experts: 4 }, [4, 80, 32]],
  [{ intermediate_size: 41 }, [3, 82, 32]]
] as const)("one tensor of experts that are others than %o is a mismatch", ([fields, expected]) =>
  withCopy(fields, (folder) =>
    Effect.gen(function* () {
      const tensor = "model.layers.0.mlp.experts.gate_up_proj"
      const mismatch = { _tag: "TensorShapeMismatch", folder, tensor, expected, found: [3, 80, 32] }
      expect(yield* Effect.flip(load(folder))).toMatchObject(mismatch)
    })
  )
)

import { describe, expect, it } from "@effect/vitest"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { adaptedBy } from "./adapted-policy.ts"
import type { AdapterOptions } from "./adapter-options.ts"
import { adapterSize } from "./adapter-size.ts"

const cases: ReadonlyArray<AdapterOptions> = [
  { loraRank: 3 },
  { loraRank: 4, loraTargets: ["q_proj", "down_proj"], loraRankPattern: { q_proj: 2 }, dora: true },
  { loraRank: 2, loraTargets: ["v_proj"], trainModules: ["norm"] },
  { loraRank: 3, loraInit: "pissa" },
  { adapterType: "vera", loraRank: 5 },
  { adapterType: "ia3" }
]

describe("the size of an adapter", () => {
  it.effect.each(cases)("is that of the adapter which is made, %o", (options) =>
    Effect.gen(function* () {
      const base = tinyModel(5)
      const size = yield* adapterSize(base.config, options)
      const model = yield* adaptedBy(base, options, { seed: 0, baseFolder: "base" })
      const numbers = (tensors: Iterable<{ readonly shape: ReadonlyArray<number> }>) =>
        [...tensors].reduce((total, { shape }) => total + shape.reduce((size, length) => size * length, 1), 0)
      expect(size).toMatchObject({
        trained: numbers(model.variables),
        stored: numbers(model.contents!.tensors.values())
      })
      base.dispose()
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )

  it.effect("is none without an adapter, and names the layers that have one", () =>
    Effect.gen(function* () {
      const { config, dispose } = tinyModel(5)
      expect(yield* adapterSize(config, {})).toBe(undefined)
      const size = yield* adapterSize(config, { loraRank: 1, loraTargets: ["v_proj"] })
      expect(size!.modules).toEqual(
        Array.from({ length: config.layers }, (_, layer) => `model.layers.${layer}.self_attn.v_proj`)
      )
      expect(size!.isNew).toBe(true)
      expect((yield* adapterSize(config, { loraRank: 1, dora: true }))!.isNew).toBe(false)
      dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  it.effect("says why there is no such adapter", () =>
    Effect.gen(function* () {
      const { config, dispose } = tinyModel(5)
      dispose()
      const { message } = yield* Effect.flip(adapterSize(config, { loraRank: 1, loraTargets: ["w_proj"] }))
      expect(message).toContain("no linear layer w_proj")
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

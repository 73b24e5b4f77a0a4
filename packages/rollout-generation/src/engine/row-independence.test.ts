import { expect, it } from "@effect/vitest"
import { tinyModel } from "@plumbline/models/testing"
import { Effect } from "effect"
import { Generator } from "../generator.ts"
import type { GeneratedGroup, GenerationRequest } from "../request.ts"
import { onEveryBackend } from "../testing/backends.ts"
import { prompt, request } from "../testing/index.ts"
import type { EngineOptions } from "./engine.ts"

const idsOf = ({ responses }: GeneratedGroup) => responses.map(({ responseIds }) => [...responseIds])

onEveryBackend("a row's sample", (layer) => {
  /** Requests of one to eleven tokens whose samples must not depend on anything around them. */
  const requests = Array.from({ length: 32 }, (_, i) =>
    request(
      prompt(1 + (i % 11) * 3, i),
      1000 + i,
      { temperature: 1.2, ...(i % 3 === 0 ? { topK: 5, topP: 0.9 } : {}) },
      { samples: 2 }
    )
  )

  /** Some of one caller, some of many, so that rows are halted for others. */
  const callers = requests.map((one, i) => ({ ...one, caller: i < 12 ? "first" : i % 7 }))

  const layouts: ReadonlyArray<readonly [string, EngineOptions, ReadonlyArray<GenerationRequest>]> = [
    ["7 rows", { maxRows: 7 }, requests],
    ["64 rows", { maxRows: 64 }, requests],
    ["64 rows in the other order", { maxRows: 64 }, requests.toReversed()],
    ["pages of 3 tokens, chunks of 8", { maxRows: 13, pageSize: 3, maxBatchTokens: 13 }, requests],
    ["too little memory for all", { maxRows: 64, pageSize: 4, cacheTokens: 60 }, requests],
    ["memory for one row", { maxRows: 64, pageSize: 1, cacheTokens: 43 }, requests],
    ["64 rows, a step ahead", { maxRows: 64, goAhead: true }, requests],
    [
      "7 rows, a step ahead, too little memory for all",
      { maxRows: 7, pageSize: 4, cacheTokens: 60, goAhead: true },
      requests
    ],
    ["7 rows of several callers", { maxRows: 7, maxBatchTokens: 20 }, callers],
    ["7 rows of several callers, a step ahead", { maxRows: 7, goAhead: true }, callers],
    [
      "4 rows of several callers, too little memory for all",
      { maxRows: 4, pageSize: 4, cacheTokens: 60, goAhead: true },
      callers
    ]
  ]

  it.live("is the same at batch 1, 7 and 64, with any neighbours, paging and memory", () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const run = (options: EngineOptions, some: ReadonlyArray<GenerationRequest>) =>
        Effect.flatMap(Generator, ({ generate }) => generate(some)).pipe(
          Effect.provide(Generator.layerModel(model, options)),
          Effect.map((groups) => new Map(groups.map((group, i) => [some[i]!.seed, idsOf(group)])))
        )
      const alone = yield* run({ maxRows: 1 }, requests)
      expect(new Set([...alone.values()].flat().map(String)).size).toBe(64)
      for (const [name, options, some] of layouts) {
        const packed = yield* run(options, some)
        for (const { seed } of requests) expect(packed.get(seed), `${name}, seed ${seed}`).toEqual(alone.get(seed))
      }
      model.dispose()
    }).pipe(Effect.provide(layer))
  )
})

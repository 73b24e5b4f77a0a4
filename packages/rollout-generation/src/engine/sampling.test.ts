import { expect, it } from "@effect/vitest"
import { createModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { Effect } from "effect"
import { Generator } from "../generator.ts"
import type { SamplingOptions } from "../sampling/options.ts"
import { onEveryBackend } from "../testing/backends.ts"
import { logitsAfter, request, responseProbabilities } from "../testing/index.ts"

type Given = Partial<typeof SamplingOptions.Encoded>

const SAMPLES = 3000

const options: Readonly<Record<string, Given>> = {
  nothing: {},
  temperature: { temperature: 0.6 },
  topK: { topK: 2 },
  topP: { topP: 0.7 },
  minP: { minP: 0.4 },
  repetitionPenalty: { repetitionPenalty: 1.8 },
  presencePenalty: { presencePenalty: 1 },
  frequencyPenalty: { frequencyPenalty: 0.7 },
  logitBias: { logitBias: { 0: 1, 2: -0.5 } },
  allowedTokens: { allowedTokens: [2, 0] },
  stopIds: { stopIds: [1] },
  minNewTokens: { stopIds: [1], minNewTokens: 2 },
  "topP, next to nothing": { topP: Number.MIN_VALUE },
  "temperature, next to nothing": { temperature: 1e-300 },
  "temperature beyond float32": { temperature: 1e300, allowedTokens: [2, 0] },
  "repetitionPenalty, next to nothing": { repetitionPenalty: 1e-300 },
  "repetitionPenalty beyond float32": { repetitionPenalty: 1e300 },
  "logitBias beyond float32": { logitBias: { 0: 1e300, 2: -1e300 } },
  "all together": {
    temperature: 1.5,
    topK: 2,
    topP: 0.95,
    minP: 0.05,
    repetitionPenalty: 1.2,
    presencePenalty: 0.3,
    frequencyPenalty: 0.2,
    logitBias: { 1: 0.5 },
    stopIds: [2],
    minNewTokens: 1
  }
}

/** 99.9 % quantiles of χ² by degrees of freedom, from 0 (scipy.stats.chi2.ppf). */
const QUANTILES = [
  0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88, 29.59, 31.26, 32.91, 34.53, 36.12, 37.7, 39.25,
  40.79, 42.31, 43.82, 45.31, 46.8, 48.27, 49.73, 51.18, 52.62, 54.05
]

/** Cells with fewer than five expected counts are taken together. */
const chiSquare = (counts: ReadonlyMap<string, number>, expected: ReadonlyMap<string, number>) => {
  const cells = Array.from(expected, ([cell, p]) => [counts.get(cell) ?? 0, p * SAMPLES] as const)
  const rare = cells.filter(([, mean]) => mean < 5)
  const rest = [rare.reduce((n, [count]) => n + count, 0), rare.reduce((n, [, mean]) => n + mean, 0)] as const
  const kept = [...cells.filter(([, mean]) => mean >= 5), ...(rest[1] > 0 ? [rest] : [])]
  return {
    statistic: kept.reduce((sum, [count, mean]) => sum + (count - mean) ** 2 / mean, 0),
    freedom: kept.length - 1
  }
}

onEveryBackend("responses over three tokens", (layer) => {
  it.live.each(Object.keys(options))("come as often as they should: %s", (name) =>
    Effect.gen(function* () {
      const model = createModel({ ...tinyTable, vocabulary: 3 }, 7)
      const what = request(Int32Array.of(0, 1, 0), 11, { maxNewTokens: 3, ...options[name] }, { samples: SAMPLES })
      const [group] = yield* Effect.flatMap(Generator, ({ generate }) => generate([what])).pipe(
        Effect.provide(Generator.layerModel(model, { maxRows: 1000 }))
      )
      const counts = new Map<string, number>()
      for (const { responseIds } of group!.responses) {
        counts.set(responseIds.join(" "), (counts.get(responseIds.join(" ")) ?? 0) + 1)
      }
      const expected = responseProbabilities([0, 1, 0], what.sampling, logitsAfter(model))
      expect([...counts.keys()].filter((cell) => !expected.has(cell))).toEqual([])
      const { freedom, statistic } = chiSquare(counts, expected)
      expect(freedom > 0).toBe(expected.size > 1)
      expect(statistic).toBeLessThanOrEqual(QUANTILES[freedom]!)
      model.dispose()
    }).pipe(Effect.provide(layer))
  )
})

import { expect, it } from "@effect/vitest"
import { tinyModel } from "@plumbline/models/testing"
import { Effect } from "effect"
import { Generator } from "../generator.ts"
import type { GeneratedGroup } from "../request.ts"
import { type SamplingOptions, samplingOptions } from "../sampling/options.ts"
import { inBfloat16, onEveryBackend } from "../testing/backends.ts"
import { logitsAfter, prompt, request, samplingDistribution, trainerScores } from "../testing/index.ts"

const everything: Partial<typeof SamplingOptions.Encoded> = {
  maxNewTokens: 20,
  temperature: 1.3,
  topK: 20,
  topP: 0.95,
  minP: 0.01,
  repetitionPenalty: 1.3,
  presencePenalty: 0.2,
  frequencyPenalty: 0.1,
  logitBias: { 3: 1, 9: -2 },
  allowedTokens: Array.from({ length: 30 }, (_, id) => id),
  stopIds: [2],
  stopStrings: ["never"],
  minNewTokens: 4
}

const gaps = (a: ArrayLike<number>, b: ArrayLike<number>): ReadonlyArray<number> => {
  expect(a.length).toBe(b.length)
  return Array.from(a, (x, i) => Math.abs(x - b[i]!))
}

const worstGap = (a: ArrayLike<number>, b: ArrayLike<number>): number => Math.max(0, ...gaps(a, b))

/** Groups drawn with too little memory for all, and prompts in pieces, so that rows are begun again on the way. */
const sampled = (model: ReturnType<typeof tinyModel>) => {
  const requests = [1, 9, 16, 30].map((length, i) => request(prompt(length, i), i, everything, { samples: 3 }))
  const tokenizer = { decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => `<${id}>`).join("") }
  return Effect.flatMap(Generator, ({ generate }) => generate(requests)).pipe(
    Effect.provide(
      Generator.layerModel(model, { maxRows: 8, maxBatchTokens: 12, pageSize: 4, cacheTokens: 120, tokenizer })
    )
  )
}

/** Of every response, how far the engine's log-probs of the policy are from the trainer's scoring, token by token. */
const gapsToTrainer = (model: ReturnType<typeof tinyModel>, groups: ReadonlyArray<GeneratedGroup>) =>
  groups.flatMap(({ promptIds, responses }) =>
    responses.flatMap(({ policyLogProbs, responseIds }) => {
      const scored = trainerScores(model, [...promptIds, ...responseIds]).subarray(promptIds.length - 1)
      return gaps(policyLogProbs, scored)
    })
  )

onEveryBackend("log-probs", (layer) => {
  it.live("are those of the trainer's scoring and of the distribution drawn from, every option on", () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const groups = yield* sampled(model)
      expect(Math.max(...gapsToTrainer(model, groups))).toBeLessThanOrEqual(1e-4)
      for (const { promptIds, responses } of groups) {
        for (const { responseIds, samplingLogProbs } of responses) {
          expect(responseIds.length).toBeGreaterThanOrEqual(4)
          const drawnFrom = Array.from(responseIds, (id, t) => {
            const before = [...responseIds.subarray(0, t)]
            const logits = logitsAfter(model)([...promptIds, ...before])
            return Math.log(samplingDistribution(logits, [...promptIds], before, samplingOptions(everything))[id]!)
          })
          expect(worstGap(samplingLogProbs, drawnFrom)).toBeLessThanOrEqual(1e-4)
        }
      }
      model.dispose()
    }).pipe(Effect.provide(layer))
  )

  it.live("of a prompt are the trainer's, too", () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const ids = prompt(33, 1)
      const what = request(ids, 1, { maxNewTokens: 0 }, { promptLogProbs: true, topLogProbs: 32 })
      const [group] = yield* Effect.flatMap(Generator, ({ generate }) => generate([what])).pipe(
        Effect.provide(Generator.layerModel(model, { maxBatchTokens: 10 }))
      )
      const { logProbs, topLogProbs } = group!.prompt!
      const expected = trainerScores(model, [...ids])
      expect(logProbs[0]).toBeNaN()
      expect(worstGap(logProbs.subarray(1), expected)).toBeLessThanOrEqual(1e-4)
      topLogProbs.slice(1).forEach((list, i) => {
        expect(list.find(({ id }) => id === ids[i + 1])!.logProb).toBeCloseTo(expected[i]!, 4)
        expect(list.reduce((mass, { logProb }) => mass + Math.exp(logProb), 0)).toBeCloseTo(1, 4)
      })
      model.dispose()
    }).pipe(Effect.provide(layer))
  )
})

inBfloat16("log-probs", (layer) => {
  it.live("are on average within 5e-3 nats of the trainer's scoring, every option on", () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const found = gapsToTrainer(model, yield* sampled(model))
      expect(found.length).toBeGreaterThan(150)
      expect(found.reduce((sum, gap) => sum + gap, 0) / found.length).toBeLessThanOrEqual(5e-3)
      model.dispose()
    }).pipe(Effect.provide(layer))
  )
})

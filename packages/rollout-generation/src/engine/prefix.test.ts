import { expect, it } from "@effect/vitest"
import { type CausalLM, embeddedPrefix, keyValuePrefix, type Prefix } from "@plumbline/models"
import { tinyModel } from "@plumbline/models/testing"
import { philoxStream, type Tensor2D, type Tensor3D, tf, type Variable } from "@plumbline/runtime"
import { Effect } from "effect"
import type { EngineOptions } from "./engine.ts"
import { inBfloat16, onEveryBackend } from "../testing/backends.ts"
import { logitsAfter, prompt, request, trainerScores } from "../testing/index.ts"
import { engineGenerators } from "./engine-generator.ts"

/** Learnt numbers in front of every row of a model, in either form. */
type Kind = (numbers: Variable, base: CausalLM, length: number) => Prefix

const embeddings: Kind = (numbers, { config }, length) =>
  embeddedPrefix(() => tf.slice(tf.reshape(numbers, [-1, config.width]), [0, 0], [length, -1]) as Tensor2D, length)

const keysValues: Kind = (numbers, { config: { headWidth, keyValueHeads } }, length) => {
  const part = (i: number) =>
    tf.slice(tf.reshape(numbers, [-1, keyValueHeads, headWidth]), [i * length, 0, 0], [length, -1, -1]) as Tensor3D
  return keyValuePrefix((layer) => ({ k: part(2 * layer), v: part(2 * layer + 1) }), length)
}

let made = 0
const behind = (base: CausalLM, kind: Kind, length: number, shape: ReadonlyArray<number> = [4096]): CausalLM => {
  const { normal } = philoxStream(7, "prefix")
  const count = shape.reduce((product, size) => product * size, 1)
  const values = tf.tensor(
    Array.from({ length: count }, (_, i) => normal(i)),
    [...shape]
  )
  const numbers = tf.variable(values, true, `prefix${++made}`)
  return base.rebuilt({
    name: "behind",
    parameters: new Map([...base.parameters, ["numbers", numbers]]),
    variables: [numbers],
    weights: base.weights,
    prefix: kind(numbers, base, length),
    dispose: () => numbers.dispose()
  })
}

const requests = [0, 1, 2, 3].map((seed) =>
  request(
    prompt(3 + 6 * seed, seed),
    seed,
    { maxNewTokens: 10 + 2 * seed },
    { samples: 1 + (seed % 3), promptLogProbs: seed % 2 === 0 }
  )
)

const worst = (found: ArrayLike<number>, expected: ArrayLike<number>) => {
  expect(found.length).toBe(expected.length)
  return Array.from(found).reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0)
}

const cases: ReadonlyArray<readonly [string, Kind, number, EngineOptions]> = [
  ["embeddings in whole pages", embeddings, 8, { pageSize: 8 }],
  ["embeddings in a page and a half", embeddings, 6, { pageSize: 4, maxBatchTokens: 9 }],
  ["keys and values in a part of a page", keysValues, 5, { pageSize: 8 }],
  ["keys and values, where rows give way", keysValues, 9, { pageSize: 4, cacheTokens: 48, maxRows: 4 }],
  ["keys and values, a step ahead of the host", keysValues, 8, { pageSize: 4, goAhead: true }]
]

type Layer = Parameters<Parameters<typeof onEveryBackend>[1]>[0]

/** @param within nats by which log-probs may differ from the trainer's */
const suite = (within: number) => (layer: Layer) => {
  it.live.each(cases)("%s: log-probs are the trainer's, beside a model without it", ([, kind, length, options]) =>
    Effect.gen(function* () {
      const base = tinyModel(3)
      const models = [base, behind(base, kind, length)] as const
      const generators = yield* engineGenerators(models, options)
      const check = Effect.gen(function* () {
        const all = yield* Effect.forEach(generators, ({ generate }) => generate(requests), { concurrency: 2 })
        all.forEach((groups, m) =>
          groups.forEach(({ prompt: scores, promptIds, responses }) => {
            for (const { policyLogProbs, responseIds } of responses) {
              const expected = trainerScores(models[m]!, [...promptIds, ...responseIds])
              expect(worst(policyLogProbs, expected.subarray(promptIds.length - 1))).toBeLessThanOrEqual(within)
              if (scores === undefined) continue
              const known = scores.logProbs.subarray(1)
              expect(worst(known, expected.subarray(0, promptIds.length - 1))).toBeLessThanOrEqual(within)
            }
          })
        )
        expect((yield* generators[0]!.load).cacheUse).toBe(0)
      })
      yield* check
      // what rows share is computed again by new weights
      const before = logitsAfter(models[1])([1, 2, 3])
      const [numbers] = models[1].variables
      tf.tidy(() => numbers!.assign(tf.add(tf.mul(numbers!, -1), 0.3)))
      models[1].version.advance()
      expect(worst(logitsAfter(models[1])([1, 2, 3]), before)).toBeGreaterThan(1e-2)
      yield* check
      models.forEach(({ dispose }) => dispose())
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("leaves embeddings that are a variable as a whole where they are, for the next engine", () =>
    Effect.gen(function* () {
      const base = tinyModel(3)
      const whole: Kind = (numbers, _, length) => embeddedPrefix(() => numbers as unknown as Tensor2D, length)
      const model = behind(base, whole, 4, [4, base.config.width])
      const written = Effect.gen(function* () {
        const [generator] = yield* engineGenerators([model])
        const [group] = yield* generator!.generate([request(prompt(5, 1), 1, { temperature: 0 })])
        return [...group!.responses[0]!.responseIds]
      }).pipe(Effect.scoped)
      const before = tf.memory().numTensors
      expect(yield* written).toEqual(yield* written)
      expect(tf.memory().numTensors).toBe(before)
      expect(model.variables.map(({ isDisposed }) => isDisposed)).toEqual([false])
    }).pipe(Effect.provide(layer))
  )

  it.live("takes its places from the context and from the cache", () =>
    Effect.gen(function* () {
      const base = tinyModel(3)
      const [plain, with20] = yield* engineGenerators([base, behind(base, keysValues, 20)], { cacheTokens: 48 })
      expect(with20!.limits.contextTokens).toBe(plain!.limits.contextTokens - 20)
      // 44 tokens take 3 pages of 16, and behind the last 4 of 20 places as many
      const what = (tokens: number) => request(prompt(4, 1), 1, { maxNewTokens: tokens - 4 })
      const [group] = yield* with20!.generate([what(44)])
      expect(group!.responses[0]!.responseIds).toHaveLength(40)
      const refused = yield* Effect.flip(with20!.generate([request(prompt(45, 1), 1)]))
      expect(refused.message).toContain("has 45 tokens, the context holds 44")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
}

onEveryBackend("what stands before every row", suite(1e-4))
// logits near 4 have three digits
inBfloat16("what stands before every row", suite(0.1))

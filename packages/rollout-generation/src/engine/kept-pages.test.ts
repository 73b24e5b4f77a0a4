import { expect, it } from "@effect/vitest"
import { type CausalLM, createModel, keyValuePrefix } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { philoxStream, type Tensor3D, tf } from "@plumbline/runtime"
import { Effect, Stream } from "effect"
import type { GeneratedGroup, GenerationRequest } from "../request.ts"
import { onEveryBackend } from "../testing/backends.ts"
import { prompt, request, trainerScores } from "../testing/index.ts"
import { engineGenerators } from "./engine-generator.ts"
import type { EngineOptions } from "./engine.ts"

const makeModel = (seed = 3): CausalLM => createModel({ ...tinyTable, maxPositions: 256 }, seed)

/** Runs a model and counts the tokens it is fed. */
const counting = (model: CausalLM) => {
  const fed = { tokens: 0 }
  const step: CausalLM["step"] = (rows, cache, index) => {
    fed.tokens += rows.tokens.length
    return model.step(rows, cache, index)
  }
  return { fed, counted: { ...model, step } }
}

const idsOf = (groups: ReadonlyArray<GeneratedGroup>) =>
  groups.map(({ responses }) => responses.map(({ responseIds }) => [...responseIds]))

const after = (tokens: ReadonlyArray<number>, seed: number, count = 5, rest: Partial<GenerationRequest> = {}) =>
  request(Int32Array.from(tokens), seed, { temperature: 0.7, maxNewTokens: count }, rest)

const options: EngineOptions = { pageSize: 4, prefixCaching: true, draftRows: 0 }

onEveryBackend("pages of ended rows", (layer) => {
  const check = (name: string, body: (model: CausalLM, within: EngineOptions) => Effect.Effect<void, unknown>) =>
    it.live.each([false, true])(`${name} (ahead: %s)`, (goAhead) =>
      Effect.gen(function* () {
        const before = tf.memory().numTensors
        const model = makeModel()
        yield* body(model, { ...options, goAhead })
        model.dispose()
        expect(tf.memory().numTensors).toBe(before)
      }).pipe(Effect.provide(layer))
    )

  check("are where prompts that begin alike go on from; responses are the same", (model, within) =>
    Effect.gen(function* () {
      const { counted, fed } = counting(model)
      const fedBy = (one: Effect.Effect<ReadonlyArray<GeneratedGroup>, unknown>) =>
        Effect.gen(function* () {
          const before = fed.tokens
          const groups = yield* one
          return { groups, tokens: fed.tokens - before }
        })
      const [generator] = yield* engineGenerators([counted], within)
      const [plain] = yield* engineGenerators([model], { ...within, prefixCaching: false })
      const first = [...prompt(21, 1)]
      const turn = yield* fedBy(generator!.generate([after(first, 1, 6)]))
      expect(turn.tokens).toBe(21 + 5)
      const [said] = turn.groups[0]!.responses
      // what was said, but its last token, and two tokens more: 24 of 29 are in whole pages
      const transcript = [...first, ...said!.responseIds, 3, 1]
      const next = yield* fedBy(generator!.generate([after(transcript, 2, 1)]))
      expect(next.tokens).toBe(29 - 24)
      expect([...turn.groups, ...next.groups].map(({ cachedTokens }) => cachedTokens)).toEqual([0, 24])
      // a whole page short of the end, as the last token is needed
      expect((yield* fedBy(generator!.generate([after(first.slice(0, 16), 3, 1)]))).tokens).toBe(4)
      // samples of one prompt: what all begin with but four places, then each its last token and four more
      const group = yield* fedBy(generator!.generate([after([...first.slice(0, 20), 9, 9], 4, 5, { samples: 3 })]))
      expect(group.tokens).toBe(1 + 3 * 5)
      expect(group.groups[0]!.cachedTokens).toBe(20)
      // another beginning has nothing in common, however alike what follows
      expect((yield* fedBy(generator!.generate([after([6, ...first.slice(1)], 5, 1)]))).tokens).toBe(21)
      // a token that the host has not read yet has no name
      const [short] = (yield* fedBy(generator!.generate([after([8, 9, 10], 7)]))).groups
      expect(short!.responses[0]!.responseIds[0]).not.toBe(0)
      expect((yield* fedBy(generator!.generate([after([8, 9, 10, 0, 9], 8, 1)]))).tokens).toBe(5)
      // scores need all logits
      const scored = yield* fedBy(generator!.generate([after(first, 6, 1, { promptLogProbs: true })]))
      expect(scored.tokens).toBe(21)
      expect(scored.groups[0]!.cachedTokens).toBe(0)
      const again = [after(transcript, 2, 1), after([...first.slice(0, 20), 9, 9], 4, 5, { samples: 3 })]
      const alone = yield* plain!.generate(again)
      expect([...idsOf(next.groups), ...idsOf(group.groups)]).toEqual(idsOf(alone))
      expect(alone.map(({ cachedTokens }) => cachedTokens)).toEqual([undefined, undefined])
      const load = yield* generator!.load
      expect([load.cacheUse, load.cachedTokens]).toEqual([0, 24 + 12 + 20])
      const finished = yield* Stream.runCollect(generator!.stream(after(first, 9, 1))).pipe(
        Effect.map((events) => events.flatMap((event) => (event._tag === "Finished" ? [event.cachedTokens] : [])))
      )
      expect(finished).toEqual([20])
    }).pipe(Effect.scoped)
  )

  check("of a row that gave way are its own again, which is no affair of whoever asked", (model, within) =>
    Effect.gen(function* () {
      const asked = [after([...prompt(6, 1)], 1, 18), after([...prompt(5, 2)], 2, 20)]
      const [tight] = yield* engineGenerators([model], { ...within, cacheTokens: 32 })
      const groups = yield* tight!.generate(asked)
      expect(groups.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0])
      // it found two pages: its prompt and three tokens that it had drawn
      expect((yield* tight!.load).cachedTokens).toBe(5)
    }).pipe(Effect.scoped)
  )

  check("are of no use to other weights", (model, within) =>
    Effect.gen(function* () {
      const { counted, fed } = counting(model)
      const [generator] = yield* engineGenerators([counted], within)
      const what = after([...prompt(30, 1)], 1)
      yield* generator!.generate([what])
      tf.tidy(() => model.variables.forEach((variable) => variable.assign(tf.mul(variable, 0.5))))
      model.version.advance()
      const before = fed.tokens
      const [group] = yield* generator!.generate([what])
      expect(fed.tokens - before).toBe(30 + 4)
      const [response] = group!.responses
      const scores = trainerScores(model, [...what.promptIds, ...response!.responseIds]).subarray(29)
      response!.policyLogProbs.forEach((logProb, i) => expect(logProb).toBeCloseTo(scores[i]!, 4))
      yield* generator!.betweenSteps(Effect.void)
      const then = fed.tokens
      yield* generator!.generate([what])
      expect(fed.tokens - then).toBe(30 + 4)
    }).pipe(Effect.scoped)
  )

  check("are each model's own, and lie behind what stands before all of its rows", (model, within) =>
    Effect.gen(function* () {
      const { headWidth, keyValueHeads, layers } = model.config
      const { normal } = philoxStream(7, "prefix")
      const held = Array.from({ length: 2 * layers }, () =>
        tf.tensor3d(
          Array.from({ length: 6 * keyValueHeads * headWidth }, (_, i) => normal(i)),
          [6, keyValueHeads, headWidth]
        )
      )
      const prefix = keyValuePrefix(
        (layer) => ({ k: held[2 * layer] as Tensor3D, v: held[2 * layer + 1] as Tensor3D }),
        6
      )
      const behind = model.rebuilt({
        name: "behind",
        parameters: model.parameters,
        variables: [],
        weights: undefined,
        prefix,
        dispose: () => {}
      })
      const both = [counting(model), counting(behind)] as const
      const generators = yield* engineGenerators([both[0].counted, both[1].counted], within)
      const what = (seed: number) => after([...prompt(19, 2)], seed, 3)
      for (const [m, { fed }] of both.entries()) {
        const counts: Array<number> = []
        for (const seed of [1, 2]) {
          const before = fed.tokens
          const [group] = yield* generators[m]!.generate([what(seed)])
          counts.push(fed.tokens - before)
          const [response] = group!.responses
          const scores = trainerScores([model, behind][m]!, [...what(seed).promptIds, ...response!.responseIds])
          response!.policyLogProbs.forEach((logProb, i) => expect(logProb).toBeCloseTo(scores[18 + i]!, 4))
        }
        // pages hold tokens up to the 16th of a model, up to the 18th behind six places
        expect(counts).toEqual([19 + 2, 19 + 2 - (m === 0 ? 16 : 18)])
        expect((yield* generators[m]!.load).cachedTokens).toBe(m === 0 ? 16 : 16 + 18)
      }
      tf.dispose(held)
    }).pipe(Effect.scoped)
  )

  check("go to whoever needs pages: all get what they would alone", (model, within) =>
    Effect.gen(function* () {
      const requests = Array.from({ length: 24 }, (_, i) =>
        after([...prompt(8 + (i % 3) * 7, i % 4), i], 100 + i, 4 + (i % 5), { samples: 1 + (i % 2) })
      )
      const [tight] = yield* engineGenerators([model], { ...within, cacheTokens: 60, maxRows: 5 })
      const [plain] = yield* engineGenerators([model], { ...within, prefixCaching: false })
      const found = idsOf(yield* tight!.generate(requests))
      expect(found).toEqual(idsOf(yield* plain!.generate(requests)))
      const again = yield* tight!.generate(requests)
      expect(idsOf(again)).toEqual(found)
      // rows that gave way began once more, which is no affair of whoever asked
      const cached = again.map(({ cachedTokens }) => cachedTokens!)
      cached.forEach((count, i) => expect(count).toBeLessThan(requests[i]!.promptIds.length))
      const load = yield* tight!.load
      expect(load.cacheUse).toBe(0)
      expect(load.cachedTokens).toBeGreaterThan(cached.reduce((sum, count) => sum + count, 0))
    }).pipe(Effect.scoped)
  )
})

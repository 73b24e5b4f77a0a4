import { describe, expect, it } from "@effect/vitest"
import { type CausalLM, createModel } from "@plumbline/models"
import { greedyContinuation, tinyModel, tinyTable } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect, Fiber, Stream } from "effect"
import { Generator } from "../generator.ts"
import type { GenerationRequest } from "../request.ts"
import { logitsAfter, prompt, request } from "../testing/index.ts"
import type { EngineOptions } from "./engine.ts"

/** Runs `body` against an engine over a tiny model, step by step and a step ahead; none leaves a tensor. */
const check = (
  name: string,
  body: (model: CausalLM) => Effect.Effect<void, unknown, Generator>,
  options: EngineOptions = {}
) =>
  it.live.each([false, true])(`${name} (ahead: %s)`, (goAhead) =>
    Effect.gen(function* () {
      const before = tf.memory().numTensors
      const model = tinyModel(3)
      yield* Effect.provide(body(model), Generator.layerModel(model, { ...options, goAhead }))
      model.dispose()
      expect(tf.memory().numTensors).toBe(before)
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

/** Runs a model and counts the tokens it is fed. */
const counting = (model: CausalLM) => {
  const fed = { tokens: 0, steps: 0 }
  const counted: CausalLM = {
    ...model,
    step: (rows, cache, index) => {
      fed.tokens += rows.tokens.length
      fed.steps += 1
      return model.step(rows, cache, index)
    }
  }
  return { fed, counted }
}

const idsOf = (groups: ReadonlyArray<{ readonly responses: ReadonlyArray<{ readonly responseIds: Int32Array }> }>) =>
  groups.map(({ responses }) => responses.map(({ responseIds }) => [...responseIds]))

describe("generate", () => {
  check("continues greedily as the model does one token at a time, whatever the lengths", (model) =>
    Effect.gen(function* () {
      const generator = yield* Generator
      const prompts = [1, 2, 15, 16, 17, 33].map((length, i) => prompt(length, i))
      const groups = yield* generator.generate(prompts.map((p, i) => request(p, i, { temperature: 0 })))
      groups.forEach(({ responses }, i) => {
        expect([...responses[0]!.responseIds]).toEqual(greedyContinuation(model, [...prompts[i]!], 12))
        expect(responses[0]!.finishReason).toBe("length")
        expect([...responses[0]!.samplingLogProbs]).toEqual(Array.from({ length: 12 }, () => 0))
      })
    })
  )

  check("tells as many of the likeliest tokens at each place as each request asks for", (model) =>
    Effect.gen(function* () {
      const generator = yield* Generator
      const wanted = [3, 0, 1, 100]
      const groups = yield* generator.generate(
        wanted.map((topLogProbs, i) => request(prompt(4 + i, i), i, { maxNewTokens: 4 + i }, { topLogProbs }))
      )
      groups.forEach(({ promptIds, responses: [response] }, i) => {
        if (wanted[i] === 0) return expect(response!.topLogProbs).toBe(undefined)
        response!.topLogProbs!.forEach((top, t) => {
          const logits = logitsAfter(model)([...promptIds, ...response!.responseIds.subarray(0, t)])
          const normalizer = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
          const order = [...logits.keys()].toSorted((a, b) => logits[b]! - logits[a]!)
          expect(top.map(({ id }) => id)).toEqual(order.slice(0, wanted[i]))
          for (const { id, logProb } of top) expect(logProb).toBeCloseTo(logits[id]! - normalizer, 4)
        })
        expect(response!.topLogProbs).toHaveLength(4 + i)
      })
    })
  )

  check("ends with the context", (model) =>
    Effect.gen(function* () {
      const generator = yield* Generator
      const { maxPositions } = model.config
      const lengths = [maxPositions - 3, maxPositions]
      const groups = yield* generator.generate(
        lengths.map((length, i) => request(prompt(length, i), i, {}, { samples: 2 }))
      )
      expect(groups.map(({ responses }) => responses.map((r) => [r.responseIds.length, r.finishReason]))).toEqual([
        [
          [3, "length"],
          [3, "length"]
        ],
        [
          [0, "length"],
          [0, "length"]
        ]
      ])
    })
  )
})

describe("a group", () => {
  it.live("computes its prompt once", () =>
    Effect.gen(function* () {
      const model = createModel({ ...tinyTable, maxPositions: 1028 }, 3)
      const { counted, fed } = counting(model)
      const groups = yield* Effect.flatMap(Generator, ({ generate }) =>
        generate([request(prompt(1024, 1), 1, { maxNewTokens: 4 }, { samples: 8 })])
      ).pipe(Effect.provide(Generator.layerModel(counted, { maxRows: 8 })))
      // the prompt but its last token, then each sample feeds that token and all it drew but the last
      expect(fed.tokens).toBe(1023 + 8 * 4)
      expect(new Set(idsOf(groups)[0]!.map(String)).size).toBe(8)
      model.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  it.live("goes on computing its prompt once where only a few samples run at a time", () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const { counted, fed } = counting(model)
      yield* Effect.flatMap(Generator, ({ generate }) =>
        generate([request(prompt(50, 1), 1, { maxNewTokens: 4 }, { samples: 8 })])
      ).pipe(Effect.provide(Generator.layerModel(counted, { maxRows: 3 })))
      expect(fed.tokens).toBe(49 + 8 * 4)
      model.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

describe("continuous batching", () => {
  it.live.each([false, true])("starts a waiting row in the step after another ended (ahead: %s)", (goAhead) =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const { counted, fed } = counting(model)
      const lengths = [2, 10, 3, 5]
      yield* Effect.flatMap(Generator, ({ generate }) =>
        generate(lengths.map((maxNewTokens, i) => request(prompt(4, i), i, { maxNewTokens })))
      ).pipe(Effect.provide(Generator.layerModel(counted, { maxRows: 2, goAhead })))
      // two rows at a time: 10 beside 2 + 3 + 5
      expect(fed.steps).toBe(10)
      model.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  check(
    "reads a long prompt in chunks while others go on",
    () =>
      Effect.gen(function* () {
        const generator = yield* Generator
        const order: Array<string> = []
        const watch = (name: string, what: GenerationRequest) =>
          generator
            .stream(what)
            .pipe(Stream.runForEach((event) => Effect.sync(() => void (event._tag === "Token" && order.push(name)))))
        yield* Effect.all(
          [watch("short", request(prompt(2, 1), 1)), watch("long", request(prompt(40, 2), 2, { maxNewTokens: 2 }))],
          { concurrency: "unbounded" }
        )
        // 40 tokens in chunks of 4, less what the short row takes, are at least 10 steps
        expect(order.indexOf("long")).toBeGreaterThanOrEqual(9)
        expect(order).toHaveLength(14)
      }),
    { maxRows: 2, maxBatchTokens: 4 }
  )
})

describe("stream", () => {
  check("tells every token as it comes, and what generate returns", () =>
    Effect.gen(function* () {
      const generator = yield* Generator
      const what = request(prompt(9, 1), 5, {}, { samples: 3, topLogProbs: 2 })
      const events = Array.from(yield* Stream.runCollect(generator.stream(what)))
      const [group] = yield* generator.generate([what])
      const finished = events.flatMap((event) => (event._tag === "Finished" ? [event.response] : []))
      expect(finished.toSorted((a, b) => a.sample - b.sample)).toEqual(group!.responses)
      for (const { policyLogProbs, responseIds, sample } of group!.responses) {
        const tokens = events.flatMap((event) => (event._tag === "Token" && event.sample === sample ? [event] : []))
        expect(tokens.map(({ id }) => id)).toEqual([...responseIds])
        expect(tokens.map(({ index }) => index)).toEqual([...responseIds.keys()])
        expect(tokens.map(({ policyLogProb }) => policyLogProb)).toEqual([...policyLogProbs])
        expect(tokens.every(({ topLogProbs }) => topLogProbs.length === 2)).toBe(true)
      }
    })
  )

  check("tells the scores of a prompt, whose first token has none, also where it is the only one", () =>
    Effect.gen(function* () {
      const generator = yield* Generator
      for (const [length, maxNewTokens] of [
        [1, 12],
        [1, 0],
        [2, 12]
      ] as const) {
        const asked = request(prompt(length, 2), 9, { maxNewTokens }, { promptLogProbs: true, samples: 2 })
        const events = yield* Stream.runCollect(generator.stream(asked))
        const scores = events.flatMap((event) => (event._tag === "Prompt" ? [event.prompt] : []))
        expect(scores.map(({ logProbs }) => [...logProbs].map(Number.isNaN))).toEqual([[true, false].slice(0, length)])
      }
    })
  )

  check("frees everything when it is left early", () =>
    Effect.gen(function* () {
      const generator = yield* Generator
      const first = yield* generator
        .stream(request(prompt(30, 1), 1, { maxNewTokens: 30 }, { samples: 4 }))
        .pipe(Stream.take(3), Stream.runCollect)
      expect(first).toHaveLength(3)
      expect(yield* generator.load).toMatchObject({ running: 0, waiting: 0, cacheUse: 0 })
    })
  )
})

describe("cancelling", () => {
  check("frees pages at once, and the others go on", () =>
    Effect.gen(function* () {
      const generator = yield* Generator
      const long = yield* Effect.forkChild(
        generator.generate([request(prompt(20, 1), 1, { maxNewTokens: 40 }, { samples: 6 })])
      )
      const other = yield* Effect.forkChild(generator.generate([request(prompt(5, 2), 2)]))
      while ((yield* generator.load).sampledTokens < 5) yield* Effect.sleep(1)
      const busy = yield* generator.load
      yield* Fiber.interrupt(long)
      expect((yield* generator.load).cacheUse).toBeLessThan(busy.cacheUse)
      expect(idsOf(yield* Fiber.join(other))[0]![0]).toHaveLength(12)
      expect(yield* generator.load).toMatchObject({ running: 0, waiting: 0, cacheUse: 0, finishedResponses: 1 })
    })
  )
})

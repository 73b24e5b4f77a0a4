import { describe, expect, it } from "@effect/vitest"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { Generator } from "../generator.ts"
import { responseText } from "../response-text.ts"
import { prompt, request } from "../testing/index.ts"

const PAIRS = Array.from({ length: 32 }, (_, id) => String.fromCharCode(97 + (id % 26), 65 + (id % 24)))
/** Each token two letters, so that stop strings begin and end within tokens. */
const tokenizer = { decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => PAIRS[id]).join("") }

/** The same, with one token that people do not read. */
const withSpecial = (special: number) => ({
  decode: (ids: ArrayLike<number>, { skipSpecialTokens = false } = {}) =>
    Array.from(ids, (id) => (id !== special ? PAIRS[id] : skipSpecialTokens ? "" : "<|mark|>")).join("")
})

/** The same sample, but for what ends it. */
const respond = (sampling: Parameters<typeof request>[2], rest: Parameters<typeof request>[3] = {}) =>
  Effect.flatMap(Generator, ({ generate }) => generate([request(prompt(6, 4), 4, sampling, rest)])).pipe(
    Effect.map(([group]) => group!.responses[0]!)
  )

const check = (name: string, body: Effect.Effect<void, unknown, Generator>) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      yield* Effect.provide(body, Generator.layerModel(model, { tokenizer }))
      model.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

describe("a response", () => {
  check(
    "ends at a stop token, which is part of it",
    Effect.gen(function* () {
      const { responseIds } = yield* respond({})
      const stopId = responseIds[5]!
      const stopped = yield* respond({ stopIds: [stopId] })
      expect([...stopped.responseIds]).toEqual([...responseIds.subarray(0, responseIds.indexOf(stopId) + 1)])
      expect(stopped).toMatchObject({ finishReason: "stop", stop: { kind: "id", id: stopId } })
      const later = yield* respond({ stopIds: [stopId], minNewTokens: 10 })
      expect(later.responseIds.subarray(0, 10)).not.toContain(stopId)
      expect(later.responseIds.length).toBeGreaterThanOrEqual(10)
    })
  )

  check(
    "ends at a stop string across token borders, and not before there are enough tokens",
    Effect.gen(function* () {
      const { responseIds } = yield* respond({})
      const text = tokenizer.decode(responseIds)
      // from the second letter of token 3 to the first of token 5
      const stop = text.slice(7, 11)
      const end = Math.ceil((text.indexOf(stop) + stop.length) / 2)
      const stopped = yield* respond({ stopStrings: ["never", stop] })
      expect(stopped).toMatchObject({ finishReason: "stop", stop: { kind: "string", text: stop } })
      expect([...stopped.responseIds]).toEqual([...responseIds.subarray(0, end)])
      const later = yield* respond({ stopStrings: [stop], minNewTokens: 12 })
      expect(later.responseIds).toEqual(responseIds)
    })
  )

  it.live("ends at strings that people read, and at a special token that is one", () =>
    Effect.gen(function* () {
      const model = tinyModel(3)
      const { responseIds } = yield* Effect.provide(respond({}), Generator.layerModel(model))
      const place = 4
      const read = withSpecial(responseIds[place]!)
      const stopping = (stop: string, stopInSpecialTokens = false) =>
        Effect.provide(
          respond({ stopStrings: [stop] }, { stopInSpecialTokens }),
          Generator.layerModel(model, { tokenizer: read })
        )
      const first = responseIds.indexOf(responseIds[place]!)
      expect((yield* stopping("mark")).responseIds).toEqual(responseIds)
      expect(yield* stopping("<|mark|>")).toMatchObject({
        responseIds: responseIds.subarray(0, first + 1),
        stop: { kind: "string", text: "<|mark|>" }
      })
      expect((yield* stopping("mark", true)).responseIds).toEqual(responseIds.subarray(0, first + 1))
      const around = PAIRS[responseIds[first - 1]!]! + PAIRS[responseIds[first + 1]!]!
      expect((yield* stopping(around)).responseIds).toEqual(responseIds.subarray(0, first + 2))
      expect((yield* stopping(around, true)).responseIds).toEqual(responseIds)
      model.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

  it.live(
    "ends at a string of which the end is bytes that never become a character, also where nothing follows them",
    () =>
      Effect.gen(function* () {
        const model = tinyModel(3)
        const { responseIds } = yield* Effect.provide(respond({}), Generator.layerModel(model))
        const first = responseIds.findIndex((id, t) => t > 2 && responseIds.indexOf(id) === t)
        const half = responseIds[first]!
        const bytes = (id: number) => (id === half ? [0xc3] : [...Buffer.from(PAIRS[id]!)])
        const broken = { decode: (ids: ArrayLike<number>) => Buffer.from(Array.from(ids, bytes).flat()).toString() }
        const stop = `${PAIRS[responseIds[first - 1]!]![1]!}\uFFFD`
        const stopping = (sampling: Parameters<typeof request>[2]) =>
          Effect.provide(
            respond({ stopStrings: [stop], ...sampling }),
            Generator.layerModel(model, { tokenizer: broken })
          )
        const read = PAIRS[responseIds[first - 1]!]![0]!
        const before = broken.decode(responseIds.subarray(0, first - 1))
        // bytes of a character may follow, so the next token tells; where there is none, nothing is waited for
        for (const [length, sampling] of [
          [first + 2, {}],
          [first + 1, { maxNewTokens: first + 1 }],
          [first + 2, { stopIds: [responseIds[first + 1]!] }]
        ] as const) {
          const stopped = yield* stopping(sampling)
          expect(stopped).toMatchObject({ finishReason: "stop", stop: { kind: "string", text: stop } })
          expect(stopped.responseIds).toEqual(responseIds.subarray(0, length))
          expect(responseText(broken, stopped)).toBe(before + read)
        }
        model.dispose()
      }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

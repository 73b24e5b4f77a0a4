import { expect, it } from "@effect/vitest"
import { createModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { philoxStream } from "@plumbline/runtime"
import { float32Backends } from "@plumbline/runtime/testing"
import { Effect, Fiber } from "effect"
import { describe } from "vitest"
import type { GeneratedGroup, GenerationRequest } from "../request.ts"
import { prompt, request } from "../testing/index.ts"
import { engineGenerators } from "./engine-generator.ts"
import type { EngineOptions } from "./engine.ts"

/** Numbers below `most`, in turn. */
const dice = (seed: number) => {
  const { uint32 } = philoxStream(seed, "disturbed")
  let thrown = 0
  const below = (most: number) => uint32(thrown++) % most
  return { below, of: <A>(some: ReadonlyArray<A>): A => some[below(some.length)]! }
}

type Dice = ReturnType<typeof dice>

/** Prompts that begin alike or not at all, of which some repeat themselves. */
const randomRequests = ({ below, of }: Dice, count: number): ReadonlyArray<GenerationRequest> =>
  Array.from({ length: count }, (_, i) => {
    const start = of([[...prompt(40, 1)], Array.from({ length: 40 }, (__, t) => (5 * t) % 7)]).slice(0, 1 + below(40))
    const sampling = {
      maxNewTokens: 1 + below(40),
      temperature: of([0, 0.2, 1]),
      stopIds: of([[], [below(32)]]),
      repetitionPenalty: of([1, 1, 1.2])
    }
    const rest = { samples: 1 + below(3), caller: below(4), promptLogProbs: below(6) === 0 }
    return request(Int32Array.from([...start, below(32)]), i, sampling, rest)
  })

const randomOptions = ({ below, of }: Dice): EngineOptions => {
  const goAhead = below(3) === 0
  return {
    goAhead,
    pageSize: of([1, 3, 4, 16]),
    maxRows: 1 + below(12),
    maxBatchTokens: 12 + below(60),
    cacheTokens: 96 + below(200),
    prefixCaching: below(4) > 0,
    draftRows: goAhead ? 0 : of([0, 8, 16])
  }
}

const idsOf = (groups: ReadonlyArray<GeneratedGroup>) =>
  groups.map(({ responses }) => responses.map(({ finishReason, responseIds }) => [...responseIds, finishReason]))

const turn = Effect.promise(() => new Promise<void>((resume) => setImmediate(resume)))

for (const { isThere, layer, name } of float32Backends.filter((backend) => !backend.name.includes("CUDA"))) {
  describe.skipIf(!isThere)(`responses, on ${name}`, () => {
    it.live.each(Array.from({ length: 8 }, (_, seed) => seed))(
      "are the same whatever is asked, taken back, and done to the weights' version meanwhile (%i)",
      (seed) =>
        Effect.gen(function* () {
          const random = dice(seed)
          const model = createModel({ ...tinyTable, maxPositions: 128 }, 3, { trainable: false })
          const requests = randomRequests(random, 5 + random.below(12))
          const [plain] = yield* engineGenerators([model], { draftRows: 0 })
          const [tried] = yield* engineGenerators([model], randomOptions(random))
          const expected = idsOf(yield* plain!.generate(requests))
          const found = yield* Effect.forkChild(tried!.generate(requests), { startImmediately: true })
          const others: Array<Fiber.Fiber<unknown, unknown>> = []
          for (let i = 0; i < 50; i++) {
            yield* turn
            const what = random.below(10)
            if (what === 0) model.version.advance()
            if (what === 1) yield* tried!.betweenSteps(Effect.void)
            if (what === 2) {
              const more = requests
                .slice(random.below(3), 3)
                .map((one) => ({ ...one, seed: 100 + i, caller: `other ${i}` }))
              others.push(yield* Effect.forkChild(tried!.generate(more), { startImmediately: true }))
            }
            if (what === 3 && others.length > 0)
              yield* Fiber.interrupt(others.splice(random.below(others.length), 1)[0]!)
          }
          for (const fiber of others) yield* Fiber.interrupt(fiber)
          expect(idsOf(yield* Fiber.join(found))).toEqual(expected)
          expect(idsOf(yield* tried!.generate(requests))).toEqual(expected)
          expect(yield* tried!.load).toMatchObject({ running: 0, waiting: 0, cacheUse: 0 })
          model.dispose()
        }).pipe(Effect.scoped, Effect.provide(layer))
    )
  })
}

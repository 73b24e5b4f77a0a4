import { expect, it } from "@effect/vitest"
import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "@plumbline/data"
import { createModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Fiber, Schema } from "effect"
import { Generator } from "../generator.ts"
import { samplingOptions } from "../sampling/options.ts"
import { prompt, trainerScores } from "../testing/index.ts"
import { runAgent } from "./run-agent.ts"
import { tool } from "./tool.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
const newModel = () => createModel({ ...tinyTable, vocabulary: tokenizer.vocabSize, maxPositions: 400 }, 3)

/** An agent that calls `echo` twice, whatever it says. */
const echoing = (run: (signal: AbortSignal) => Promise<string> | string) => {
  let left = 2
  const echo = tool({
    name: "echo",
    description: "",
    input: Schema.Struct({}),
    seconds: 20,
    run: (_, signal) => run(signal)
  })
  return {
    promptIds: prompt(9, 1),
    seed: 4,
    sampling: samplingOptions({ maxNewTokens: 60, temperature: 1.3, topK: 200, stopIds: [tokenizer.eosId!, 97] }),
    tokenizer,
    tools: [echo],
    findCalls: () => (left-- > 0 ? [{ name: "echo", arguments: {} }] : [])
  }
}

it.live("the log-probs of an episode are those of the trainer's scoring of its transcript", () =>
  Effect.gen(function* () {
    const model = newModel()
    const { transcript, turns } = yield* runAgent(echoing(() => "again")).pipe(
      Effect.provide(Generator.layerModel(model))
    )
    expect(turns.map(({ calls }) => calls.length)).toEqual([1, 1, 0])
    const scores = trainerScores(model, [...transcript.ids])
    const sampled = [...transcript.lossMask.keys()].filter((t) => transcript.lossMask[t] === 1)
    expect(sampled.length).toBe(turns.reduce((sum, { response }) => sum + response.responseIds.length, 0))
    for (const t of sampled) expect(Math.abs(transcript.policyLogProbs[t]! - scores[t - 1]!)).toBeLessThanOrEqual(1e-4)
    model.dispose()
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

it.live("an episode that is interrupted ends its tool and frees its rows", () =>
  Effect.gen(function* () {
    const model = newModel()
    let aborted = false
    yield* Effect.gen(function* () {
      const { load } = yield* Generator
      const waiting = (signal: AbortSignal) =>
        new Promise<string>(() => signal.addEventListener("abort", () => (aborted = true)))
      const playing = yield* Effect.forkChild(runAgent(echoing(waiting)))
      while ((yield* load).finishedResponses < 1) yield* Effect.sleep(1)
      yield* Fiber.interrupt(playing)
      expect(yield* load).toMatchObject({ running: 0, waiting: 0 })
    }).pipe(Effect.provide(Generator.layerModel(model)))
    expect(aborted).toBe(true)
    model.dispose()
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

it.live("what the generator refuses, and a seed that is none, is a typed failure", () =>
  Effect.gen(function* () {
    const model = newModel()
    const long = { ...echoing(() => ""), promptIds: prompt(401, 1) }
    const error = yield* Effect.flip(runAgent(long)).pipe(Effect.provide(Generator.layerModel(model)))
    expect(error).toMatchObject({ _tag: "GenerationRefused", field: "promptIds" })
    const odd = runAgent({ ...echoing(() => ""), seed: -1 }).pipe(Effect.provide(Generator.layerModel(model)))
    expect(yield* Effect.flip(odd)).toMatchObject({ _tag: "InvalidSeed", seed: -1 })
    model.dispose()
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)

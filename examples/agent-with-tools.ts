/**
 * An agent: a model that was taught to look the weather up does so before it answers. The loop around it is a plain
 * asynchronous function; its transcript is a row to train on, of which only the model's own tokens count.
 *
 *   npx node examples/agent-with-tools.ts
 *
 * Prints, in 4 seconds:
 *
 *   loss 0.0045 after 140 steps
 *   <tool_call>{"name":"sky","arguments":{"city":"Oslo"}}</tool_call><|im_end|> Oslo has rain.<|im_end|> (81 of 129 tokens count)
 *   … and so on for four other cities
 */
import { sft, SupervisedData } from "@plumbline/algorithms"
import {
  batchSampler,
  byteTokenizer,
  CHATML_SPECIALS,
  CHATML_TEMPLATE,
  tokenizeChat,
  tokenizePrompt
} from "@plumbline/data"
import { llama, Policy } from "@plumbline/models"
import { agentLoop, Generator, samplingOptions, tool } from "@plumbline/rollout-generation"
import { runTraining, trainingOptions } from "@plumbline/training"
import { Console, Effect, Layer, Schema } from "effect"
import { services } from "./services.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
const cities = ["Oslo", "Lima", "Cairo", "Tunis", "Delhi"]
const skies = ["rain", "snow", "fog", "sun"]

const question = (city: string) => [{ role: "user", content: `${city}?` }]

/** The question, the call of the tool, what it says, the answer. */
const demonstration = (city: string, sky: string) => [
  ...question(city),
  { role: "assistant", content: `<tool_call>{"name":"sky","arguments":{"city":"${city}"}}</tool_call>` },
  { role: "tool", content: sky },
  { role: "assistant", content: `${city} has ${sky}.` }
]

const units = cities.flatMap((city) =>
  skies.map((sky) => {
    const row = tokenizeChat(tokenizer, demonstration(city, sky))
    return { row, tokens: row.ids.length, origin: `${city}, ${sky}` }
  })
)
const data = Layer.succeed(SupervisedData, {
  units,
  heldOut: [],
  sampler: batchSampler({ rows: units.length, batchSize: 10, seed: 0, shuffle: true }),
  split: { count: 10 },
  layout: "packed",
  padId: tokenizer.padId
})

const table = { family: llama, vocabulary: 259, width: 48, layers: 2, heads: 4, mlpWidth: 96, maxPositions: 160 }
const options = trainingOptions({ maxSteps: 140, learningRate: 1e-2 })

const sky = tool({
  name: "sky",
  description: "what the sky over a city is like now",
  input: Schema.Struct({ city: Schema.String }),
  seconds: 1,
  run: ({ city }) => new Map(cities.map((name, i) => [name, skies[i % skies.length]!])).get(city) ?? "nothing known"
})

const program = Effect.gen(function* () {
  const { metrics } = yield* runTraining({ algorithm: sft(), options })
  yield* Console.log(`loss ${metrics["loss"]!.toFixed(4)} after ${options.maxSteps} steps`)
  const generator = yield* Generator
  const agents = cities.map((city, seed) =>
    agentLoop(generator, {
      promptIds: tokenizePrompt(tokenizer, question(city)),
      seed,
      sampling: samplingOptions({ temperature: 0, stopIds: tokenizer.stopIds }),
      tokenizer,
      tools: [sky]
    })
  )
  for (const { transcript, turns } of yield* Effect.promise(() => Promise.all(agents))) {
    const own = transcript.lossMask.filter((counts) => counts === 1).length
    yield* Console.log(`${turns.map(({ text }) => text).join(" ")} (${own} of ${transcript.ids.length} tokens count)`)
  }
})

await program.pipe(
  // a turn goes on from the pages of the one before
  Effect.provide(Generator.layerEngine({ prefixCaching: true })),
  Effect.provide([data, Policy.layerNew(table, 0)]),
  Effect.provide(services),
  Effect.runPromise
)

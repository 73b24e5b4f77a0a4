import {
  aiPreferences,
  critiqueAndRevise,
  loadPreferencePrinciples,
  loadPrinciples,
  type NumberedPrompt
} from "@plumbline/algorithms"
import { loadPrompts, type PromptRecord, Tokenizer } from "@plumbline/data"
import { Generator } from "@plumbline/rollout-generation"
import { needed, NonNegative, NonNegativeInt, option, PositiveInt, Progress } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { readFileSync } from "node:fs"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { openResults, openWork, type Results } from "../generate/results.ts"
import { modelFields, openModel, RowUnusable } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"
import { placeOf } from "../prompt-input.ts"

const Options = Schema.Struct({
  ...modelFields,
  input: needed(Schema.NonEmptyString, "prompts: prompt, text or messages a row"),
  constitution: needed(
    Schema.NonEmptyString,
    "JSONL file of principles: critique + revision a row for revisions, principle a row for preferences"
  ),
  output: needed(Schema.NonEmptyString, "JSONL file for the rows; a second run goes on where the first stopped"),
  make: option(
    Schema.Literals(["revisions", "preferences"]),
    "revisions",
    "answers that the model itself revised, or pairs that it judged"
  ),
  temperatures: option(
    Schema.Array(NonNegative),
    [0.01, 0.51, 1.01, 1.51],
    "of the candidates of preferences, one each"
  ),
  temperature: option(NonNegative, 0, "of revisions"),
  maxNewTokens: option(PositiveInt, 1024, "most tokens of an answer, a critique or a judgement"),
  seed: option(NonNegativeInt, 0, "seed of the draws; each prompt has its own"),
  maxRows: option(PositiveInt, 64, "texts written at the same time"),
  ...machineFields
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "constitution",
  usage: "--model DIR --input FILE --constitution FILE --output FILE [--make preferences]",
  summary: "Constitutional AI's data: answers revised by principles, or pairs judged by them, all by the model itself",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Prompts that are worked on at one time. */
const BATCH = 32

/** Writes rows for plumb sft, or pairs for plumb dpo and rm, by a constitution. */
export const constitutionCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const records = yield* loadPrompts(options.input)
    const prompts = yield* Effect.forEach(records, numbered)
    yield* writeAll(options, prompts).pipe(Effect.scoped, Effect.provide(Progress.layer), onMachine(options))
  })

const numbered = (record: PromptRecord, number: number) => {
  if (record.kind === "chat") return Effect.succeed<NumberedPrompt>({ number, messages: record.messages })
  if (record.kind === "text") {
    return Effect.succeed<NumberedPrompt>({ number, messages: [{ role: "user", content: record.text }] })
  }
  return Effect.fail(new RowUnusable({ place: placeOf(record), reason: "has token ids, and a chat needs text" }))
}

const writeAll = Effect.fnUntraced(function* (options: Options, prompts: ReadonlyArray<NumberedPrompt>) {
  const make = yield* maker(options)
  const { model, tokenizer } = yield* openModel(options)
  // the principles themselves decide what is written, wherever their file lies
  const constitution = readFileSync(options.constitution, "utf8")
  const made = { ...options, constitution, samples: 1 }
  const results = yield* openResults(made, prompts.map(promptKey))
  const open = yield* openWork(results, prompts, ({ number }) => number)
  const task = yield* (yield* Progress).begin({ label: "constitution", total: prompts.length })
  let done = prompts.length - open.length
  if (done > 0) yield* task.restart(done)
  const engine = Generator.layerModel(model, { maxRows: options.maxRows, tokenizer })
  yield* Effect.gen(function* () {
    for (let at = 0; at < open.length; at += BATCH) {
      const batch = open.slice(at, at + BATCH)
      yield* writeBatch(results, batch, yield* make(batch))
      yield* task.advance((done += batch.length), {})
    }
  }).pipe(Effect.provide([engine, Tokenizer.layer(tokenizer)]))
})

const promptKey = ({ messages }: NumberedPrompt): Int32Array => Int32Array.from(Buffer.from(JSON.stringify(messages)))

type Made = ReadonlyMap<number, object>

/** How a batch of prompts becomes rows, by number; a prompt of which nothing can be made has none. */
const maker = Effect.fnUntraced(function* ({
  constitution,
  make,
  maxNewTokens,
  seed,
  temperature,
  temperatures
}: Options) {
  if (make === "revisions") {
    const principles = yield* loadPrinciples(constitution)
    return Effect.fnUntraced(function* (prompts: ReadonlyArray<NumberedPrompt>) {
      const revised = yield* critiqueAndRevise(prompts, principles, { seed, sampling: { maxNewTokens, temperature } })
      return new Map(revised.map((one) => [one.number, revisionRow(one)])) as Made
    })
  }
  const principles = yield* loadPreferencePrinciples(constitution)
  return Effect.fnUntraced(function* (prompts: ReadonlyArray<NumberedPrompt>) {
    const judge = yield* Generator
    const pairs = yield* aiPreferences(prompts, principles, { seed, sampling: { maxNewTokens }, temperatures, judge })
    return new Map(pairs.map((one) => [one.number, preferenceRow(one)])) as Made
  })
})

type Revision = Effect.Success<ReturnType<typeof critiqueAndRevise>>[number]
type Preference = Effect.Success<ReturnType<typeof aiPreferences>>[number]

const said = (content: string) => [{ role: "assistant", content }]

/** A demonstration; with what led to it. */
const revisionRow = ({ critique, messages, response, revision }: Revision) => ({
  prompt: messages,
  completion: said(revision),
  first_response: response,
  critique
})

const preferenceRow = ({ chosen, chosenShare, messages, rejected, rejectedShare }: Preference) => ({
  prompt: messages,
  chosen: said(chosen),
  rejected: said(rejected),
  chosen_reward: chosenShare,
  rejected_reward: rejectedShare
})

/** A prompt of which nothing could be made is tried again by the next run. */
const writeBatch = (results: Results, batch: ReadonlyArray<NumberedPrompt>, made: Made) =>
  Effect.forEach(
    batch.filter(({ number }) => made.has(number)),
    ({ number }) => results.write(number, [JSON.stringify({ index: number, ...made.get(number)! })]),
    { discard: true }
  )

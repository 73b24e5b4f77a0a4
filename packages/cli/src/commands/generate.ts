import { conditionedOn, labelIds, namedWeights, type SteeringInvalid, WeightedName } from "@plumbline/algorithms"
import {
  attempt,
  flagName,
  type PromptRecord,
  renderingRow,
  type TokenizerShape,
  tokenizePrompt
} from "@plumbline/data"
import { type GenerationRefused, Generator, promptRequests, samplingFields } from "@plumbline/rollout-generation"
import { NonNegativeInt, option, optional, PositiveInt, Progress } from "@plumbline/training"
import { Effect, Schema, Stream } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { engineFields } from "../engine-fields.ts"
import { responseLine, responseRecord } from "../generate/response-record.ts"
import { openResults, openWork, type Results } from "../generate/results.ts"
import { checkRows, modelFields, openModel } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"
import { readInput } from "../prompt-input.ts"
import { UsageError } from "../usage-error.ts"

const Options = Schema.Struct({
  ...modelFields,
  prompt: optional(Schema.String, "text to continue"),
  input: optional(Schema.NonEmptyString, "JSONL file: prompt, messages, text or input_ids a row"),
  output: optional(
    Schema.NonEmptyString,
    "JSONL file for the responses, as --json has them; a second run goes on where the first stopped"
  ),
  samples: option(PositiveInt, 1, "responses to each prompt"),
  json: option(
    Schema.Boolean,
    false,
    "one JSON object a response: prompt_ids, response_ids, text, logprobs (nats, of the model itself), sampling_logprobs, policy_version, finish_reason"
  ),
  attributes: optional(
    Schema.Array(WeightedName),
    "grades to write for, of a model that plumb steerlm made, as helpfulness=4,verbosity=1"
  ),
  seed: option(NonNegativeInt, 0, "seed of the samples; each prompt and sample has its own stream"),
  ...samplingFields,
  ...engineFields,
  ...machineFields
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "generate",
  usage: "--model DIR (--prompt TEXT | --input FILE) [--samples N] [--json | --output FILE]",
  summary: "continues prompts; chats go through the chat template",
  arguments: [],
  options: Options,
  group: (field) => {
    if (field in machineFields || field in engineFields) return "Machine"
    return field in samplingFields || field === "seed" ? "Sampling" : "Options"
  },
  configFile: false
}

/** Prompts that the engine is given at one time; it begins the next ones as soon as there is room. */
const AHEAD = 256

/** Samples responses to each prompt. */
export const generateCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { input, prompt } = options
    const records = yield* readInput({ command: "generate", flag: "prompt", text: prompt, input })
    yield* generateAll(options, records).pipe(
      Effect.catchTag("GenerationRefused", (refused) => Effect.fail(asUsage(refused))),
      Effect.scoped,
      onMachine(options)
    )
  })

/** Rows were checked: what the engine still refuses is what flags ask of it. */
const asUsage = ({ field, reason }: GenerationRefused): UsageError =>
  new UsageError({
    problems: [`${flagName(field)} ${reason.replace(/\b[a-z]+[A-Z]\w*/g, flagName)}`],
    help: "plumb generate --help lists the options"
  })

const generateAll = Effect.fnUntraced(function* (options: Options, records: ReadonlyArray<PromptRecord>) {
  const { model, tokenizer } = yield* openModel(options)
  const label = yield* steering(options, tokenizer)
  const prompts = yield* Effect.forEach(records, (record) =>
    Effect.map(promptIds(tokenizer, record), (ids) => Int32Array.from([...ids, ...label]))
  )
  yield* checkRows(model, records, prompts, 1)
  const results = yield* openResults(options, prompts)
  const sampling = {
    ...samplingOf(options),
    stopIds: [...new Set([...options.stopIds, ...tokenizer.stopIds, ...model.endTokens])]
  }
  const { samples, seed } = options
  const requests = promptRequests(prompts, { seed, samples, sampling })
  const open = yield* openWork(results, [...requests.keys()], (row) => row)
  const { cacheTokens, maxRows } = options
  yield* respond(open, requests, results, { options, tokenizer }).pipe(
    Effect.provide([
      Generator.layerModel(model, { maxRows, cacheTokens, tokenizer }),
      prompts.length > 1 ? Progress.layer : Progress.layerSilent
    ])
  )
})

/** Ids of the label with the grades asked for, which stands between prompt and response; none where none are. */
const steering = Effect.fnUntraced(function* ({ attributes, model }: Options, tokenizer: TokenizerShape) {
  const grades = yield* namedWeights(attributes, "--attributes")
  if (grades === undefined) return new Int32Array(0)
  const names = yield* Effect.try({
    try: () => conditionedOn(model, grades),
    catch: (cause) => cause as SteeringInvalid
  })
  return labelIds(tokenizer, names, grades)
})

/** The sampling options among those of the command. */
const samplingOf = (options: Options) =>
  Object.fromEntries(Object.entries(options).filter(([field]) => field in samplingFields)) as Pick<
    Options,
    keyof typeof samplingFields
  >

interface Writing {
  readonly options: Options
  readonly tokenizer: TokenizerShape
}

/** Generates the open rows and writes each as soon as those before it are written. */
const respond = Effect.fnUntraced(function* (
  open: ReadonlyArray<number>,
  requests: ReturnType<typeof promptRequests>,
  results: Results,
  { options, tokenizer }: Writing
) {
  const generator = yield* Generator
  const task = yield* (yield* Progress).begin({ label: "generate", total: requests.length })
  let done = requests.length - open.length
  if (done > 0) yield* task.restart(done)
  yield* Stream.fromIterable(open).pipe(
    Stream.mapEffect((row) => Effect.map(generator.generate([requests[row]!]), ([group]) => ({ row, group: group! })), {
      concurrency: AHEAD
    }),
    Stream.runForEach(({ group, row }) =>
      Effect.gen(function* () {
        const lines = group.responses.map((response) =>
          options.json || options.output !== undefined
            ? JSON.stringify(responseRecord(row, group, response, tokenizer))
            : responseLine(row, response, tokenizer)
        )
        yield* results.write(row, lines)
        yield* task.advance(++done, {})
      })
    )
  )
})

const promptIds = (tokenizer: TokenizerShape, record: PromptRecord) =>
  attempt((): Int32Array => {
    if (record.kind === "ids") return record.ids
    const prompt = record.kind === "text" ? record.text : record.messages
    return renderingRow(record.origin, () => tokenizePrompt(tokenizer, prompt))
  })

import {
  conditionedOn,
  labelIds,
  namedWeights,
  openRewardModel,
  type SteeringInvalid,
  WeightedName
} from "@plumbline/algorithms"
import { attempt, loadPrompts, type PromptRecord, tokenizePrompt } from "@plumbline/data"
import { Generator, promptRequests, responseText, samplingFields, samplingOptions } from "@plumbline/rollout-generation"
import { needed, NonNegativeInt, option, optional, Positive, PositiveInt, Progress } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { modelFingerprint } from "../generate/model-fingerprint.ts"
import { openResults, openWork, type Results } from "../generate/results.ts"
import { checkRows, modelFields, openModel } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"
import { placeOf } from "../prompt-input.ts"
import { gradedByModel, type GradedPrompt, gradedPrompt } from "../steerlm2/wanted-grades.ts"
import { weightedRow } from "../steerlm2/weighted-row.ts"
import { type Answer, type Weighers, weighResponses } from "../steerlm2/weigh-responses.ts"

const { maxNewTokens, temperature, topK, topP } = samplingFields

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the policy that writes the responses, as plumb steerlm makes it"),
  adapter: modelFields.adapter,
  base: needed(Schema.NonEmptyString, "folder of the model that was never told grades: what plumb steerlm began from"),
  attributeModel: needed(Schema.NonEmptyString, "folder of an attribute model, as plumb rm-regression makes it"),
  input: needed(Schema.NonEmptyString, "prompts: prompt, text or messages a row, and the grades wanted as numbers"),
  output: needed(Schema.NonEmptyString, "JSONL file for the rows; a second run goes on where the first stopped"),
  attributes: optional(
    Schema.Array(WeightedName),
    "grades wanted of all responses, as helpfulness=4,verbosity=1 (default: those of each row)"
  ),
  samples: option(PositiveInt.check(Schema.isGreaterThan(1)), 10, "responses to each prompt"),
  max: option(PositiveInt, 4, "best grade; grades are whole numbers from 0"),
  spread: option(Positive, 0.5, "standard deviation of a grade about the attribute model's score"),
  seed: option(NonNegativeInt, 0, "seed of the samples; each prompt and sample has its own stream"),
  maxNewTokens,
  temperature,
  topK,
  topP,
  maxRows: option(PositiveInt, 64, "responses written at the same time"),
  batchTokens: option(PositiveInt, 16_384, "most tokens computed at once"),
  ...machineFields
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "steerlm2-data",
  usage: "--model DIR --base DIR --attribute-model DIR --input FILE --output FILE",
  summary: "samples responses for grades and weighs them by three models, for plumb steerlm2",
  arguments: [],
  options: Options,
  group: (field) => {
    if (field in machineFields || field === "maxRows" || field === "batchTokens") return "Machine"
    return field in samplingFields || field === "seed" ? "Sampling" : "Options"
  },
  configFile: false
}

/** Prompts that are worked on at one time. */
const BATCH = 32

/** Writes rows of `plumb steerlm2`: prompts, labels, and responses with their three log-probs. */
export const steerLm2DataCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const records = yield* loadPrompts(options.input)
    yield* writeAll(options, records).pipe(Effect.scoped, Effect.provide(Progress.layer), onMachine(options))
  })

const writeAll = Effect.fnUntraced(function* (options: Options, records: ReadonlyArray<PromptRecord>) {
  const { adapter, attributeModel, base, batchTokens, max, model, spread } = options
  const given = yield* namedWeights(options.attributes, "--attributes")
  const names = yield* Effect.try({
    try: () => conditionedOn(model, given ?? {}),
    catch: (cause) => cause as SteeringInvalid
  })
  const prompts = yield* Effect.forEach(records, (record) => gradedPrompt(record, names, given, max))
  const weighers: Weighers = {
    policy: yield* openModel({ model, adapter }),
    base: yield* openModel({ model: base }),
    grader: yield* openRewardModel({ model: attributeModel }),
    names,
    grades: { max, spread },
    batchTokens
  }
  const wanted = [...new Set(prompts.flatMap(({ grades }) => Object.keys(grades)))]
  yield* gradedByModel(attributeModel, wanted, weighers.grader.model.head.attributes)
  yield* sampleAndWeigh(options, yield* prepare(options, records, prompts, weighers))
})

interface Work {
  readonly records: ReadonlyArray<PromptRecord>
  readonly prompts: ReadonlyArray<GradedPrompt>
  /** Of each prompt with its label. */
  readonly ids: ReadonlyArray<Int32Array>
  readonly weighers: Weighers
  readonly results: Results
}

const prepare = Effect.fnUntraced(function* (
  options: Options,
  records: ReadonlyArray<PromptRecord>,
  prompts: ReadonlyArray<GradedPrompt>,
  weighers: Weighers
) {
  const { model, tokenizer } = weighers.policy
  const ids = yield* attempt(() =>
    prompts.map(({ grades, prompt }) =>
      Int32Array.from([...tokenizePrompt(tokenizer, prompt), ...labelIds(tokenizer, weighers.names, grades)])
    )
  )
  yield* checkRows(model, records, ids, 1)
  const [base, attributeModel] = [modelFingerprint(options.base), modelFingerprint(options.attributeModel)]
  // a prompt is one line, whatever its responses
  const origin = { ...options, base, attributeModel, responses: options.samples, samples: 1 }
  return { records, prompts, ids, weighers, results: yield* openResults(origin, ids) }
})

const sampleAndWeigh = Effect.fnUntraced(function* (options: Options, { ids, results, weighers, ...work }: Work) {
  const { model, tokenizer } = weighers.policy
  const requests = promptRequests(ids, {
    seed: options.seed,
    samples: options.samples,
    sampling: samplingOf(options, weighers)
  })
  const open = yield* openWork(results, [...requests.keys()], (row) => row)
  const task = yield* (yield* Progress).begin({ label: "steerlm2-data", total: ids.length })
  let done = ids.length - open.length
  if (done > 0) yield* task.restart(done)
  yield* Effect.gen(function* () {
    const { generate } = yield* Generator
    for (let at = 0; at < open.length; at += BATCH) {
      const batch = open.slice(at, at + BATCH)
      const groups = yield* generate(batch.map((row) => requests[row]!))
      const answers = groups.map(({ responses }, i): ReadonlyArray<Answer> =>
        responses.map((response) => answerOf(batch[i]!, responseText(tokenizer, response), work))
      )
      const weighed = yield* weighResponses(answers.flat(), weighers)
      for (const [i, row] of batch.entries()) {
        const own = weighed.slice(i * options.samples, (i + 1) * options.samples)
        yield* results.write(row, [JSON.stringify({ index: row, ...weightedRow(weighers.names, answers[i]!, own) })])
      }
      yield* task.advance((done += batch.length), {})
    }
  }).pipe(Effect.provide(Generator.layerModel(model, { maxRows: options.maxRows, tokenizer })))
})

const answerOf = (row: number, response: string, { prompts, records }: Pick<Work, "prompts" | "records">): Answer => ({
  ...prompts[row]!,
  response,
  place: placeOf(records[row]!)
})

const samplingOf = ({ maxNewTokens, temperature, topK, topP }: Options, { policy }: Weighers) =>
  samplingOptions({
    maxNewTokens,
    temperature,
    topK,
    topP,
    stopIds: [...new Set([...policy.tokenizer.stopIds, ...policy.model.endTokens])]
  })

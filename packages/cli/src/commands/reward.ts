import { attempt, type JudgedRecord, loadJudged, tokenizeJudged } from "@plumbline/data"
import { namedWeights, openRewardModel, WeightedName } from "@plumbline/algorithms"
import { scoreRows, weightsInOrder } from "@plumbline/reward-model"
import { needed, option, optional, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { modelFields } from "../model-input.ts"
import { readableRows, weightsFor } from "../reward-input.ts"
import { textTable } from "../table.ts"
import { print, printJson, textWidth } from "../terminal.ts"

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of a reward model, in the Hugging Face layout of sequence classifiers"),
  adapter: modelFields.adapter,
  input: needed(
    Schema.NonEmptyString,
    "JSONL file: input_ids, messages, prompt + response, text or prompt a row; a response ends as in training, a text is taken as it is"
  ),
  attributeWeights: optional(
    Schema.Array(WeightedName),
    "what each attribute counts in the reward, as helpfulness=0.65,verbosity=-0.4 (default: all the same, adding up to 1)"
  ),
  batchTokens: option(PositiveInt, 16_384, "most tokens computed at once"),
  json: option(Schema.Boolean, false, "one JSON object a row: reward, and its parts by name"),
  ...machineFields
})

const line: CommandLine<typeof Options> = {
  name: "reward",
  usage: "--model DIR --input FILE [--json]",
  summary: "reward of each row, by a trained reward model",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Prints the reward of each row, and what it is made of. */
export const rewardCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const given = yield* namedWeights(options.attributeWeights)
    const records = yield* loadJudged(options.input)
    yield* Effect.gen(function* () {
      const { model, tokenizer } = yield* openRewardModel(options)
      const weights = yield* weightsFor(model.head, given)
      const rows = yield* attempt(() => records.map((record) => tokenizeJudged(tokenizer, record)))
      yield* readableRows(model, records, rows)
      const scores = yield* scoreRows(model, rows, options)
      const order = weightsInOrder(model.head, weights)
      const rewards = scores.map((values) => order.reduce((sum, weight, k) => sum + weight * values[k]!, 0))
      yield* options.json
        ? Effect.forEach(scores, (values, i) =>
            printJson({ reward: rewards[i], parts: named(model.head.attributes, values) })
          )
        : print(rewardTable(model.head.attributes, records, scores, rewards))
    }).pipe(Effect.scoped, onMachine(options))
  })

const named = (names: ReadonlyArray<string>, values: Float32Array): Readonly<Record<string, number>> =>
  Object.fromEntries(names.map((name, k) => [name, values[k]!]))

const rewardTable = (
  names: ReadonlyArray<string>,
  records: ReadonlyArray<JudgedRecord>,
  scores: ReadonlyArray<Float32Array>,
  rewards: ReadonlyArray<number>
): string => {
  const parts = names.length === 1 ? [] : names
  return textTable(
    [
      { title: "line", align: "right" },
      { title: "reward", align: "right" },
      ...parts.map((title) => ({ title, align: "right" as const }))
    ],
    scores.map((values, i) => [
      String(records[i]!.origin?.line ?? i + 1),
      rewards[i]!.toFixed(4),
      ...parts.map((_, k) => values[k]!.toFixed(4))
    ]),
    textWidth()
  )
}

import { attempt, type PromptRecord, type TokenizerShape, tokenizePrompt } from "@plumbline/data"
import { generate } from "@plumbline/rollout-generation"
import { needed, NonNegative, NonNegativeInt, option, optional, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, runtimeLayer } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { checkRows, openModel } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"
import { readInput } from "../prompt-input.ts"
import { print, printJson } from "../terminal.ts"

const TopP = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true }))

const samplingFields = {
  maxNewTokens: option(PositiveInt, 128, "most tokens of a response"),
  temperature: option(NonNegative, 1, "divides the logits; 0 takes the most likely token"),
  topP: option(TopP, 1, "only the most likely tokens whose probabilities reach this; 1 = all"),
  topK: option(NonNegativeInt, 0, "only this many most likely tokens; 0 = all"),
  seed: option(NonNegativeInt, 0, "seed of the samples; each row has its own stream")
} as const

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "model folder, in the Hugging Face layout"),
  prompt: optional(Schema.String, "text to continue"),
  input: optional(Schema.NonEmptyString, "JSONL file: prompt, messages, text or input_ids a row"),
  json: option(
    Schema.Boolean,
    false,
    "one JSON object a row: prompt_ids, response_ids, text, logprobs (nats, of the model itself), finish_reason"
  ),
  ...samplingFields,
  ...machineFields
})

const line: CommandLine<typeof Options> = {
  name: "generate",
  usage: "--model DIR (--prompt TEXT | --input FILE) [--json]",
  summary: "continues prompts; chats go through the chat template",
  arguments: [],
  options: Options,
  group: (field) => {
    if (field in machineFields) return "Machine"
    return field in samplingFields ? "Sampling" : "Options"
  },
  configFile: false
}

/** Rows decoded at once. */
const BATCH_ROWS = 32

/** Samples a response to each prompt. */
export const generateCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { input, json, prompt } = options
    const records = yield* readInput({ command: "generate", flag: "prompt", text: prompt, input })
    yield* Effect.gen(function* () {
      const { model, tokenizer } = yield* openModel(options.model)
      const prompts = yield* Effect.forEach(records, (record) => promptIds(tokenizer, record))
      yield* checkRows(model, records, prompts, 1)
      const stopIds = [...new Set([...tokenizer.stopIds, ...model.endTokens])]
      const onProgress = (done: number) => {
        if (prompts.length > BATCH_ROWS) process.stderr.write(`${done} of ${prompts.length} rows\n`)
      }
      const responses = generate(model, prompts, { ...options, stopIds, batchSize: BATCH_ROWS, onProgress })
      for (const [i, { finishReason, logProbs, responseIds }] of responses.entries()) {
        const text = tokenizer.decode(responseIds, { skipSpecialTokens: true })
        if (!json) yield* print(i === 0 ? text : `---\n${text}`)
        else {
          yield* printJson({
            prompt_ids: [...prompts[i]!],
            response_ids: [...responseIds],
            text,
            logprobs: [...logProbs],
            finish_reason: finishReason
          })
        }
      }
    }).pipe(Effect.scoped, Effect.provide(runtimeLayer(options)))
  })

const promptIds = (tokenizer: TokenizerShape, record: PromptRecord) =>
  attempt((): Int32Array => {
    if (record.kind === "ids") return record.ids
    return tokenizePrompt(tokenizer, record.kind === "text" ? record.text : record.messages)
  })

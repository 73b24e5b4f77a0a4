import { collate, type TokenizedRow, type TokenizerShape } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { option, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { machineFields, onMachine } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { checkRows, modelFields, openModel } from "../model-input.ts"
import { parseCommand } from "../parse-command.ts"
import { readInput, tokenIds } from "../prompt-input.ts"
import { textTable } from "../table.ts"
import { print, printJson, textWidth } from "../terminal.ts"

const Options = Schema.Struct({
  ...modelFields,
  text: optional(Schema.String, "text to score"),
  input: optional(Schema.NonEmptyString, "JSONL file: text, messages, prompt or input_ids a row"),
  json: option(Schema.Boolean, false, "one JSON object a row: input_ids, token_logprobs (null first; nats)"),
  ...machineFields
})

const line: CommandLine<typeof Options> = {
  name: "score",
  usage: "--model DIR (--text TEXT | --input FILE) [--json]",
  summary: "log-probability of every token given the tokens before it",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Tokens computed at once; a longer row is computed alone. */
const BATCH_TOKENS = 4096

/** Prints the log-probability of every token. */
export const scoreCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { input, json, text } = options
    const records = yield* readInput({ command: "score", flag: "text", text, input })
    yield* Effect.gen(function* () {
      const { model, tokenizer } = yield* openModel(options)
      const rows = yield* Effect.forEach(records, (record) => tokenIds(tokenizer, record))
      yield* checkRows(model, records, rows, 0)
      for (const batch of batches(rows)) {
        const scores = scoreRows(model, tokenizer.padId, batch)
        for (const [i, ids] of batch.entries()) {
          const logProbs = [null, ...scores[i]!]
          if (json) yield* printJson({ input_ids: [...ids], token_logprobs: logProbs })
          else yield* print(`${scoreTable(tokenizer, ids, logProbs)}\n`)
        }
      }
    }).pipe(Effect.scoped, onMachine(options))
  })

/** Neighbouring rows of at most `BATCH_TOKENS` together, in their order. */
const batches = (rows: ReadonlyArray<Int32Array>): ReadonlyArray<ReadonlyArray<Int32Array>> => {
  const made: Array<Array<Int32Array>> = []
  let room = 0
  for (const row of rows) {
    if (row.length > room) {
      made.push([])
      room = BATCH_TOKENS
    }
    made.at(-1)!.push(row)
    room -= row.length
  }
  return made
}

/** [T−1] nats of each row: log π of every token but the first. */
const scoreRows = (
  model: CausalLM,
  padId: number,
  batch: ReadonlyArray<Int32Array>
): ReadonlyArray<ReadonlyArray<number>> => {
  const rows = batch.map((ids): TokenizedRow => ({ ids, lossMask: new Uint8Array(ids.length).fill(1, 1) }))
  const scored = collate(rows, { layout: "packed", padId })
  if (scored.scored.targets.length === 0) return batch.map(() => [])
  const values = tf.tidy(() => model.tokenLogProbs(scored).logProbs.dataSync())
  let next = 0
  return batch.map((ids) => Array.from(values.subarray(next, (next += ids.length - 1))))
}

const scoreTable = (tokenizer: TokenizerShape, ids: Int32Array, logProbs: ReadonlyArray<number | null>): string => {
  const scored = logProbs.filter((value) => value !== null)
  const sum = scored.reduce((total, value) => total + value, 0)
  const table = textTable(
    [{ title: "id", align: "right" }, { title: "log-prob", align: "right" }, { title: "token" }],
    Array.from(ids, (id, t) => [String(id), logProbs[t]?.toFixed(4) ?? "", JSON.stringify(tokenizer.decode([id]))]),
    textWidth()
  )
  const perplexity = scored.length === 0 ? "none" : Math.exp(-sum / scored.length).toPrecision(5)
  return `${table}\nsum ${sum.toFixed(4)} nats over ${scored.length} tokens, perplexity ${perplexity}`
}

import { freeLock, takeLock } from "@plumbline/training"
import { Effect, Schema, type Scope } from "effect"
import { createHash } from "node:crypto"
import { appendFileSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { print, remark } from "../terminal.ts"
import { modelFingerprint } from "./model-fingerprint.ts"
import { wholeLines } from "./whole-lines.ts"

/** The responses' file cannot be gone on with, or not be written. */
export class ResultsUnusable extends Schema.TaggedError<ResultsUnusable>()("ResultsUnusable", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.reason}`
  }
}

/** Where responses go. */
export interface Results {
  /** Their file; standard output when undefined. */
  readonly file: string | undefined
  /** Whether the responses to this prompt are there already. */
  readonly has: (row: number) => boolean
  /** Writes all responses to a prompt, a line each. */
  readonly write: (row: number, lines: ReadonlyArray<string>) => Effect.Effect<void, ResultsUnusable>
}

/** Which row a line of the file is of. @param number of the line, from 0 */
type RowOf = (line: string, number: number) => number

const byIndex: RowOf = (line) => {
  const { index } = JSON.parse(line) as { readonly index?: unknown }
  if (typeof index === "number") return index
  throw new Error("it has no index of a prompt")
}

/** Of files that have one line a row, in the order of the rows. */
export const inOrder: RowOf = (line, number) => {
  JSON.parse(line)
  return number
}

interface ResultOptions {
  /** Folder of the model that responds. */
  readonly model: string
  /** Of its adapter. */
  readonly adapter?: string | undefined
  readonly output?: string | undefined
  readonly samples: number
}

const toScreen: Results = {
  file: undefined,
  has: () => false,
  write: (_, lines) => Effect.forEach(lines, print, { discard: true })
}

/**
 * Standard output, or a file. A file that is there already is gone on with where the same model made it from the same
 * prompts with the same options; a line that was torn off in the middle, and the other samples of its prompt, are made again.
 * The file is this process's alone until the scope closes.
 */
export const openResults = (
  options: ResultOptions,
  prompts: ReadonlyArray<Int32Array>,
  rowOf = byIndex
): Effect.Effect<Results, ResultsUnusable, Scope.Scope> => {
  const { output } = options
  if (output === undefined) return Effect.succeed(toScreen)
  return Effect.andThen(lock(output), openFile({ ...options, output }, prompts, rowOf))
}

/** What is to be done still, in its order; a remark says so where that is nothing. @param rowOf number of a row, from 0 */
export const openWork = <A>(
  { file, has }: Results,
  work: ReadonlyArray<A>,
  rowOf: (one: A) => number
): Effect.Effect<ReadonlyArray<A>> => {
  const open = work.filter((one) => !has(rowOf(one)))
  const nothingLeft = work.length > 0 && open.length === 0
  const told = nothingLeft
    ? remark(`${file}: all ${work.length} rows are there already; nothing is left to do`)
    : Effect.void
  return Effect.as(told, open)
}

const openFile = (
  options: ResultOptions & { readonly output: string },
  prompts: ReadonlyArray<Int32Array>,
  rowOf: RowOf
): Effect.Effect<Results, ResultsUnusable> => {
  const { output } = options
  return attemptFile(output, () => {
    const origin = originOf(options, prompts)
    const note = `${output}.origin`
    if (!existsSync(output)) {
      writeFileSync(note, `${origin}\n`)
      writeFileSync(output, "")
    } else if (!existsSync(note) || readFileSync(note, "utf8").trim() !== origin) {
      throw new Error(
        "it was not made from these prompts by this model with these options; name another file, or remove it"
      )
    }
    const done = keepWhole(output, options.samples, rowOf)
    return {
      file: output,
      has: (row) => done.has(row),
      write: (row, lines) =>
        attemptFile(output, () => {
          appendFileSync(output, lines.map((line) => `${line}\n`).join(""))
          done.add(row)
        })
    }
  })
}

const lock = (output: string): Effect.Effect<void, ResultsUnusable, Scope.Scope> => {
  const file = `${output}.lock`
  const take = attemptFile(output, () => {
    checkPlace(output)
    const pid = takeLock(file)
    if (pid !== undefined) throw new Error(`process ${pid} is writing it; wait for it, or name another file`)
  })
  return Effect.acquireRelease(take, () => Effect.sync(() => freeLock(file)))
}

const checkPlace = (output: string): void => {
  const folder = dirname(resolve(output))
  if (!existsSync(folder)) throw new Error(`there is no folder ${folder}`)
  if (existsSync(output) && statSync(output).isDirectory()) throw new Error("it is a folder; name a file in it")
}

/** What makes a response what it is: the model, the options that matter, all prompts. */
const originOf = (options: ResultOptions, prompts: ReadonlyArray<Int32Array>): string => {
  const about = Object.entries(options).filter(([field]) => !INDIFFERENT.has(field))
  const hash = createHash("sha256").update(modelFingerprint(options.model)).update(JSON.stringify(about))
  if (options.adapter !== undefined) hash.update(modelFingerprint(options.adapter))
  for (const ids of prompts) hash.update(`${ids.length}:`).update(ids)
  return hash.digest("hex")
}

const INDIFFERENT = new Set([
  "model",
  "adapter",
  "output",
  "json",
  "input",
  "prompt",
  "maxRows",
  "cacheTokens",
  "batchTokens"
])

/** Rows whose responses are all in the file; cuts off what follows the last of them. */
const keepWhole = (file: string, samples: number, rowOf: RowOf): Set<number> => {
  const counts = new Map<number, number>()
  let [end, number] = [0, 0]
  for (const line of wholeLines(file)) {
    const index = lineRow(line.text, number++, rowOf)
    const count = (counts.get(index) ?? 0) + 1
    counts.set(index, count)
    if (count === samples) end = line.end
  }
  truncateSync(file, end)
  return new Set([...counts].filter(([, count]) => count === samples).map(([index]) => index))
}

/** @throws Error that names the line where it is none of ours, or half of one */
const lineRow = (line: string, number: number, rowOf: RowOf): number => {
  try {
    return rowOf(line, number)
  } catch (cause) {
    const reason = (cause as Error).message
    const problem = `line ${number + 1} is not whole (${reason}); mend it, or remove all lines of its prompt`
    throw new Error(problem, { cause })
  }
}

const attemptFile = <A>(file: string, body: () => A): Effect.Effect<A, ResultsUnusable> =>
  Effect.try({ try: body, catch: (cause) => new ResultsUnusable({ file, reason: (cause as Error).message }) })

import { existsSync } from "node:fs"
import { Effect } from "effect"
import { type DataError, EmptyDataset, FileMissing, isDataError, MalformedRecord, UnsupportedFile } from "../errors.ts"
import { type Line, readLines } from "./lines.ts"
import { notJson } from "./not-json.ts"
import { readParquet } from "./parquet.ts"

/** One object of a data file, not yet decoded, and where it stood. */
export interface RawRow {
  readonly file: string
  /** From 1: the line, or in Parquet files the row. */
  readonly line: number
  readonly value: Readonly<Record<string, unknown>>
}

const KINDS = ".jsonl, .ndjson, .json (one object a line, or one array of them), each also with .gz, and .parquet"

/** The rows of a data file; its name tells its kind. */
export const readRows = Effect.fn("readRows")(function* (file: string) {
  const read = readerOf(file)
  if (read === undefined) {
    return yield* new UnsupportedFile({ file, reason: `data files are read from ${KINDS}` })
  }
  if (!existsSync(file)) return yield* new FileMissing({ file })
  const rows = yield* Effect.tryPromise({ try: () => read(file), catch: (cause) => readFailure(file, cause) })
  if (rows.length === 0) return yield* new EmptyDataset({ file })
  return rows
})

type Reader = (file: string) => Promise<ReadonlyArray<RawRow>>

const readerOf = (file: string): Reader | undefined => {
  const name = file.toLowerCase()
  if (name.endsWith(".parquet")) return parquetRows
  if (/\.(jsonl|ndjson)$/.test(name)) return (path) => jsonRows(path, false)
  if (/\.(jsonl|ndjson)\.gz$/.test(name)) return (path) => jsonRows(path, true)
  if (name.endsWith(".json")) return (path) => jsonFile(path, false)
  if (name.endsWith(".json.gz")) return (path) => jsonFile(path, true)
  return undefined
}

const parquetRows: Reader = async (file) =>
  (await readParquet(file)).map((value, row) => ({ file, line: row + 1, value }))

const jsonRows = async (file: string, gzip: boolean): Promise<ReadonlyArray<RawRow>> => {
  const rows: Array<RawRow> = []
  for await (const line of readLines(file, gzip)) rows.push({ file, line: line.number, value: parseLine(file, line) })
  return rows
}

/** One object a line, or the whole file is an array of objects: rows are then numbered from 1. */
const jsonFile = async (file: string, gzip: boolean): Promise<ReadonlyArray<RawRow>> => {
  const lines: Array<Line> = []
  for await (const line of readLines(file, gzip)) lines.push(line)
  const rows = lines[0]?.text.startsWith("[") === true ? arrayOf(lines) : undefined
  if (rows === undefined) return lines.map((line) => ({ file, line: line.number, value: parseLine(file, line) }))
  return rows.map((value, row) => ({ file, line: row + 1, value: objectOf(file, row + 1, value) }))
}

const arrayOf = (lines: ReadonlyArray<Line>): ReadonlyArray<unknown> | undefined => {
  try {
    return JSON.parse(lines.map(({ text }) => text).join("\n")) as ReadonlyArray<unknown>
  } catch {
    return undefined // the line at fault is found by reading line by line
  }
}

const objectOf = (file: string, line: number, value: unknown): RawRow["value"] => {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as RawRow["value"]
  throw new MalformedRecord({ file, line, field: "", reason: "not a JSON object" })
}

const parseLine = (file: string, { number, text }: Line): RawRow["value"] => {
  const value = parseJson(file, number, text)
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as RawRow["value"]
  const reason = text.startsWith("[") ? "an array; write one object a line" : "not a JSON object"
  throw new MalformedRecord({ file, line: number, field: "", reason })
}

const parseJson = (file: string, line: number, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const bare = /"([^"\\]+)"\s*:\s*(-?Infinity|NaN)\b/.exec(text)
    if (bare !== null) {
      throw new MalformedRecord({ file, line, field: bare[1]!, reason: `${bare[2]} is not a finite number` })
    }
    throw new MalformedRecord({ file, line, field: "", reason: notJson(text, cause) })
  }
}

const readFailure = (file: string, cause: unknown): DataError => {
  if (isDataError(cause)) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new UnsupportedFile({ file, reason: `cannot be read: ${reason}` })
}

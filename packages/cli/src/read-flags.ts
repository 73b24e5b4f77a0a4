import type { Flag } from "./flags.ts"
import { suggestion } from "./suggest.ts"

/** What yargs makes of an untyped flag: its text, true where none follows, an array where it is repeated. */
export type RawFlags = Readonly<Record<string, unknown>>

export interface ReadFlags {
  /** Encoded values by field, of the flags that were given. */
  readonly values: Readonly<Record<string, unknown>>
  readonly problems: ReadonlyArray<string>
}

/** Reads the texts of flags as what their schema encodes to. Checks beyond the kind are the schema's. */
export const readFlags = (flags: ReadonlyArray<Flag>, raw: RawFlags): ReadFlags => {
  const values: Record<string, unknown> = {}
  const problems: Array<string> = []
  const byName = new Map(flags.map((flag) => [flag.name, flag]))
  for (const [name, given] of Object.entries(raw)) {
    const flag = byName.get(name)
    const outcome = flag === undefined ? { problem: unknownFlag(name, flags) } : readFlag(flag, given)
    if ("problem" in outcome) problems.push(outcome.problem)
    else values[flag!.field] = outcome.value
  }
  return { values, problems }
}

type Outcome = { readonly value: unknown } | { readonly problem: string }

const readFlag = (flag: Flag, given: unknown): Outcome => {
  const texts = [given].flat() as ReadonlyArray<string | true>
  if (texts.length > 1 && !flag.list) {
    return { problem: `--${flag.name} is given ${texts.length} times: ${texts.join(", ")}` }
  }
  if (flag.kind === "boolean" && !flag.list && texts[0] === true) return { value: true }
  if (texts.includes(true)) return { problem: `--${flag.name} needs a value: ${expected(flag)}` }
  const parts = flag.list ? texts.flatMap((text) => split(String(text))) : [String(texts[0])]
  const read = parts.map((text) => readText(flag, text))
  const wrong = read.find((outcome) => "problem" in outcome)
  if (wrong !== undefined) return wrong
  const values = read.map((outcome) => (outcome as { readonly value: unknown }).value)
  return { value: flag.list ? values : values[0] }
}

/** Values of a list, between commas; a JSON list holds any text. */
const split = (text: string): ReadonlyArray<string> => {
  const list = text.startsWith("[") ? jsonOrText(text) : text
  if (Array.isArray(list) && list.every((part) => typeof part !== "object")) return list.map(String)
  return text === "" ? [] : text.split(/, */)
}

const readText = (flag: Flag, text: string): Outcome => {
  if (flag.choices.length > 0 && !flag.choices.includes(text)) return { problem: wrongValue(flag, text) }
  if (flag.kind === "string") return { value: text }
  if (flag.kind === "json") return { value: jsonOrText(text) }
  if (flag.kind === "number") {
    const value = Number(text)
    return text.trim() === "" || Number.isNaN(value) ? { problem: wrongValue(flag, text) } : { value }
  }
  return text === "true" || text === "false" ? { value: text === "true" } : { problem: wrongValue(flag, text) }
}

const jsonOrText = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const KINDS: Readonly<Record<Flag["kind"], string>> = {
  string: "a text",
  number: "a number",
  boolean: "true or false",
  json: "JSON"
}

/** What may follow a flag, in words. */
export const expected = ({ choices, kind, list }: Flag): string => {
  if (choices.length === 0)
    return list ? `${KINDS[kind]}, or several separated by commas or as a JSON list` : KINDS[kind]
  return `${list ? "one or several of" : "one of"} ${choices.join(", ")}`
}

const wrongValue = (flag: Flag, text: string): string =>
  `--${flag.name}: expected ${expected(flag)}; got "${text}"${suggestion(text, flag.choices)}`

const unknownFlag = (name: string, flags: ReadonlyArray<Flag>): string => {
  const dashes = name.length === 1 ? "-" : "--"
  const switched = name.startsWith("no-") ? flags.find((flag) => flag.name === name.slice(3)) : undefined
  if (switched?.kind === "boolean") return `unknown option --${name}; write --${switched.name} false`
  const names = [...flags.map((flag) => flag.name), "help"]
  return `unknown option ${dashes}${name}${suggestion(name, names, "--")}`
}

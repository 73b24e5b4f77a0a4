import { Effect, Result, Schema, SchemaIssue } from "effect"
import type { CommandLine, ParsedCommand } from "./command-line.ts"
import type { Flag, OptionSchema } from "./flags.ts"
import { commandFlags, CONFIG_FLAG, helpOf, splitArguments } from "./help.ts"
import { loadConfig } from "./load-config.ts"
import { expected, readFlags } from "./read-flags.ts"
import { bindValues } from "./tokens.ts"
import { TextRequested, UsageError } from "./usage-error.ts"

type Values = Readonly<Record<string, unknown>>

/** Reads the arguments of a command: flags over the configuration file over the defaults of the schema. */
export const parseCommand = Effect.fn("parseCommand")(function* <Options extends OptionSchema>(
  line: CommandLine<Options>,
  argv: ReadonlyArray<string>
) {
  const help = `plumb ${line.name} --help lists the options`
  const flags = commandFlags(line)
  const words = bindValues(argv, flags, line.arguments.length > 0)
  const { _: rest, help: helpWanted, ...raw } = splitArguments(words)
  if (helpWanted === true) return yield* new TextRequested({ text: yield* Effect.promise(() => helpOf(line)) })
  const args = rest.map(String)
  const read = readFlags(flags, raw)
  const problems = [...read.problems, ...argumentProblems(line, args)]
  if (problems.length > 0) return yield* new UsageError({ problems, help })
  const { config, ...given } = read.values
  const fields = flags.filter((flag) => flag !== CONFIG_FLAG)
  const fromFile =
    config === undefined
      ? {}
      : yield* loadConfig(
          String(config),
          fields.map(({ field }) => field)
        )
  const decoded = decodeOptions(line.options, fields, given, fromFile, String(config))
  if (Result.isFailure(decoded)) return yield* new UsageError({ problems: decoded.failure, help })
  return { ...decoded.success, arguments: args } as ParsedCommand<Options>
})

const argumentProblems = (line: CommandLine<OptionSchema>, args: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...line.arguments.slice(args.length).map(({ description, name }) => `${name} is missing: ${description}`),
  ...args.slice(line.arguments.length).map((text) => `unexpected argument "${text}"`)
]

/** Decodes `given` over `fromFile`; @returns one problem for each wrong value, with where it came from. */
export const decodeOptions = <Options extends OptionSchema>(
  schema: Options,
  flags: ReadonlyArray<Flag>,
  given: Values,
  fromFile: Values = {},
  file = ""
): Result.Result<Pick<ParsedCommand<Options>, "options" | "encoded">, ReadonlyArray<string>> => {
  const values: Values = { ...fromFile, ...given }
  const codec = schema as unknown as Schema.Codec<Options["Type"], Values>
  const decoded = Schema.decodeUnknownResult(codec)(values, { errors: "all", onExcessProperty: "error" })
  if (Result.isSuccess(decoded)) {
    return Result.succeed({ options: decoded.success, encoded: Schema.encodeSync(codec)(decoded.success) })
  }
  const { issues } = SchemaIssue.makeFormatterStandardSchemaV1()(decoded.failure.issue)
  const problems = issues.map(({ message, path = [] }) => {
    const field = String(path[0] ?? "")
    const flag = flags.find((candidate) => candidate.field === field)
    if (flag === undefined) return `${field}: ${message}`
    if (!(field in values)) return `--${flag.name} is missing${flag.description === "" ? "" : `: ${flag.description}`}`
    const place = field in given ? `--${flag.name}` : `${file}: ${field}`
    return `${place}: ${inside(path)}${allowed(flag, message)}; got ${written(values[field])}`
  })
  return Result.fail([...new Set(problems)])
}

/** The key of an object that is wrong, where one is. */
const inside = ([, key]: ReadonlyArray<unknown>): string => (typeof key === "string" ? `key "${key}": ` : "")

/** The schema's words, or the choices where there are any. */
const allowed = (flag: Flag, message: string): string => {
  if (flag.choices.length > 0) return `expected ${expected(flag)}`
  if (message.includes("no excess property")) return "expected no such key"
  if (message === "Expected object") return "expected a JSON object"
  return message.charAt(0).toLowerCase() + message.slice(1)
}

const written = (value: unknown): string =>
  Array.isArray(value)
    ? value.map(written).join(",")
    : typeof value === "number"
      ? String(value)
      : JSON.stringify(value, (_, part) => (part === Infinity || part === -Infinity ? String(part) : part))

import { Effect, Schema } from "effect"
import { readFile } from "node:fs/promises"
import { suggestion } from "./suggest.ts"
import { UsageError } from "./usage-error.ts"

/** A configuration file cannot be read, or holds no options. */
export class ConfigFileInvalid extends Schema.TaggedError<ConfigFileInvalid>()("ConfigFileInvalid", {
  file: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override get message() {
    return this.problems.map((problem) => `${this.file}: ${problem}`).join("\n")
  }
}

/** Options by key (camelCase, as in the schema) from a JSON or YAML file. Keys that the command does not have are bad usage. */
export const loadConfig = Effect.fn("loadConfig")(function* (file: string, keys: ReadonlyArray<string>) {
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) => new ConfigFileInvalid({ file, problems: [readFailure(cause as NodeJS.ErrnoException)] })
  })
  const value = yield* parse(file, text)
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return yield* new ConfigFileInvalid({
      file,
      problems: ["holds no keys; write one option a line, as in learningRate: 1e-5"]
    })
  }
  const unknown = Object.keys(value).filter((key) => !keys.includes(key))
  if (unknown.length > 0) {
    const problems = unknown.map((key) => `${file}: unknown key "${key}"${suggestion(key, keys)}`)
    return yield* new UsageError({ problems, help: "keys are the options in camelCase; --help lists the options" })
  }
  return value as Readonly<Record<string, unknown>>
})

const parse = (file: string, text: string): Effect.Effect<unknown, ConfigFileInvalid> =>
  Effect.tryPromise({
    try: async () => {
      if (file.endsWith(".json")) return JSON.parse(text.replace(/^\uFEFF/, "")) as unknown
      const { Yaml } = await import("effect/encoding")
      return Yaml.parse(text) as unknown
    },
    catch: (cause) =>
      new ConfigFileInvalid({
        file,
        problems: [`cannot be parsed: ${cause instanceof Error ? cause.message : String(cause)}`]
      })
  })

const readFailure = ({ code, message }: NodeJS.ErrnoException): string =>
  code === "ENOENT" ? "no such file" : `cannot be read: ${message}`

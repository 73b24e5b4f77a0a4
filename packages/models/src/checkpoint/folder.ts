import { Effect, Schema } from "effect"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { GenerationConfigSchema } from "../config/config-schema.ts"
import { decodeConfig } from "../config/decode-config.ts"
import { decodeFields } from "../config/decode-fields.ts"
import type { DecoderConfig, JsonObject } from "../config/decoder-config.ts"
import { ConfigInvalid, type ConfigError, ModelNotFound } from "../errors.ts"
import { builtInFamilies } from "../families/families.ts"
import type { Family } from "../families/family.ts"

/** The config of a model folder; touches no weights. */
export const readConfig = Effect.fn("readConfig")(function* (
  folder: string,
  families: ReadonlyArray<Family> = builtInFamilies
): Effect.fn.Return<DecoderConfig, ConfigError> {
  const json = yield* readJson(folder, "config.json")
  if (json === undefined) {
    return yield* new ModelNotFound({ folder, reason: yield* whyNone(folder) })
  }
  return yield* decodeConfig(folder, json, families)
})

const whyNone = (folder: string): Effect.Effect<string> =>
  Effect.sync(() => {
    if (!existsSync(folder)) return "no such folder"
    return existsSync(join(folder, "adapter_config.json"))
      ? "it holds an adapter; name its base model instead, and this folder with --adapter"
      : "it has no config.json"
  })

/** generation_config.json, or undefined where there is none. */
export const readGenerationConfig = Effect.fnUntraced(function* (
  folder: string
): Effect.fn.Return<JsonObject | undefined, ModelNotFound | ConfigInvalid> {
  const name = "generation_config.json"
  const json = yield* readJson(folder, name)
  if (json !== undefined) yield* decodeFields(join(folder, name), "", GenerationConfigSchema, json)
  return json
})

const decodeObject = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

/** A JSON object of the folder, or undefined where the file does not exist. */
export const readJson = Effect.fnUntraced(function* (
  folder: string,
  name: string
): Effect.fn.Return<JsonObject | undefined, ModelNotFound | ConfigInvalid> {
  const text = yield* Effect.tryPromise({
    try: () => readFile(join(folder, name), "utf8").catch(ignoreAbsent),
    catch: (cause) => new ModelNotFound({ folder, reason: `${name} cannot be read: ${(cause as Error).message}` })
  })
  if (text === undefined) return undefined
  return yield* decodeObject(text).pipe(
    Effect.mapError(() => new ConfigInvalid({ file: join(folder, name), field: "", reason: "is not a JSON object" }))
  )
})

const ignoreAbsent = (cause: NodeJS.ErrnoException): undefined => {
  if (cause.code !== "ENOENT" && cause.code !== "ENOTDIR") throw cause
  return undefined
}

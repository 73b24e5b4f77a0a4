import type { DecoderConfig, Model } from "@plumbline/models"
import { Effect, Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { AdapterUnfit } from "../errors.ts"

/** Where an adapter's configuration tells what it was trained on. */
const Base = Schema.Struct({
  base_model_name_or_path: Schema.optionalKey(Schema.NullOr(Schema.String)),
  auto_mapping: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ base_model_class: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
  )
})

/**
 * Fails where the adapter says that it was trained on a model of another architecture: by the class it names, or by
 * the base folder it names, where that is found. Shapes alone may fit by chance.
 */
export const checkBase = Effect.fnUntraced(function* (
  { config }: Model,
  folder: string,
  fields: unknown
): Effect.fn.Return<void, AdapterUnfit> {
  const named = Schema.decodeUnknownOption(Base)(fields)
  if (named._tag === "None") return
  const { auto_mapping, base_model_name_or_path: base } = named.value
  const trained = bodyOf(auto_mapping?.base_model_class ?? undefined) ?? architectureAt(base ?? undefined, folder)
  const own = bodyOf(architectureOf(config))
  if (trained === undefined || trained === own) return
  const reason = `is no adapter of this model: it was trained on a ${trained} model, and this is a ${own}`
  return yield* new AdapterUnfit({ adapter: folder, reason })
})

export const architectureOf = ({ family, source }: DecoderConfig): string =>
  String([source["architectures"]].flat()[0] ?? family.architecture)

/** transformers' class without its head: an adapter of a language model may go on in a classifier. */
const bodyOf = (architecture: string | undefined): string | undefined => architecture?.replace(/For[A-Z]\w*$/, "")

/** The folder of the model that an adapter's configuration names, relative to here or to a folder above the adapter. */
export const baseFolderOf = (fields: unknown, folder: string): string | undefined => {
  const named = Schema.decodeUnknownOption(Base)(fields)
  return named._tag === "None" ? undefined : folderOf(named.value.base_model_name_or_path ?? undefined, folder)
}

const folderOf = (name: string | undefined, folder: string): string | undefined =>
  name === undefined
    ? undefined
    : [name, ...above(resolve(folder)).map((parent) => join(parent, name))].find((candidate) =>
        existsSync(join(candidate, "config.json"))
      )

/** The class of that model. */
const architectureAt = (name: string | undefined, folder: string): string | undefined => {
  const found = folderOf(name, folder)
  if (found === undefined) return undefined
  try {
    const text = readFileSync(join(found, "config.json"), "utf8")
    const { architectures } = JSON.parse(text) as { architectures?: ReadonlyArray<string> }
    return bodyOf(architectures?.[0])
  } catch {
    // what is wrong with another model is none of this one's business
    return undefined
  }
}

const above = (folder: string): ReadonlyArray<string> => {
  const parent = dirname(folder)
  return parent === folder ? [] : [parent, ...above(parent)]
}

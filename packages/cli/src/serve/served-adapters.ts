import { AdapterInvalid } from "@plumbline/peft"
import { OptionsInvalid } from "@plumbline/training"
import { Effect } from "effect"
import { existsSync } from "node:fs"

/** What `--adapter` asks for: the model is served with one adapter, or beside it several of other names. */
export interface ServedAdapters {
  /** Folder of the adapter that the model itself is served with. */
  readonly own: string | undefined
  /** Folders by the name that requests select them with. */
  readonly named: ReadonlyMap<string, string>
}

/** Reads `DIR`, or `name=DIR` once or more often. */
export const servedAdapters = Effect.fnUntraced(function* (
  given: ReadonlyArray<string>,
  model: string
): Effect.fn.Return<ServedAdapters, OptionsInvalid | AdapterInvalid> {
  const parts = given.map((text) => ({ text, ...split(text) }))
  const unnamed = parts.filter(({ name }) => name === undefined)
  if (unnamed.length > 0 && parts.length > 1) {
    return yield* refused(`${unnamed[0]!.text} has no name: with several adapters each is name=DIR`)
  }
  const named = new Map<string, string>()
  for (const { folder, name } of parts) {
    if (name !== undefined && name === model) return yield* refused(`${name} is the name of the model itself`)
    if (name !== undefined && named.has(name)) return yield* refused(`there are two adapters named ${name}`)
    if (!existsSync(folder)) return yield* new AdapterInvalid({ file: folder, reason: "there is no such folder" })
    if (name !== undefined) named.set(name, folder)
  }
  return { own: unnamed[0]?.folder, named }
})

/** A name has no slash, so a path with an equals sign in it is no name. */
const split = (text: string): { readonly name: string | undefined; readonly folder: string } => {
  const [, name, folder] = /^([^/\\=]+)=(.+)$/.exec(text) ?? []
  return name === undefined ? { name, folder: text } : { name, folder: folder! }
}

const refused = (reason: string) => Effect.fail(new OptionsInvalid({ option: "--adapter", reason }))

import type { JsonObject, Model } from "@plumbline/models"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { WEIGHTS_FILE } from "../adapt.ts"
import { AdapterInvalid, AdapterUnfit } from "../errors.ts"

/** Field of config.json that lists the sha256 of adapters whose weights are merged into the model's. */
const FIELD = "merged_adapters"

const digestOf = (folder: string): Effect.Effect<string, AdapterInvalid> => {
  const file = join(folder, WEIGHTS_FILE)
  return Effect.tryPromise({
    try: async () => {
      const hash = createHash("sha256")
      await pipeline(createReadStream(file), hash)
      return hash.digest("hex")
    },
    catch: (cause) => new AdapterInvalid({ file, reason: (cause as Error).message })
  })
}

const digestsIn = ({ config }: Model): ReadonlyArray<string> => {
  const listed = config.source[FIELD]
  return Array.isArray(listed) ? listed.filter((digest) => typeof digest === "string") : []
}

/** What config.json is to say of a model once the adapter of a folder is merged into it. */
export const mergedFields = (base: Model, folder: string): Effect.Effect<JsonObject, AdapterInvalid> =>
  Effect.map(digestOf(folder), (digest) => ({ [FIELD]: [...digestsIn(base), digest] }))

/** Fails where the adapter of a folder is part of the base's weights already. */
export const refuseMerged = Effect.fnUntraced(function* (
  base: Model,
  folder: string
): Effect.fn.Return<void, AdapterInvalid | AdapterUnfit> {
  const digests = digestsIn(base)
  if (digests.length === 0 || !digests.includes(yield* digestOf(folder))) return
  return yield* new AdapterUnfit({ adapter: folder, reason: "it is merged into this model already" })
})

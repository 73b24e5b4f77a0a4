import { Effect } from "effect"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { resolve } from "node:path"
import { pipeline } from "node:stream/promises"
import { InputUnreadable } from "./errors.ts"

/** sha256 of each file, by absolute path. */
export const fileDigests = (files: ReadonlyArray<string>): Effect.Effect<Record<string, string>, InputUnreadable> =>
  Effect.map(
    Effect.forEach(files, (file) =>
      Effect.tryPromise({
        try: async () => {
          const hash = createHash("sha256")
          await pipeline(createReadStream(file), hash)
          return [resolve(file), hash.digest("hex")] as const
        },
        catch: (cause) =>
          new InputUnreadable({ path: file, reason: cause instanceof Error ? cause.message : String(cause) })
      })
    ),
    (entries) => Object.fromEntries(entries)
  )

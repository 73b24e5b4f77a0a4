import { RunStore } from "@plumbline/store"
import { Effect, Layer, Schema } from "effect"
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { realPath } from "./recorded-runs.ts"
import { STORE_FILE } from "./store-file.ts"

/** There is no store where one was looked for. */
export class StoreNotFound extends Schema.TaggedError<StoreNotFound>()("StoreNotFound", {
  looked: Schema.Array(Schema.String)
}) {
  override get message() {
    return `no run store: there is no ${this.looked.join(" and no ")}; name one with --store FILE`
  }
}

/** The store of the first candidate that exists. */
export const existingStore = (candidates: ReadonlyArray<string>) =>
  Layer.unwrap(
    Effect.suspend(() => {
      const found = candidates.find((file) => existsSync(file))
      return found === undefined
        ? Effect.fail(new StoreNotFound({ looked: candidates }))
        : Effect.succeed(RunStore.layerSqlite(found))
    })
  )

/** Where runs of the working directory are recorded. */
export const DEFAULT_STORES: ReadonlyArray<string> = [join("runs", STORE_FILE), STORE_FILE]

/** Stores that may know a run: beside its folder, beside the folder of the recipe it is a stage of, the default ones. */
export const storesOf = (run: string): ReadonlyArray<string> => {
  if (!existsSync(run)) return DEFAULT_STORES
  const parents = [...new Set([dirname(realPath(run)), dirname(resolve(run))])]
  const beside = parents.flatMap((parent) => [join(parent, STORE_FILE), join(dirname(parent), STORE_FILE)])
  return [...beside, ...DEFAULT_STORES]
}

import { Effect } from "effect"
import { createHash, type Hash } from "node:crypto"
import { causalParameters } from "../decoder/parameter-table.ts"
import type { LoadError } from "../errors.ts"
import type { Model } from "../model.ts"
import { readConfig } from "./folder.ts"
import { readParameters } from "./read-parameters.ts"

/**
 * SHA-256 of a model's weights, hexadecimal: names, shapes and float32 values in the model's order. A folder and the
 * model loaded from it have the same one, whatever type the folder stores.
 */
export const weightsDigest = Effect.fn("weightsDigest")(function* (
  source: Model | string
): Effect.fn.Return<string, LoadError> {
  const hash = createHash("sha256")
  if (typeof source === "string") {
    const config = yield* readConfig(source)
    yield* readParameters(source, config, causalParameters(config), ({ name, shape }, values) =>
      update(hash, name, shape, values)
    )
  } else {
    for (const [name, tensor] of source.parameters) {
      update(hash, name, tensor.shape, (yield* Effect.promise(() => tensor.data())) as Float32Array)
    }
  }
  return hash.digest("hex")
})

const update = (hash: Hash, name: string, shape: ReadonlyArray<number>, values: Float32Array): void => {
  hash.update(`${name} ${shape.join("x")}\n`)
  hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
}

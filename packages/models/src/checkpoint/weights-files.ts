import { Effect, Schema, type Scope } from "effect"
import { access, readdir } from "node:fs/promises"
import { basename, join } from "node:path"
import { CheckpointInvalid, type ConfigInvalid, type ModelNotFound } from "../errors.ts"
import { openSafetensors, type SafetensorsFile, type TensorPart } from "../safetensors/reader.ts"
import { readJson } from "./folder.ts"

export const WEIGHTS_FILE = "model.safetensors"
export const INDEX_FILE = "model.safetensors.index.json"

/** Where a tensor lies: an open file, and its name there; or the part of that tensor that it is. */
export interface TensorPlace {
  readonly file: SafetensorsFile
  readonly tensor: string
  readonly part?: TensorPart & { readonly shape: ReadonlyArray<number> }
}

export const shapeOf = ({ file, part, tensor }: TensorPlace): ReadonlyArray<number> =>
  part?.shape ?? file.tensors.get(tensor)!.shape

/** The tensors of a model folder by name. */
export type TensorPlaces = ReadonlyMap<string, TensorPlace>

/** Opens the folder's weights, one file or shards with an index, for as long as the scope lasts. */
export const openWeights = Effect.fn("openWeights")(function* (
  folder: string
): Effect.fn.Return<TensorPlaces, CheckpointInvalid | ConfigInvalid | ModelNotFound, Scope.Scope> {
  const single = join(folder, WEIGHTS_FILE)
  if (yield* exists(single)) {
    const file = yield* openSafetensors(single)
    return new Map([...file.tensors.keys()].map((tensor) => [tensor, { file, tensor }]))
  }
  const index = yield* readJson(folder, INDEX_FILE)
  if (index === undefined) return yield* new CheckpointInvalid({ file: single, reason: yield* absence(folder) })
  return yield* openShards(folder, index)
})

const decodeIndex = Schema.decodeUnknownEffect(
  Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) })
)

const openShards = Effect.fnUntraced(function* (folder: string, index: unknown) {
  const file = join(folder, INDEX_FILE)
  const { weight_map: listed } = yield* decodeIndex(index).pipe(
    Effect.mapError(() => new CheckpointInvalid({ file, reason: "has no weight_map from tensor to file name" }))
  )
  const names = [...new Set(Object.values(listed))]
  const outside = names.find((name) => name !== basename(name))
  if (outside !== undefined)
    return yield* new CheckpointInvalid({ file, reason: `names ${outside}, not a file beside it` })
  const shards = new Map<string, SafetensorsFile>()
  for (const name of names) {
    if (!(yield* exists(join(folder, name)))) {
      return yield* new CheckpointInvalid({ file, reason: `names ${name}, which is not there` })
    }
    shards.set(name, yield* openSafetensors(join(folder, name)))
  }
  const found = new Map<string, TensorPlace>()
  for (const shard of shards.values()) {
    for (const tensor of shard.tensors.keys()) found.set(tensor, { file: shard, tensor })
  }
  for (const [tensor, name] of Object.entries(listed)) {
    const shard = shards.get(name)!
    if (!shard.tensors.has(tensor)) {
      return yield* new CheckpointInvalid({ file, tensor, reason: `is listed in ${name}, which does not hold it` })
    }
    found.set(tensor, { file: shard, tensor })
  }
  return found
})

const exists = (path: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    access(path)
      .then(() => true)
      .catch(() => false)
  )

/** Why there are no weights, for somebody who may hold them in another format. */
const absence = (folder: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    const names = await readdir(folder).catch(() => [])
    const pickled = names.filter((name) => /\.(bin|pt|pth|gguf)$/.test(name))
    const others = pickled.length === 0 ? "" : `; ${pickled.join(", ")} cannot be read, convert to safetensors`
    return `no such file, and no ${INDEX_FILE} either${others}`
  })

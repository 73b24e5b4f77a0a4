import { Effect } from "effect"
import { readFile, stat } from "node:fs/promises"
import { openWeights, type TensorPlaces } from "../checkpoint/weights-files.ts"
import { type CheckpointInvalid, type ConfigInvalid, HeadInvalid, type ModelNotFound } from "../errors.ts"
import { openSafetensors } from "../safetensors/reader.ts"
import { HEAD_WEIGHT } from "./head.ts"

type ReadError = CheckpointInvalid | ConfigInvalid | HeadInvalid | ModelNotFound

/**
 * Weights of a head, [count, width] row-major: of a model folder or a .safetensors file, which call them score.weight or
 * hold nothing else; or of a JSON file, an array of rows or of numbers, alone or under "score.weight" or "head_weight".
 */
export const readHead = Effect.fn("readHead")(function* (
  path: string,
  count: number,
  width: number
): Effect.fn.Return<Float32Array, ReadError> {
  const isFolder = yield* Effect.promise(() =>
    stat(path)
      .then((found) => found.isDirectory())
      .catch(() => false)
  )
  const values = yield* isFolder || path.endsWith(".safetensors") ? storedHead(path, isFolder) : jsonHead(path)
  if (values.length !== count * width) {
    const reason = `holds ${values.length} numbers, and a head of ${count} on ${width} features has ${count * width}`
    return yield* new HeadInvalid({ file: path, reason })
  }
  const broken = values.find((value) => !Number.isFinite(value))
  if (broken !== undefined) return yield* new HeadInvalid({ file: path, reason: `holds ${broken}` })
  return values
})

const storedHead = (path: string, isFolder: boolean): Effect.Effect<Float32Array, ReadError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const stored: TensorPlaces = isFolder ? yield* openWeights(path) : yield* openedFile(path)
      const found = stored.get(HEAD_WEIGHT) ?? (stored.size === 1 ? [...stored.values()][0] : undefined)
      if (found === undefined) return yield* new HeadInvalid({ file: path, reason: `has no ${HEAD_WEIGHT}` })
      return yield* found.file.read(found.tensor)
    })
  )

const openedFile = (path: string) =>
  Effect.map(
    openSafetensors(path),
    (file) => new Map([...file.tensors.keys()].map((tensor) => [tensor, { file, tensor }]))
  )

const jsonHead = Effect.fnUntraced(function* (file: string) {
  const json = yield* Effect.tryPromise({
    try: async (): Promise<unknown> => JSON.parse(await readFile(file, "utf8")),
    catch: (cause) => new HeadInvalid({ file, reason: `cannot be read: ${(cause as Error).message}` })
  })
  const held = json as Readonly<Record<string, unknown>> | null
  const values = Array.isArray(json) ? json : (held?.[HEAD_WEIGHT] ?? held?.["head_weight"])
  const numbers: ReadonlyArray<unknown> = Array.isArray(values) ? values.flat() : []
  if (numbers.length === 0 || numbers.some((value) => typeof value !== "number")) {
    const reason = `holds no array of numbers, alone or under "${HEAD_WEIGHT}" or "head_weight"`
    return yield* new HeadInvalid({ file, reason })
  }
  return Float32Array.from(numbers as ReadonlyArray<number>)
})

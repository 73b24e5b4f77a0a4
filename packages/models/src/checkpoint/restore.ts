import { tf, type Tensor, type Variable, writeValues } from "@plumbline/runtime"
import { Effect, type Scope } from "effect"
import { join } from "node:path"
import { CheckpointInvalid, type LoadError, type SaveFailed, TensorMissing, TensorShapeMismatch } from "../errors.ts"
import type { FolderContents, Model } from "../model.ts"
import { openSafetensors } from "../safetensors/reader.ts"
import type { TensorValues } from "../safetensors/stored-tensor.ts"
import { writeSafetensors } from "../safetensors/writer.ts"
import { readParameters } from "./read-parameters.ts"
import { saving } from "./saving.ts"

/** Sets a trainable model's weights to those of a folder of the same architecture, one tensor at a time. */
export const restoreWeights = Effect.fn("restoreWeights")(function* (
  model: Model,
  folder: string
): Effect.fn.Return<void, LoadError> {
  if (model.contents !== undefined) return yield* restoreContents(model.contents, folder)
  const specs = [...model.parameters].map(([name, { shape }]) => ({ name, shape }))
  const { shards } = model
  yield* readParameters(folder, model.config, specs, ({ name }, values) => {
    const parameter = model.parameters.get(name) as Variable
    if (shards?.partOf(parameter) === undefined) writeValues(parameter, values)
    else shards.write(parameter, values)
  })
})

/** Sets what of `contents` is trained; the rest is what it was. */
const restoreContents = Effect.fnUntraced(function* ({ tensors, weightsFile }: FolderContents, folder: string) {
  yield* Effect.scoped(
    Effect.gen(function* () {
      const file = yield* openSafetensors(join(folder, weightsFile))
      for (const [name, { restore, shape }] of tensors) {
        if (restore === undefined) continue
        const found = file.tensors.get(name)?.shape
        if (found === undefined)
          return yield* new TensorMissing({ folder, tensor: name, expected: shape, unexpected: [] })
        if (found.join() !== shape.join())
          return yield* new TensorShapeMismatch({ folder, tensor: name, expected: shape, found })
        restore(yield* file.read(name))
      }
    })
  )
})

/** Every tensor of a safetensors file as float32; the caller disposes. */
export const readTensors = Effect.fn("readTensors")(function* (
  file: string
): Effect.fn.Return<ReadonlyMap<string, Tensor>, CheckpointInvalid> {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const opened = yield* openSafetensors(file)
      const tensors = new Map<string, Tensor>()
      for (const [name, { shape }] of opened.tensors) {
        tensors.set(name, tf.tensor(yield* opened.read(name), [...shape]))
      }
      return tensors
    })
  )
})

/** Reads one tensor of a file after the other. */
export type TensorReading = (
  name: string,
  shape: ReadonlyArray<number>
) => Effect.Effect<Float32Array, CheckpointInvalid>

/** A safetensors file, open as long as the scope, of which one tensor at a time is asked for, by name and the shape that it should have. */
export const openTensors = Effect.fn("openTensors")(function* (
  file: string
): Effect.fn.Return<TensorReading, CheckpointInvalid, Scope.Scope> {
  const { read, tensors } = yield* openSafetensors(file)
  return (name, shape) => {
    const found = tensors.get(name)?.shape
    if (found?.join() === shape.join()) return read(name)
    const reason = found === undefined ? "is missing" : `has shape [${found.join(", ")}], not [${shape.join(", ")}]`
    return Effect.fail(new CheckpointInvalid({ file, tensor: name, reason }))
  }
})

/** Writes tensors as float32 into a new safetensors file, asking each for its values in turn, and waits until they are on the disk. */
export const writeTensors = (
  file: string,
  tensors: ReadonlyMap<string, TensorValues>
): Effect.Effect<void, SaveFailed> => {
  const written = [...tensors].map(([name, { shape, values }]) => ({ name, shape, values }))
  return saving(file, () => writeSafetensors(file, written, "float32"))
}

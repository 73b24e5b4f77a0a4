import type { Tensor, Variable } from "@plumbline/runtime"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import type { Model } from "./model.ts"

/** What of a model can be set, by name: all of a trainable one, of an adapted one what the adapter trains. */
export const ownVariables = (model: Model): ReadonlyMap<string, Variable> => {
  const variables = new Set<Tensor>(model.variables)
  return new Map(
    [...model.parameters].flatMap(([name, tensor]) =>
      variables.has(tensor) ? [[name, tensor as Variable] as const] : []
    )
  )
}

/** Shapes of tensors by name. */
export type TensorShapes = ReadonlyMap<string, ReadonlyArray<number>>

export const shapesOf = (tensors: ReadonlyMap<string, Tensor>): TensorShapes =>
  new Map([...tensors].map(([name, { shape }]) => [name, shape]))

/** Why tensors of these shapes are not all of a model's own; undefined where they are. */
export const unlikeness = (own: TensorShapes, found: TensorShapes): string | undefined => {
  for (const [name, shape] of found) {
    const reason = misfit(own, name, shape)
    if (reason !== undefined) return reason
  }
  const missing = [...own.keys()].find((name) => !found.has(name))
  return missing === undefined ? undefined : `tensor ${missing} is missing`
}

/** Why a model has no place for a tensor; undefined where it has. */
export const misfit = (own: TensorShapes, name: string, shape: ReadonlyArray<number>): string | undefined => {
  const wanted = own.get(name)
  if (wanted === undefined) return `there is no place for tensor ${name}`
  if (wanted.join() === shape.join()) return undefined
  return `tensor ${name} has shape [${shape.join(", ")}], and it would have [${wanted.join(", ")}]`
}

/** SHA-256, hexadecimal, of what a model's folder holds and nothing trains, such as VeRA's projections. */
export const fixedDigest = Effect.fn("fixedDigest")(function* ({ contents }: Model) {
  const hash = createHash("sha256")
  for (const [name, { frozen }] of contents?.tensors ?? []) {
    for (const tensor of frozen) {
      const values = (yield* Effect.promise(() => tensor.data())) as Float32Array
      hash.update(`${name} ${tensor.shape.join("x")}\n`)
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    }
  }
  return hash.digest("hex")
})

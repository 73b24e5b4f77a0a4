import { areFinite, type CheckpointInvalid, type Model, readTensors } from "@plumbline/models"
import { type Tensor, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { type Adapted, adapt, type AdaptOptions, WEIGHTS_FILE } from "../adapt.ts"
import { adapterTensors, makeAdapter, type PlacedTensor } from "../adapter.ts"
import { AdapterInvalid, AdapterUnfit } from "../errors.ts"
import { readMethod } from "./adapter-config.ts"
import { checkBase } from "./check-base.ts"
import { splitExperts } from "./fused-experts.ts"
import { writtenTargets } from "./fused-targets.ts"
import { refuseMerged } from "./merged-adapters.ts"
import { asStored, withoutCopies } from "./stored-parts.ts"

export interface LoadAdapterOptions extends AdaptOptions {
  readonly trainable: boolean
}

/** What reading an adapter and putting it on a model can fail with. */
export type AdapterError = AdapterInvalid | AdapterUnfit | CheckpointInvalid

/** Runs what throws AdapterUnfit. */
export const fitting = <A>(body: () => A): Effect.Effect<A, AdapterUnfit> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (cause) {
      return cause instanceof AdapterUnfit ? Effect.fail(cause) : Effect.die(cause)
    }
  })

/** The base with the adapter of a folder in PEFT's layout. The caller disposes of the model, and of the base. */
export const loadAdapter = Effect.fn("loadAdapter")(function* <M extends Model>(
  base: M,
  folder: string,
  options: LoadAdapterOptions
): Effect.fn.Return<Adapted<M>, AdapterError> {
  const { name = base.name, trainable } = options
  const { fields, method } = yield* readMethod(folder, base.config)
  yield* checkBase(base, folder, fields)
  const file = join(folder, WEIGHTS_FILE)
  if (!existsSync(file)) return yield* new AdapterInvalid({ file, reason: "there is no such file; it may be pickled" })
  yield* refuseMerged(base, folder)
  const split = splitExperts(yield* readTensors(file), base.config)
  const own = asStored(method, base, split)
  const stored = withoutCopies(own, base, split)
  const unfit = (reason: string) => {
    tf.dispose([...stored.values()])
    return new AdapterUnfit({ adapter: folder, reason })
  }
  const placed = yield* Effect.mapError(
    fitting(() => adapterTensors(own, base)),
    ({ message }) => unfit(message)
  )
  const problem = mismatch(placed, stored)
  if (problem !== undefined) return yield* unfit(`is no adapter of this model: ${problem}`)
  const value = (tensor: PlacedTensor) => stored.get(tensor.name)!
  const adapter = makeAdapter({ method: own, model: base, name, trainable, value })
  const configFields = { ...writtenTargets(fields, base.config), ...options.configFields }
  return adapt(base, adapter, { ...options, configFields })
})

/** Why the tensors of a file are not those that the model needs. Not every kernel hands a NaN on. */
const mismatch = (placed: ReadonlyArray<PlacedTensor>, stored: ReadonlyMap<string, Tensor>): string | undefined => {
  const broken = [...stored].find(([, tensor]) => !areFinite(tensor.dataSync() as Float32Array))
  if (broken !== undefined) return `tensor ${broken[0]} holds what is no finite number`
  for (const { name, shape } of placed) {
    const found = stored.get(name)
    if (found === undefined) return `tensor ${name} is missing`
    if (found.shape.join() !== shape.join()) {
      return `tensor ${name} has shape [${found.shape.join(", ")}], and it would have [${shape.join(", ")}]`
    }
  }
  const wanted = new Set(placed.map(({ name }) => name))
  const surplus = [...stored.keys()].find((name) => !wanted.has(name))
  return surplus === undefined ? undefined : `it has no place for tensor ${surplus}`
}

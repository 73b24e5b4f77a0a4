import { Effect } from "effect"
import type { DecoderConfig } from "../config/decoder-config.ts"
import type { MixtureSize } from "../decoder/mixture.ts"
import { TensorShapeMismatch } from "../errors.ts"
import type { Mixtures } from "../families/family.ts"
import { shapeOf, type TensorPlace, type TensorPlaces } from "./weights-files.ts"

/**
 * Gives each expert its own tensors where a checkpoint has those of a layer in one, as transformers 5 holds them in memory
 * and can save them: `experts.gate_up_proj` [E, 2·F, D], an expert's gate before the rest, and `experts.down_proj` [E, D, F].
 */
export const withSplitExperts = Effect.fnUntraced(function* (
  folder: string,
  stored: TensorPlaces,
  config: DecoderConfig
): Effect.fn.Return<TensorPlaces, TensorShapeMismatch> {
  const { mixtures, names } = config.family
  if (mixtures === undefined) return stored
  const split = new Map(stored)
  for (const [layer, { mixture }] of config.mlps.entries()) {
    if (mixture === undefined) continue
    const below = (mlp: string) => `${names.layer(layer)}.${mlp}`
    move(split, `${below(mixtures.fusedMlp)}.gate.weight`, `${below(names.mlp)}.gate.weight`)
    for (const fused of fusedTensors(mixtures, mixture, config)) {
      const name = `${below(mixtures.fusedMlp)}.experts.${fused.name}`
      const place = split.get(name)
      if (place === undefined) continue
      const [expected, found] = [fused.shape, shapeOf(place)]
      if (found.join() !== expected.join())
        return yield* new TensorShapeMismatch({ folder, tensor: name, expected, found })
      split.delete(name)
      for (const [own, part] of partsOf(fused, place)) split.set(`${below(names.mlp)}.experts.${own}.weight`, part)
    }
  }
  return split
})

interface FusedTensor {
  readonly name: string
  /** The linear layers of an expert whose matrices follow one another. */
  readonly layers: ReadonlyArray<string>
  readonly shape: readonly [experts: number, rows: number, columns: number]
}

const fusedTensors = (
  { names }: Mixtures,
  { experts, expertWidth }: MixtureSize,
  { mlpWidth, width }: DecoderConfig
): ReadonlyArray<FusedTensor> => {
  const inner = expertWidth ?? mlpWidth
  return [
    { name: "gate_up_proj", layers: [names.gate, names.up], shape: [experts, 2 * inner, width] },
    { name: "down_proj", layers: [names.down], shape: [experts, width, inner] }
  ]
}

/** Where the matrix of each expert's linear layer lies. */
const partsOf = ({ layers, shape: [experts, rows, columns] }: FusedTensor, place: TensorPlace) =>
  Array.from({ length: experts * layers.length }, (_, i): readonly [string, TensorPlace] => {
    const shape = [rows / layers.length, columns] as const
    const count = shape[0] * columns
    const name = `${Math.floor(i / layers.length)}.${layers[i % layers.length]}`
    return [name, { ...place, part: { first: i * count, count, shape } }]
  })

const move = (stored: Map<string, TensorPlace>, from: string, to: string): void => {
  const place = stored.get(from)
  if (place === undefined || from === to) return
  stored.delete(from)
  stored.set(to, place)
}

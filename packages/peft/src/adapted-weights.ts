import type { Weights } from "@plumbline/models"
import { linear, linears, type Tensor, type Tensor1D, type Tensor2D } from "@plumbline/runtime"
import { plainExperts } from "./adapted-experts.ts"
import type { Dropout } from "./dropout.ts"
import type { BaseLinear, LinearAdapter } from "./method.ts"

/** The base's weights with some parameters replaced. @param has whether the model has a parameter of this name */
export const replacedWeights = (
  base: Weights,
  replaced: ReadonlyMap<string, Tensor>,
  has: (name: string) => boolean
): Weights => {
  if (replaced.size === 0) return base
  const tensor = (name: string): Tensor => replaced.get(name) ?? base.tensor(name)
  const isTouched = (name: string) => replaced.has(`${name}.weight`) || replaced.has(`${name}.bias`)
  const layer = (name: string) => {
    const bias = has(`${name}.bias`) ? (tensor(`${name}.bias`) as Tensor1D) : undefined
    return [tensor(`${name}.weight`) as Tensor2D, bias] as const
  }
  return {
    remakesActivations: base.remakesActivations,
    grouped: plainExperts(base, replaced.keys()),
    tensor,
    linear: (x, name) => (isTouched(name) ? linear(x, ...layer(name)) : base.linear(x, name)),
    linears: (x, names) => (names.some(isTouched) ? linears(x, names.map(layer)) : base.linears(x, names)),
    gatedMlp: plainGatedMlp(base, isTouched)
  }
}

/** The base's, for MLPs none of whose layers is touched. */
const plainGatedMlp = (base: Weights, isTouched: (name: string) => boolean): Weights["gatedMlp"] =>
  base.gatedMlp &&
  ((x, names, activation) => (Object.values(names).some(isTouched) ? undefined : base.gatedMlp!(x, names, activation)))

/** The adapted layers of a model by name, and how to reach what they are in the base. */
export interface AdaptedLayers {
  readonly layers: ReadonlyMap<string, LinearAdapter>
  readonly base: (name: string) => BaseLinear
  /** See `Weights.grouped`. */
  readonly grouped: Weights["grouped"]
}

/**
 * Weights with adapters on some linear layers. The products with the base stay what they were, one for all layers on
 * an input; those with the adapters' narrow matrices are one more.
 */
export const adaptedWeights = (base: Weights, adapted: AdaptedLayers, dropout: Dropout | undefined): Weights => {
  const { layers } = adapted
  const many: Weights["linears"] = (x, names) => {
    const matrices = names.map((name) => layers.get(name)?.down() ?? [])
    const reduced = matrices.some(({ length }) => length > 0)
      ? reducedProducts(dropout === undefined ? x : dropout.apply(x, names[0]!), matrices.flat())
      : []
    // after the narrow ones, so that the backward pass has these gradients first, and adds the narrow ones to them
    const products = baseProducts(base, layers, x, names)
    return names.map((name, i) => {
      const seen = reduced.splice(0, matrices[i]!.length)
      return layers.get(name)?.output(products[i]!, seen, () => adapted.base(name)) ?? products[i]!
    })
  }
  return {
    remakesActivations: base.remakesActivations,
    grouped: adapted.grouped,
    tensor: (name) => {
      const module = name.replace(/\.weight$/, "")
      const layer = module === name ? undefined : layers.get(module)
      return layer === undefined ? base.tensor(name) : layer.merge(adapted.base(module)).weight
    },
    linear: (x, name) => (layers.has(name) ? many(x, [name])[0]! : base.linear(x, name)),
    linears: many,
    gatedMlp: plainGatedMlp(base, (name) => layers.has(name)),
    forTokens: dropout && ((tokens) => adaptedWeights(base, adapted, dropout.at(tokens)))
  }
}

/** What the base gives; layers whose adapter changes their input are computed alone. */
const baseProducts = (
  base: Weights,
  layers: ReadonlyMap<string, LinearAdapter>,
  x: Tensor2D,
  names: ReadonlyArray<string>
): ReadonlyArray<Tensor2D> => {
  const inputOf = (name: string) => layers.get(name)?.input
  const together = names.filter((name) => inputOf(name) === undefined)
  const products = together.length > 1 ? [...base.linears(x, together)] : together.map((name) => base.linear(x, name))
  return names.map((name) => {
    const input = inputOf(name)
    return input === undefined ? products.shift()! : base.linear(input(x), name)
  })
}

const reducedProducts = (x: Tensor2D, matrices: ReadonlyArray<Tensor2D>): Array<Tensor2D> =>
  matrices.length === 1
    ? [linear(x, matrices[0]!)]
    : [
        ...linears(
          x,
          matrices.map((matrix) => [matrix, undefined] as const)
        )
      ]

import type { DecoderConfig, MixtureSize } from "@plumbline/models"
import { type Tensor, type Tensor3D, tf } from "@plumbline/runtime"

type Tensors = ReadonlyMap<string, Tensor>

/** Where PEFT has the pair of a fused tensor: below the layer's experts, the one that was wrapped first a level deeper. */
const FUSED = /^(.*\.experts)(\.base_layer)?\.lora_A\.weight$/

/**
 * The tensors of an adapter with a pair of matrices for each linear layer of each expert, where PEFT has one for a tensor that
 * holds all experts: A [E·r, I] with the r rows of an expert side by side, and B [O, r·E] with its r columns E apart. The
 * gates and what they gate share A, of which each gets a copy, and have the upper and the lower half of B. Takes the tensors over.
 */
export const splitExperts = (stored: Tensors, config: DecoderConfig): Tensors => {
  const { mixtures, names } = config.family
  const mixture = config.mlps.find((mlp) => mlp.mixture !== undefined)?.mixture
  if (mixtures === undefined || mixture === undefined) return stored
  const own = (name: string) => name.replace(`.${mixtures.fusedMlp}.`, `.${names.mlp}.`)
  const split = new Map<string, Tensor>()
  for (const [name, tensor] of stored) {
    const place = FUSED.exec(name)
    if (place === null) {
      if (!isSecond(name, stored)) split.set(own(name), tensor)
      continue
    }
    const [, experts, level = ""] = place
    const b = stored.get(`${experts}${level}.lora_B.weight`)
    const layers = layersOf(tensor, b, mixture, config)
    if (b === undefined || layers === undefined) {
      split.set(name, tensor)
      continue
    }
    for (const [part, value] of pairsOf(tensor, b, mixture.experts, layers))
      split.set(`${own(experts!)}.${part}`, value)
    tf.dispose([tensor, b])
  }
  return split
}

/** Whether it is the B of a pair whose A is there. */
const isSecond = (name: string, stored: Tensors): boolean => {
  const first = name.replace(/\.lora_B\.weight$/, ".lora_A.weight")
  return first !== name && FUSED.test(first) && stored.has(first)
}

/** The linear layers of an expert whose matrices make up the fused tensor, which its shape tells. */
const layersOf = (
  a: Tensor,
  b: Tensor | undefined,
  { expertWidth, experts }: MixtureSize,
  { family, mlpWidth, width }: DecoderConfig
): ReadonlyArray<string> | undefined => {
  const { down, gate, up } = family.mixtures!.names
  const inner = expertWidth ?? mlpWidth
  const is = (inputs: number, outputs: number) =>
    a.shape[1] === inputs && b?.shape[0] === outputs && a.shape[0]! % experts === 0 && a.shape[0] === b.shape[1]
  if (is(width, 2 * inner)) return [gate, up]
  return is(inner, width) ? [down] : undefined
}

const pairsOf = (a: Tensor, b: Tensor, experts: number, layers: ReadonlyArray<string>): Tensors => {
  const [rank, inputs] = [a.shape[0]! / experts, a.shape[1]!]
  const outputs = b.shape[0]! / layers.length
  const pairs = new Map<string, Tensor>()
  const made = tf.tidy(() => {
    // [E, O, r]
    const columns = tf.transpose(tf.reshape(b, [b.shape[0]!, rank, experts]), [2, 0, 1]) as Tensor3D
    for (let expert = 0; expert < experts; expert++) {
      layers.forEach((layer, i) => {
        const rows = tf.slice(columns, [expert, i * outputs, 0], [1, outputs, rank])
        pairs.set(`${expert}.${layer}.lora_A.weight`, tf.slice(a, [expert * rank, 0], [rank, inputs]))
        pairs.set(`${expert}.${layer}.lora_B.weight`, tf.reshape(rows, [outputs, rank]))
      })
    }
    return [...pairs.values()]
  })
  for (const tensor of made) tf.keep(tensor)
  return pairs
}

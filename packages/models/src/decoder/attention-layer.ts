import { type Heads, reshape, type RotaryAngles, type Tensor2D, type Tensor3D } from "@plumbline/runtime"
import type { DecoderConfig } from "../config/decoder-config.ts"
import { linearParameters, type ParameterSpec } from "./parameter.ts"
import type { Norm } from "./norm.ts"
import type { Weights } from "./weights.ts"

/** Attention of one layer, which first turns queries and keys by their tokens' angles: [N, H, d]. */
export type Attend = (layer: number, heads: Heads, angles: RotaryAngles) => Tensor3D

export const attentionParameters = (config: DecoderConfig, layer: number): ReadonlyArray<ParameterSpec> => {
  const { biases, family, headWidth, width } = config
  const name = partOf(config, layer)
  const queries = config.heads * headWidth
  const keys = config.keyValueHeads * headWidth
  return [
    ...linearParameters(name("query"), queries, width, biases.queryKeyValue),
    ...linearParameters(name("key"), keys, width, biases.queryKeyValue),
    ...linearParameters(name("value"), keys, width, biases.queryKeyValue),
    ...linearParameters(name("attentionOutput"), width, queries, biases.attentionOutput),
    ...(family.queryKeyNorm?.parameters(name("queryNorm"), headWidth) ?? []),
    ...(family.queryKeyNorm?.parameters(name("keyNorm"), headWidth) ?? [])
  ]
}

/** Grouped-query self-attention with rotary positions: [N, D] → [N, D]. */
export const attentionLayer = (
  config: DecoderConfig,
  weights: Weights,
  layer: number,
  x: Tensor2D,
  angles: RotaryAngles,
  attend: Attend
): Tensor2D => {
  const { family, headWidth, heads, keyValueHeads, normEpsilon } = config
  const name = partOf(config, layer)
  const projected = weights.linears(x, [name("query"), name("key"), name("value")])
  const [queries, keys, v] = [heads, keyValueHeads, keyValueHeads].map((count, i) =>
    reshape(projected[i]!, [-1, count, headWidth])
  ) as [Tensor3D, Tensor3D, Tensor3D]
  const normed = (norm: "queryNorm" | "keyNorm", parts: Tensor3D): Tensor3D =>
    normedHeads(family.queryKeyNorm, weights, name(norm), parts, normEpsilon)
  const mixed = attend(layer, { q: normed("queryNorm", queries), k: normed("keyNorm", keys), v }, angles)
  return weights.linear(reshape(mixed, [-1, heads * headWidth]), name("attentionOutput"))
}

/** Each head normalised over its own features, where the family does so. */
const normedHeads = (
  norm: Norm | undefined,
  weights: Weights,
  name: string,
  heads: Tensor3D,
  epsilon: number
): Tensor3D => {
  if (norm === undefined) return heads
  const flat = reshape(heads, [-1, heads.shape[2]])
  return reshape(norm.apply(weights, name, flat, epsilon), heads.shape)
}

type AttentionPart = "query" | "key" | "value" | "attentionOutput" | "queryNorm" | "keyNorm"

const partOf =
  ({ family: { names } }: DecoderConfig, layer: number) =>
  (part: AttentionPart): string =>
    `${names.layer(layer)}.${names[part]}`

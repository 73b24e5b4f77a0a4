import type { DecoderConfig } from "../config/decoder-config.ts"
import { attentionParameters } from "./attention-layer.ts"
import type { ParameterSpec } from "./parameter.ts"

/** Every parameter of the decoder, in Hugging Face's order; without an output matrix. */
export const decoderParameters = (config: DecoderConfig): ReadonlyArray<ParameterSpec> => {
  const { family, vocabulary, width } = config
  const embedding: ParameterSpec = {
    name: `${family.names.embedding}.weight`,
    shape: [vocabulary, width],
    initial: "normal"
  }
  const layers = Array.from({ length: config.layers }, (_, layer) => layerParameters(config, layer))
  return [embedding, ...layers.flat(), ...family.norm.parameters(family.names.finalNorm, width)]
}

/** The decoder's parameters and, unless it is the embedding matrix, the output matrix. */
export const causalParameters = (config: DecoderConfig): ReadonlyArray<ParameterSpec> => {
  if (config.tiedEmbeddings) return decoderParameters(config)
  const shape = [config.vocabulary, config.width]
  return [...decoderParameters(config), { name: outputMatrixName(config), shape, initial: "normal" }]
}

/** Name of the parameter that turns hidden states into logits, [V, D]. */
export const outputMatrixName = ({ family: { names }, tiedEmbeddings }: DecoderConfig): string =>
  `${tiedEmbeddings ? names.embedding : names.output}.weight`

const layerParameters = (config: DecoderConfig, layer: number): ReadonlyArray<ParameterSpec> => {
  const { biases, family, mlps, mlpWidth, width } = config
  const { names, norm } = family
  const prefix = names.layer(layer)
  return [
    ...attentionParameters(config, layer),
    ...mlps[layer]!.parameters(`${prefix}.${names.mlp}`, { width, mlpWidth, bias: biases.mlp }),
    ...norm.parameters(`${prefix}.${names.attentionNorm}`, width),
    ...norm.parameters(`${prefix}.${names.mlpNorm}`, width)
  ]
}

import { dequantised, nf4Linear, type Nf4Matrix, quantised, type Tensor, type Tensor2D, tf } from "@plumbline/runtime"
import type { DecoderConfig } from "../config/decoder-config.ts"
import type { ParameterSpec } from "./parameter.ts"
import { decoderParameters } from "./parameter-table.ts"
import { parameterWeights, type Weights } from "./weights.ts"

/** Parameters of a frozen decoder, its linear layers in 4 bits. */
export interface QuantisedStore {
  /** Those that are kept as they are, and the parts of the quantised ones. */
  readonly parameters: ReadonlyMap<string, Tensor>
  readonly weights: Weights
  /** Takes a parameter over; one of a linear layer of a block is quantised and disposed of. */
  readonly add: (name: string, tensor: Tensor) => void
  readonly dispose: () => void
}

/** Names of the matrices that are quantised: all of the blocks, neither the embedding nor a head. */
export const quantisedMatrices = (config: DecoderConfig): ReadonlySet<string> => {
  const embedding = `${config.family.names.embedding}.weight`
  const isMatrix = ({ isExact, name, shape }: ParameterSpec) =>
    shape.length === 2 && name !== embedding && isExact !== true
  return new Set(
    decoderParameters(config)
      .filter(isMatrix)
      .map(({ name }) => name)
  )
}

/** @param keep makes of a tensor what stands for it, and disposes of what it does not keep */
export const quantisedStore = (config: DecoderConfig, keep: (tensor: Tensor) => Tensor): QuantisedStore => {
  const parameters = new Map<string, Tensor>()
  const matrices = new Map<string, Nf4Matrix>()
  const names = quantisedMatrices(config)
  return {
    parameters,
    weights: quantisedWeights(parameters, matrices),
    add: (name, tensor) => {
      if (!names.has(name)) {
        parameters.set(name, tf.keep(keep(tensor)))
        return
      }
      const matrix = quantised(tensor as Tensor2D)
      tensor.dispose()
      matrices.set(name, matrix)
      const { codes, outer, scales } = matrix
      for (const [part, values] of Object.entries({ codes, scales, outer })) {
        parameters.set(`${name}.nf4_${part}`, tf.keep(values))
      }
    },
    dispose: () => {
      tf.dispose([...parameters.values()])
      parameters.clear()
    }
  }
}

/** Weights some of whose matrices are in 4 bits: unfolded for each product, which groups of layers do not share. */
const quantisedWeights = (
  parameters: ReadonlyMap<string, Tensor>,
  matrices: ReadonlyMap<string, Nf4Matrix>
): Weights => {
  const plain = parameterWeights(parameters)
  const linear: Weights["linear"] = (x, name) => {
    const matrix = matrices.get(`${name}.weight`)
    if (matrix === undefined) return plain.linear(x, name)
    const bias = parameters.get(`${name}.bias`)
    const product = nf4Linear(x, matrix)
    return bias === undefined ? product : (tf.add(product, bias) as Tensor2D)
  }
  return {
    tensor: (name) => {
      const matrix = matrices.get(name)
      return matrix === undefined ? plain.tensor(name) : dequantised(matrix)
    },
    linear,
    // who saves memory on weights saves it here for a hundredth of the time
    remakesActivations: true,
    linears: (x, names) => names.map((name) => linear(x, name))
  }
}

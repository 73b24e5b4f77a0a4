import {
  ADD_BIAS,
  ADD_RMS_NORM,
  GATED_ACTIVATION,
  LAYER_NORM,
  LINEAR,
  GROUPED_LINEARS,
  LINEARS,
  RMS_NORM,
  SQUARED_RELU
} from "../kernels/names.ts"
import {
  composedActivations,
  composedSquaredRelu,
  gatedActivation,
  type GateFunction,
  squaredRelu
} from "../ops/activation.ts"
import { groupedLinears } from "../ops/grouped-linears.ts"
import { composedLinear, linear, linears } from "../ops/linear.ts"
import { addRmsNorm, composedLayerNorm, composedRmsNorm, layerNorm, rmsNorm } from "../ops/norms.ts"
import { tf, type Tensor1D, type Tensor2D } from "../tf.ts"
import { layersOf, type Make, matrix, tokensOf, widthOf } from "./random-shapes.ts"
import { beside, noise } from "./tensors.ts"

const rmsNorms: Make = (draw) => {
  const [tokens, width] = [tokensOf(draw), widthOf(draw)]
  return {
    shape: `[${tokens}, ${width}]`,
    kernel: RMS_NORM,
    activations: 1,
    inputs: () => [noise([tokens, width], "x"), noise([width], "weight")],
    op: (x: Tensor2D, weight: Tensor1D) => rmsNorm(x, weight, 1e-2),
    composed: (x: Tensor2D, weight: Tensor1D) => composedRmsNorm(x, weight, 1e-2)
  }
}

const addRmsNorms: Make = (draw) => {
  const [tokens, width] = [tokensOf(draw), widthOf(draw)]
  return {
    shape: `[${tokens}, ${width}]`,
    kernel: ADD_RMS_NORM,
    activations: 2,
    inputs: () => [noise([tokens, width], "x"), noise([tokens, width], "addend"), noise([width], "weight")],
    op: (x: Tensor2D, addend: Tensor2D, weight: Tensor1D) => {
      const { normed, sum } = addRmsNorm(x, addend, weight, 1e-2)
      return beside([sum, normed])
    },
    composed: (x: Tensor2D, addend: Tensor2D, weight: Tensor1D) => {
      const sum = tf.add(x, addend) as Tensor2D
      return beside([sum, composedRmsNorm(sum, weight, 1e-2)])
    }
  }
}

const layerNorms: Make = (draw) => {
  // of one number, or of two, the norm is a step function
  const [tokens, width] = [tokensOf(draw), draw.one([8, 17, 64, 65])]
  return {
    shape: `[${tokens}, ${width}]`,
    kernel: LAYER_NORM,
    activations: 1,
    inputs: () => [noise([tokens, width], "x"), noise([width], "weight"), noise([width], "bias")],
    op: (x: Tensor2D, weight: Tensor1D, bias: Tensor1D) => layerNorm(x, weight, bias, 1e-2),
    composed: (x: Tensor2D, weight: Tensor1D, bias: Tensor1D) => composedLayerNorm(x, weight, bias, 1e-2)
  }
}

const linearLayers: Make = (draw) => {
  const [tokens, width, outputs] = [tokensOf(draw), widthOf(draw), widthOf(draw)]
  return {
    shape: `[${tokens}, ${width}] → ${outputs}`,
    kernel: LINEAR,
    activations: 1,
    inputs: () => [noise([tokens, width], "x"), matrix(outputs, width, "weight")],
    op: (x: Tensor2D, weight: Tensor2D) => linear(x, weight),
    composed: composedLinear
  }
}

const severalLinearLayers: Make = (draw) => {
  const [tokens, width] = [tokensOf(draw), widthOf(draw)]
  const outputs = Array.from({ length: draw.whole(2, 3) }, () => widthOf(draw))
  return {
    shape: `[${tokens}, ${width}] → ${outputs.join(", ")}`,
    kernel: LINEARS,
    activations: 1,
    inputs: () => [noise([tokens, width], "x"), ...outputs.map((size, i) => matrix(size, width, `weight ${i}`))],
    op: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) =>
      beside(
        linears(
          x,
          weights.map((weight) => [weight, undefined])
        )
      ),
    composed: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) =>
      beside(weights.map((weight) => composedLinear(x, weight)))
  }
}

/** Groups of rows, one of them empty, each by two layers of its own. */
const groupedLayers: Make = (draw) => {
  const width = 8 * draw.whole(1, 6)
  const outputs = [8 * draw.whole(1, 6), 8 * draw.whole(1, 6)]
  const counts = [draw.whole(1, 40), 0, draw.whole(1, 7), draw.whole(0, 90)]
  const rows = counts.reduce((sum, count) => sum + count, 0)
  const layers = (weights: ReadonlyArray<Tensor2D>) =>
    counts.map((_, g) => outputs.map((__, p) => [weights[g * outputs.length + p]!, undefined] as const))
  return {
    shape: `[${counts.join(" + ")}, ${width}] → ${outputs.join(", ")}`,
    kernel: GROUPED_LINEARS,
    activations: 1,
    inputs: () => [
      noise([rows, width], "x"),
      ...counts.flatMap((_, g) => outputs.map((size, p) => matrix(size, width, `weight ${g} ${p}`)))
    ],
    op: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) => beside(groupedLinears(x, { counts }, layers(weights))),
    composed: (x: Tensor2D, ...weights: ReadonlyArray<Tensor2D>) => {
      const parts = tf.split(x, counts) as ReadonlyArray<Tensor2D>
      return beside(
        outputs.map((_, p) =>
          tf.concat(parts.map((part, g) => composedLinear(part, weights[g * outputs.length + p]!)))
        ) as Array<Tensor2D>
      )
    }
  }
}

/** Columns of one product with a bias each. */
const linearLayersWithBias: Make = (draw) => {
  const [tokens, width] = [tokensOf(draw), widthOf(draw)]
  const [first, second] = [widthOf(draw), widthOf(draw)]
  return {
    shape: `[${tokens}, ${width}] → ${first}, ${second}`,
    kernel: ADD_BIAS,
    activations: 1,
    inputs: () => [
      noise([tokens, width], "x"),
      matrix(first, width, "first"),
      matrix(second, width, "second"),
      noise([first], "first bias"),
      noise([second], "second bias")
    ],
    op: (x: Tensor2D, a: Tensor2D, b: Tensor2D, biasA: Tensor1D, biasB: Tensor1D) =>
      beside(
        linears(x, [
          [a, biasA],
          [b, biasB]
        ])
      ),
    composed: (x: Tensor2D, a: Tensor2D, b: Tensor2D, biasA: Tensor1D, biasB: Tensor1D) =>
      beside([tf.add(composedLinear(x, a), biasA), tf.add(composedLinear(x, b), biasB)])
  }
}

const gates =
  (name: GateFunction): Make =>
  (draw) => {
    const [tokens, width] = [tokensOf(draw), widthOf(draw)]
    return {
      shape: `[${tokens}, ${width}]`,
      kernel: GATED_ACTIVATION,
      activations: 2,
      inputs: () => [noise([tokens, width], "gate"), noise([tokens, width], "up")],
      op: (gate: Tensor2D, up: Tensor2D) => gatedActivation(gate, up, name),
      composed: (gate: Tensor2D, up: Tensor2D) => tf.mul(composedActivations[name](gate), up)
    }
  }

const squaredRelus: Make = (draw) => {
  const [tokens, width] = [tokensOf(draw), widthOf(draw)]
  return {
    shape: `[${tokens}, ${width}]`,
    kernel: SQUARED_RELU,
    activations: 1,
    inputs: () => [noise([tokens, width], "x")],
    op: squaredRelu,
    composed: composedSquaredRelu
  }
}

export const layerCases = layersOf({
  rmsNorm: rmsNorms,
  addRmsNorm: addRmsNorms,
  layerNorm: layerNorms,
  linear: linearLayers,
  linears: severalLinearLayers,
  groupedLinears: groupedLayers,
  linearsWithBias: linearLayersWithBias,
  silu: gates("silu"),
  gelu: gates("gelu"),
  geluTanh: gates("gelu_tanh"),
  squaredRelu: squaredRelus
})

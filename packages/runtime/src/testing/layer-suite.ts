import { describe, expect, it } from "vitest"
import {
  ADD_EMBEDDING_GRADIENT,
  EMBEDDING,
  EMBEDDING_GRADIENT,
  GATED_ACTIVATION,
  LAYER_NORM,
  LINEAR,
  RMS_NORM,
  ROTARY,
  SQUARED_RELU
} from "../kernels/names.ts"
import {
  composedActivations,
  composedSquaredRelu,
  gatedActivation,
  type GateFunction,
  squaredRelu
} from "../ops/activation.ts"
import { composedEmbedding, embedding, gatherRows } from "../ops/embedding.ts"
import { composedLinear, linear } from "../ops/linear.ts"
import { composedLayerNorm, composedRmsNorm, layerNorm, rmsNorm } from "../ops/norms.ts"
import { composedRotary, rotary, type RotaryAngles, rotaryAngles } from "../ops/rotary.ts"
import { composedAddRowsById, addByRow } from "../ops/add-by-row.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D, type Tensor3D } from "../tf.ts"
import { type DifferentiableCase, differentiableSuite } from "./differentiable-suite.ts"
import { expectClose, gradientsOf, leavesNothing, noise, type Op, wave } from "./tensors.ts"

const angles = (count: number, half: number): RotaryAngles =>
  rotaryAngles(
    Int32Array.from({ length: count }, (_, i) => 3 * i + 1),
    Float32Array.from({ length: half }, (_, i) => 2 ** -i)
  )

const normCases = [
  [3, 5],
  [67, 64]
].flatMap(([rows, width]): Array<DifferentiableCase> => [
  {
    title: `rmsNorm [${rows}, ${width}]`,
    kernel: RMS_NORM,
    inputs: () => [noise([rows!, width!], "x"), noise([width!], "weight")],
    op: (x: Tensor2D, weight: Tensor1D) => rmsNorm(x, weight, 1e-5),
    composed: (x: Tensor2D, weight: Tensor1D) => composedRmsNorm(x, weight, 1e-5),
    small: width === 5
  },
  {
    title: `layerNorm [${rows}, ${width}]`,
    kernel: LAYER_NORM,
    inputs: () => [noise([rows!, width!], "x"), noise([width!], "weight"), noise([width!], "bias")],
    op: (x: Tensor2D, weight: Tensor1D, bias: Tensor1D) => layerNorm(x, weight, bias, 1e-5),
    composed: (x: Tensor2D, weight: Tensor1D, bias: Tensor1D) => composedLayerNorm(x, weight, bias, 1e-5),
    small: width === 5
  }
])

const rotaryCases = [
  [3, 2, 8, 3],
  [5, 3, 16, 8]
].map(([tokens, heads, width, half]): DifferentiableCase => ({
  title: `rotary of ${2 * half!} in ${width} dimensions`,
  kernel: ROTARY,
  inputs: () => [noise([tokens!, heads!, width!], "x")],
  op: (x: Tensor3D) => rotary(x, angles(tokens!, half!)),
  composed: (x: Tensor3D) => composedRotary(x, angles(tokens!, half!)),
  // with cosine and sine
  leaves: 3,
  small: tokens === 3
}))

const gatedCases = (["silu", "gelu", "gelu_tanh"] as const).map((activation: GateFunction): DifferentiableCase => ({
  title: `gatedActivation ${activation}`,
  kernel: GATED_ACTIVATION,
  inputs: () => [tf.mul(noise([3, 7], "gate"), 3), noise([3, 7], "up")],
  op: (gate: Tensor2D, up: Tensor2D) => gatedActivation(gate, up, activation),
  composed: (gate: Tensor2D, up: Tensor2D) => tf.mul(composedActivations[activation](gate), up),
  small: true
}))

const squaredReluCase: DifferentiableCase = {
  title: "squaredRelu",
  kernel: SQUARED_RELU,
  inputs: () => [noise([3, 7], "x")],
  op: squaredRelu,
  composed: composedSquaredRelu,
  small: true
}

const linearCases = [
  [3, 4, 5],
  [1, 130, 9],
  [135, 70, 261]
].map(([rows, width, outputs]): DifferentiableCase => ({
  title: `linear [${rows}, ${width}] → ${outputs}`,
  kernel: LINEAR,
  inputs: () => [noise([rows!, width!], "x"), tf.div(noise([outputs!, width!], "weight"), Math.sqrt(width!))],
  op: (x: Tensor2D, weight: Tensor2D) => linear(x, weight),
  composed: (x: Tensor2D, weight: Tensor2D) => composedLinear(x, weight),
  small: rows === 3
}))

const repeated = Int32Array.of(4, 0, 4, 2, 4, 0)

const embeddingCase: DifferentiableCase = {
  title: "embedding with repeated ids",
  kernel: EMBEDDING,
  inputs: () => [noise([6, 7], "weight")],
  op: (weight: Tensor2D) => embedding(weight, repeated),
  composed: (weight: Tensor2D) => composedEmbedding(weight, repeated),
  small: true
}

/** A matrix of tied embeddings has another gradient already when that of its rows is made. */
const tiedCase: DifferentiableCase = {
  title: "embedding by the weight of a linear layer",
  kernel: ADD_EMBEDDING_GRADIENT,
  inputs: () => [noise([6, 7], "weight")],
  op: (weight: Tensor2D) => tf.tidy(() => linear(embedding(weight, repeated), weight)),
  composed: (weight: Tensor2D) => composedLinear(composedEmbedding(weight, repeated), weight),
  small: true
}

const sumCase: DifferentiableCase = {
  title: "addByRow",
  kernel: EMBEDDING_GRADIENT,
  inputs: () => [noise([6], "values")],
  op: (values: Tensor1D) => addByRow(values, repeated, 6),
  composed: (values: Tensor1D) => composedAddRowsById(values, repeated, 6),
  small: true
}

interface Literal {
  readonly title: string
  readonly inputs: () => ReadonlyArray<Tensor>
  readonly op: Op
  /** Phase of the wave that weighs the output. */
  readonly phase: number
  readonly out: ReadonlyArray<number>
  readonly gradients: ReadonlyArray<ReadonlyArray<number>>
}

// Computed in float64 with torch 2.13 (torch.nn.functional and autograd) on the same waves.
const literals: ReadonlyArray<Literal> = [
  {
    title: "rmsNorm, ε = 1e-5",
    inputs: () => [wave([2, 5], 0.2), wave([5], 0.4)],
    op: (x: Tensor2D, weight: Tensor1D) => rmsNorm(x, weight, 1e-5),
    phase: 0.8,
    out: [
      0.1158909, 1.045741, 1.458169, 0.6685182, -0.01233989, -0.303845, -1.248902, -1.327728, -0.4094674, -0.01849249
    ],
    gradients: [
      [
        0.1981846, 0.4631404, 0.07114957, -0.6123163, -0.1177718, -0.03224706, -0.3728053, 0.07195608, 0.535148,
        -0.2628884
      ],
      [0.9283269, 2.514256, 1.96138, 0.1875099, 0.1373862]
    ]
  },
  {
    title: "layerNorm, ε = 1e-5",
    inputs: () => [wave([2, 5], 0.2), wave([5], 0.4), wave([5], 0.6)],
    op: (x: Tensor2D, weight: Tensor1D, bias: Tensor1D) => layerNorm(x, weight, bias, 1e-5),
    phase: 0.8,
    out: [
      0.1368693, 1.510856, 2.124218, 0.7289533, -0.1815771, 0.566034, 0.0777846, 0.0007796285, 0.5218496, -0.3585945
    ],
    gradients: [
      [
        0.384889, 0.9056898, 0.1401547, -1.197513, -0.2332207, -0.03215964, -0.6035784, 0.1121917, 0.8828468, -0.3593005
      ],
      [-0.7912841, 1.565648, 1.52238, 0.1389566, 1.847621],
      [-0.1988099, 0.0385707, 0.2578109, 0.3557985, 0.2864486]
    ]
  },
  {
    title: "rotary of 4 in 6 dimensions, positions 1 and 3, frequencies 1 and 1/4",
    inputs: () => [wave([2, 1, 6], 0.2)],
    op: (x: Tensor3D) => rotary(x, rotaryAngles(Int32Array.of(1, 3), Float32Array.of(1, 0.25))),
    phase: 0.8,
    out: [
      -0.7337707, 0.5744848, 0.7072464, 0.9163212, 0.14112, -0.5298361, 1.007644, -0.8240424, 0.3256626, -0.4736703,
      0.7936679, 0.9989414
    ],
    gradients: [
      [
        1.067915, 1.025677, -0.1668019, -0.01497256, -0.4425204, -0.9161659, 0.9657753, 0.09396308, 0.01994057,
        0.9087471, 0.9985433, 0.7984871
      ]
    ]
  },
  gatedLiteral(
    "silu",
    [0.5595396, 2.276068, 1.693978, -0.1045129, -0.0455687],
    [0.569882, 1.067745, 0.5268802, -0.01525154, 0.1711088],
    [0.450388, 2.331337, 2.288452, 0.4283512, -0.02931968]
  ),
  gatedLiteral(
    "gelu",
    [0.6418392, 2.444148, 1.777843, -0.1157618, -0.0471551],
    [0.6719768, 1.006206, 0.4900281, -0.01511654, 0.1823106],
    [0.5166332, 2.503498, 2.401749, 0.4744556, -0.0303404]
  ),
  gatedLiteral(
    "gelu_tanh",
    [0.6417388, 2.444584, 1.778095, -0.1157689, -0.04715505],
    [0.6717554, 1.006495, 0.4898627, -0.01512867, 0.1823099],
    [0.5165523, 2.503944, 2.402089, 0.4744845, -0.03034036]
  )
]

function gatedLiteral(
  activation: GateFunction,
  out: ReadonlyArray<number>,
  ...gradients: ReadonlyArray<ReadonlyArray<number>>
): Literal {
  return {
    title: `gatedActivation ${activation}`,
    inputs: () => [wave([1, 5], 0.3, 3), wave([1, 5], 1.1)],
    op: (gate: Tensor2D, up: Tensor2D) => gatedActivation(gate, up, activation),
    phase: 0.8,
    out,
    gradients
  }
}

const gatherSome = (rows: Tensor2D) => gatherRows(rows, Int32Array.of(2, 0, 2))

export const layerSuite = (): void => {
  differentiableSuite([
    ...normCases,
    ...rotaryCases,
    ...gatedCases,
    squaredReluCase,
    ...linearCases,
    embeddingCase,
    tiedCase,
    sumCase
  ])

  describe.each(literals)("$title", ({ gradients, inputs, op, out, phase }) => {
    it("has the values and gradients of torch", () => {
      leavesNothing(() => {
        const tensors = inputs()
        const result = op(...(tensors as ReadonlyArray<never>))
        expectClose(result, out)
        gradientsOf(op, tensors, wave(result.shape, phase)).forEach((gradient, i) =>
          expectClose(gradient, gradients[i]!)
        )
      })
    })
  })

  describe("small layers", () => {
    it("add a bias and sum its gradient over the rows", () => {
      leavesNothing(() => {
        // [1 2]·[[1 0], [0 1], [1 1]]ᵀ + [10 20 30]
        const [x, weight, bias] = [
          tf.tensor2d([[1, 2]]),
          tf.tensor2d([1, 0, 0, 1, 1, 1], [3, 2]),
          tf.tensor1d([10, 20, 30])
        ]
        expectClose(linear(x, weight, bias), [11, 22, 33], 0)
        const rows = tf.tensor2d([1, 2, 3, 4], [2, 2])
        const op = (b: Tensor1D) => linear(rows, weight, b)
        expectClose(gradientsOf(op, [bias], tf.tensor2d([1, 2, 3, 10, 20, 30], [2, 3]))[0]!, [11, 22, 33], 0)
      })
    })

    it("gather rows in any order and scatter their gradients back", () => {
      leavesNothing(() => {
        const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2])
        expectClose(gatherSome(x), [5, 6, 1, 2, 5, 6], 0)
        expectClose(
          gradientsOf(gatherSome, [x], tf.tensor2d([1, 2, 4, 8, 16, 32], [3, 2]))[0]!,
          [4, 8, 0, 0, 17, 34],
          0
        )
      })
    })

    it("refuse ids outside the matrix", () => {
      const weight = tf.zeros([3, 2]) as Tensor2D
      expect(() => embedding(weight, Int32Array.of(0, 3))).toThrow("row 3 (at 1) of a matrix of 3 rows")
      expect(() => embedding(weight, Int32Array.of(-1))).toThrow("row -1 (at 0) of a matrix of 3 rows")
      weight.dispose()
    })

    it("square the positive part, with slope 2x there", () => {
      leavesNothing(() => {
        const x = tf.tensor2d([[-2, 0, 3]])
        expectClose(squaredRelu(x), [0, 0, 9], 0)
        expectClose(gradientsOf(squaredRelu, [x], tf.ones([1, 3]))[0]!, [0, 0, 6], 0)
      })
    })

    it("gate with the limits of their activations far out", () => {
      leavesNothing(() => {
        const [gate, up] = [tf.tensor2d([[-1e4, -50, 50, 1e4]]), tf.ones([1, 4]) as Tensor2D]
        for (const activation of ["silu", "gelu", "gelu_tanh"] as const) {
          expectClose(gatedActivation(gate, up, activation), [0, 0, 50, 1e4])
          const op = (g: Tensor2D) => gatedActivation(g, up, activation)
          expectClose(gradientsOf(op, [gate], up)[0]!, [0, 0, 1, 1])
        }
      })
    })

    it("let NaN through, so that a broken step is seen", () => {
      leavesNothing(() => {
        const broken = tf.tensor2d([[1, Number.NaN, 2]])
        const ones = tf.ones([1, 3]) as Tensor2D
        expect(rmsNorm(broken, tf.ones([3]) as Tensor1D, 1e-5).dataSync()[0]).toBeNaN()
        expect(gatedActivation(broken, ones, "silu").dataSync()[1]).toBeNaN()
        expect(linear(broken, ones).dataSync()[0]).toBeNaN()
      })
    })
  })
}

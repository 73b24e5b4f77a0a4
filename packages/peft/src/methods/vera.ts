import { linear, type RandomStream, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import { AdapterUnfit } from "../errors.ts"
import { type AdapterMethod, type AdapterTensor, type LinearAdapter, plainMethod, zeros } from "../method.ts"
import { ALL_LINEAR, type LinearModule, type Selection } from "../targets.ts"

export interface VeraOptions extends Partial<Selection> {
  readonly rank: number
  readonly dropout?: number | undefined
  /** Value that λ_d starts at; 0.1 when absent. */
  readonly dInitial?: number | undefined
  readonly trainedModules?: ReadonlyArray<string> | undefined
}

/**
 * One frozen random pair A [r, I], B [O, r] for all layers, cut to each layer's size, and two learnt vectors a layer:
 * y = W·x + b + λ_b ⊙ B·(λ_d ⊙ A·x). λ_b starts at 0.
 *
 * @see Kopiczko et al. 2023, https://arxiv.org/abs/2310.11454
 */
export const vera = (options: VeraOptions): AdapterMethod => {
  const { dInitial = 0.1, dropout = 0, exclude, layers, rank, targets = ALL_LINEAR, trainedModules = [] } = options
  if (!Number.isInteger(rank) || rank < 1) {
    throw new AdapterUnfit({ adapter: "VeRA", reason: `rank ${rank} is no whole number from 1 on` })
  }
  const config = { peft_type: "VERA", r: rank, vera_dropout: dropout, d_initial: dInitial, save_projection: true }
  return {
    ...plainMethod,
    config: { ...config, projection_prng_key: 0, fan_in_fan_out: false, bias: "none", init_weights: true },
    selection: { targets, exclude, layers },
    trainedModules,
    dropout,
    shared: (modules) => projections(modules, rank),
    tensors: ({ outputs }) => [
      { suffix: "vera_lambda_b", shape: [outputs], initial: () => zeros([outputs]) },
      { suffix: "vera_lambda_d", shape: [rank], initial: () => zeros([rank]).fill(dInitial) }
    ],
    layer: (module, own, shared) => {
      const [a, b] = [shared("vera_A") as Tensor2D, shared("vera_B") as Tensor2D]
      const [lambdaB, lambdaD] = [own("vera_lambda_b") as Tensor1D, own("vera_lambda_d") as Tensor1D]
      return layerOf(module, { a, b, lambdaB, lambdaD })
    }
  }
}

/** Large enough for every layer. Uniform with deviation √2/√(inputs), as PEFT draws them. */
const projections = (modules: ReadonlyArray<LinearModule>, rank: number): ReadonlyArray<AdapterTensor> => {
  const inputs = Math.max(...modules.map((module) => module.inputs))
  const outputs = Math.max(...modules.map((module) => module.outputs))
  const drawn =
    (rows: number, columns: number) =>
    ({ uniform }: RandomStream) =>
      zeros([rows, columns]).map((_, i) => (2 * uniform(i) - 1) * Math.sqrt(6 / columns))
  return [
    { suffix: "vera_A", shape: [rank, inputs], initial: drawn(rank, inputs), trained: false },
    { suffix: "vera_B", shape: [outputs, rank], initial: drawn(outputs, rank), trained: false }
  ]
}

interface Parts {
  readonly a: Tensor2D
  readonly b: Tensor2D
  readonly lambdaB: Tensor1D
  readonly lambdaD: Tensor1D
}

const layerOf = ({ inputs, outputs }: LinearModule, { a, b, lambdaB, lambdaD }: Parts): LinearAdapter => {
  const down = () => tf.slice(a, [0, 0], [-1, inputs])
  const up = () => tf.slice(b, [0, 0], [outputs, -1])
  return {
    down: () => [down()],
    output: (y, [reduced]) => {
      const turned = linear(tf.mul(reduced!, lambdaD) as Tensor2D, up())
      return tf.add(y, tf.mul(turned, lambdaB)) as Tensor2D
    },
    merge: ({ bias, weight }) => {
      const turned = tf.matMul(tf.mul(up(), lambdaD) as Tensor2D, down())
      return { weight: tf.add(weight, tf.mul(tf.reshape(lambdaB, [-1, 1]), turned)), bias }
    }
  }
}

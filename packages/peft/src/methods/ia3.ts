import { type Tensor2D, tf } from "@plumbline/runtime"
import { type AdapterMethod, type LinearAdapter, plainMethod } from "../method.ts"
import { type LinearModule, matcher, type Selection } from "../targets.ts"

export interface Ia3Options {
  /** Ends of names; keys, values and the MLP's last matrix when absent. */
  readonly targets?: Selection["targets"] | undefined
  readonly exclude?: Selection["exclude"]
  /** Those of the targets whose input is scaled in place of their output: ends of names, or a pattern for whole ones. */
  readonly feedforward?: string | ReadonlyArray<string> | undefined
  readonly trainedModules?: ReadonlyArray<string> | undefined
}

const TARGETS = ["k_proj", "v_proj", "down_proj"]

/**
 * One learnt factor for each feature of keys, values and the MLP's inner layer: y = l ⊙ (W·x + b), or W·(l ⊙ x) + b for
 * feedforward layers. Factors start at 1.
 *
 * @see Liu et al. 2022, https://arxiv.org/abs/2205.05638
 */
export const ia3 = ({
  exclude,
  feedforward = ["down_proj"],
  targets = TARGETS,
  trainedModules = []
}: Ia3Options = {}): AdapterMethod => {
  const isNamed = matcher(feedforward)
  const isFeedforward = ({ name }: LinearModule) => isNamed(name)
  return {
    ...plainMethod,
    config: { peft_type: "IA3", feedforward_modules: feedforward, fan_in_fan_out: false, init_ia3_weights: true },
    selection: { targets, exclude },
    trainedModules,
    tensors: (module) => {
      const shape = isFeedforward(module) ? [1, module.inputs] : [module.outputs, 1]
      return [{ suffix: "ia3_l", shape, initial: () => new Float32Array(shape[0]! * shape[1]!).fill(1) }]
    },
    layer: (module, own) => (isFeedforward(module) ? scaledInput : scaledOutput)(own("ia3_l") as Tensor2D)
  }
}

/** @param l [1, I] */
const scaledInput = (l: Tensor2D): LinearAdapter => ({
  input: (x) => tf.mul(x, l),
  down: () => [],
  output: (y) => y,
  merge: ({ bias, weight }) => ({ weight: tf.mul(weight, l), bias })
})

/** @param l [O, 1] */
const scaledOutput = (l: Tensor2D): LinearAdapter => ({
  down: () => [],
  output: (y) => tf.mul(y, tf.reshape(l, [1, -1])),
  merge: ({ bias, weight }) => ({
    weight: tf.mul(weight, l),
    bias: bias === undefined ? undefined : tf.mul(bias, tf.reshape(l, [-1]))
  })
})

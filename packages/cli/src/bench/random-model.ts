import {
  type CausalLM,
  causalLM,
  causalParameters,
  decoderConfig,
  decoderParameters,
  headParameter,
  type ParameterSpec,
  REWARD,
  type ScalarModel,
  scalarModel
} from "@plumbline/models"
import { type Tensor, tf, type Variable } from "@plumbline/runtime"
import { deviceNoise, type Noise } from "./noise.ts"
import type { Shape } from "./shapes.ts"

let models = 0

/** A trainable model of random weights, made where the backend computes. @param length context, tokens */
export const randomModel = (shape: Shape, length: number, seed: number): CausalLM => {
  const config = decoderConfig({ ...shape, maxPositions: length })
  const parameters = randomParameters(causalParameters(config), config.initializerRange, seed)
  const variables = [...parameters.values()]
  return causalLM({ name: "policy", config, parameters, variables, dispose: () => tf.dispose(variables) })
}

/** A reward model of random weights, likewise. */
export const randomRewardModel = (shape: Shape, length: number, seed: number): ScalarModel => {
  const config = decoderConfig({ ...shape, maxPositions: length })
  const head = { attributes: [REWARD], pooling: "last" } as const
  const specs = [...decoderParameters(config), headParameter(config, head)]
  const parameters = randomParameters(specs, config.initializerRange, seed)
  const dispose = () => tf.dispose([...parameters.values()])
  return scalarModel({ name: "reward", config, head, parameters, variables: [], dispose })
}

const randomParameters = (
  specs: ReadonlyArray<ParameterSpec>,
  range: number,
  seed: number
): ReadonlyMap<string, Variable> => {
  const noise = deviceNoise(seed)
  // tfjs registers variables in one process-wide table
  const prefix = `bench#${++models}`
  const parameters = new Map<string, Variable>()
  for (const spec of specs) {
    const values = initialValues(spec, range, noise)
    parameters.set(spec.name, tf.variable(values, true, `${prefix}/${spec.name}`))
    values.dispose()
  }
  noise.dispose()
  return parameters
}

const initialValues = ({ initial, shape }: ParameterSpec, range: number, { normal }: Noise): Tensor => {
  if (initial === "normal") return normal(shape, range)
  return initial === "ones" ? tf.ones([...shape]) : tf.zeros([...shape])
}

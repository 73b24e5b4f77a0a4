import { type CausalLM, causalLM, causalParameters, decoderConfig, type ParameterSpec } from "@plumbline/models"
import { type Tensor, tf, type Variable } from "@plumbline/runtime"
import { deviceNoise, type Noise } from "./noise.ts"
import type { Shape } from "./shapes.ts"

let models = 0

/** A trainable model of random weights, made where the backend computes. @param length context, tokens */
export const randomModel = (shape: Shape, length: number, seed: number): CausalLM => {
  const config = decoderConfig({ ...shape, maxPositions: length })
  const noise = deviceNoise(seed)
  // tfjs registers variables in one process-wide table
  const prefix = `bench#${++models}`
  const parameters = new Map<string, Variable>()
  for (const spec of causalParameters(config)) {
    const values = initialValues(spec, config.initializerRange, noise)
    parameters.set(spec.name, tf.variable(values, true, `${prefix}/${spec.name}`))
    values.dispose()
  }
  noise.dispose()
  const variables = [...parameters.values()]
  return causalLM({ name: "policy", config, parameters, variables, dispose: () => tf.dispose(variables) })
}

const initialValues = ({ initial, shape }: ParameterSpec, range: number, { normal }: Noise): Tensor => {
  if (initial === "normal") return normal(shape, range)
  return initial === "ones" ? tf.ones([...shape]) : tf.zeros([...shape])
}

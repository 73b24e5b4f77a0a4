import {
  type CausalLM,
  causalLM,
  causalParameters,
  decoderConfig,
  decoderParameters,
  HEAD_WEIGHT,
  headParameter,
  narrowMatrix,
  type ParameterSpec,
  quantisedStore,
  REWARD,
  type ScalarModel,
  scalarModel,
  type ShardedModel,
  shardedStore
} from "@plumbline/models"
import { alone, narrowed, type ProcessesShape, type Tensor, tf, type Variable } from "@plumbline/runtime"
import { deviceNoise, type Noise } from "./noise.ts"
import type { Shape } from "./shapes.ts"

let models = 0

/** A model of random weights, made where the backend computes. @param length context, tokens @param processes those that share it */
export const randomModel = (
  shape: Shape,
  length: number,
  seed: number,
  trainable = true,
  processes: ProcessesShape = alone
): CausalLM => {
  const config = decoderConfig({ ...shape, maxPositions: length })
  if (processes.sharding === "full") return randomShards({ name: "policy", config, trainable, processes }, seed)
  const keep: Keep<Tensor> = trainable ? asVariable : frozen
  const parameters = randomParameters(causalParameters(config), config.initializerRange, seed, keep)
  const variables = trainable ? ([...parameters.values()] as Array<Variable>) : []
  return causalLM({
    name: "policy",
    config,
    parameters,
    variables,
    dispose: () => tf.dispose([...parameters.values()])
  })
}

/** Each matrix is divided as soon as it is made. */
const randomShards = (kind: ShardedModel, seed: number): CausalLM => {
  const store = shardedStore(kind)
  const noise = deviceNoise(seed)
  for (const spec of causalParameters(kind.config)) {
    store.add(spec.name, initialValues(spec, kind.config.initializerRange, noise))
  }
  noise.dispose()
  return store.model()
}

/** A reward model of random weights, as one is loaded that nothing trains. */
export const randomRewardModel = (shape: Shape, length: number, seed: number): ScalarModel => {
  const config = decoderConfig({ ...shape, maxPositions: length })
  const head = { attributes: [REWARD], pooling: "last" } as const
  const specs = [...decoderParameters(config), headParameter(config, head)]
  // the head stays wide, as in a loaded one
  const keep: Keep<Tensor> = (values, name) => (name.endsWith(HEAD_WEIGHT) ? tf.clone(values) : frozen(values, name))
  const parameters = randomParameters(specs, config.initializerRange, seed, keep)
  const dispose = () => tf.dispose([...parameters.values()])
  return scalarModel({ name: "reward", config, head, parameters, variables: [], dispose })
}

const randomParameters = (
  specs: ReadonlyArray<ParameterSpec>,
  range: number,
  seed: number,
  keep: Keep<Tensor>
): ReadonlyMap<string, Tensor> => {
  const noise = deviceNoise(seed)
  // tfjs registers variables in one process-wide table
  const prefix = `bench#${++models}`
  const parameters = new Map<string, Tensor>()
  for (const spec of specs) {
    const values = initialValues(spec, range, noise)
    parameters.set(spec.name, keep(values, `${prefix}/${spec.name}`))
    values.dispose()
  }
  noise.dispose()
  return parameters
}

/** How a parameter is kept, beside what was drawn for it. */
type Keep<T extends Tensor> = (values: Tensor, name: string) => T

const asVariable: Keep<Variable> = (values, name) => tf.variable(values, true, name)

/** As a loaded model that nothing trains keeps them. */
const frozen: Keep<Tensor> = (values) => tf.keep(values.rank === 2 ? narrowed(values) : tf.clone(values))

/** A model of random weights whose linear layers are in 4 bits, each packed as soon as it is made. */
export const randomQuantisedModel = (shape: Shape, length: number, seed: number): CausalLM => {
  const config = decoderConfig({ ...shape, maxPositions: length })
  const store = quantisedStore(config, narrowMatrix)
  const noise = deviceNoise(seed)
  for (const spec of causalParameters(config)) {
    store.add(spec.name, initialValues(spec, config.initializerRange, noise))
  }
  noise.dispose()
  const { dispose, parameters, weights } = store
  return causalLM({ name: "policy", config, parameters, variables: [], weights, dispose })
}

const initialValues = ({ initial, shape }: ParameterSpec, range: number, { normal }: Noise): Tensor => {
  if (initial === "normal") return normal(shape, range)
  return initial === "ones" ? tf.ones([...shape]) : tf.zeros([...shape])
}

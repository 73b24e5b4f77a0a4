import { type Tensor, tf, type Variable } from "@plumbline/runtime"

/** The parameters of one model while they are being made, and afterwards. */
export interface ParameterStore {
  readonly parameters: ReadonlyMap<string, Tensor>
  readonly variables: () => ReadonlyArray<Variable>
  /** Takes `tensor` over as the parameter `name`. */
  readonly add: (name: string, tensor: Tensor) => void
  readonly dispose: () => void
}

let stores = 0

/** Trainable parameters are variables; frozen ones plain tensors that no tape watches. */
export const parameterStore = (modelName: string, trainable: boolean): ParameterStore => {
  // tfjs registers variables in one process-wide table, so two models with one name must differ
  const instance = `${modelName}#${++stores}`
  const parameters = new Map<string, Tensor>()
  const variable = (name: string, tensor: Tensor): Variable => {
    const made = tf.variable(tensor, true, `${instance}/${name}`)
    tensor.dispose()
    return made
  }
  return {
    parameters,
    variables: () => (trainable ? ([...parameters.values()] as Array<Variable>) : []),
    add: (name, tensor) => parameters.set(name, trainable ? variable(name, tensor) : tf.keep(tensor)),
    dispose: () => {
      tf.dispose([...parameters.values()])
      parameters.clear()
    }
  }
}

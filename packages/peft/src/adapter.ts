import { type Model, type Prefix, storedTensor, type StoredTensor } from "@plumbline/models"
import { philoxStream, type Tensor, tf, type Variable } from "@plumbline/runtime"
import { AdapterUnfit } from "./errors.ts"
import type { AdapterMethod, AdapterTensor, LinearAdapter } from "./method.ts"
import { type Adaptable, endsIn, selectModules } from "./targets.ts"

/** The tensors of one adapter of one model, and what they do to its linear layers. */
export interface Adapter {
  readonly method: AdapterMethod
  readonly layers: ReadonlyMap<string, LinearAdapter>
  /** Parameters of the model that the adapter has a copy of, by the model's name of them. */
  readonly replaced: ReadonlyMap<string, Tensor>
  /** What it puts before every row. */
  readonly prefix: Prefix | undefined
  /** All it is made of, by name. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** All it is stored as, by name in adapter_model.safetensors. */
  readonly stored: ReadonlyMap<string, StoredTensor>
  /** Those that are trained, with factors on the learning rate. */
  readonly rates: ReadonlyMap<Variable, number>
  readonly dispose: () => void
}

/** An adapter tensor with its whole name, and the parameter it stands in for. */
export interface PlacedTensor extends AdapterTensor {
  readonly name: string
  readonly replaces?: string
}

/** What PEFT puts in front of every module's name: the layers of an adapter that is on none are not wrapped. */
export const modulePrefix = ({ selection }: Pick<AdapterMethod, "selection">): string =>
  selection === undefined ? "base_model." : "base_model.model."

/** Names and shapes of all tensors that the method puts on the model. Throws AdapterUnfit where it cannot. */
export const adapterTensors = (method: AdapterMethod, model: Adaptable): ReadonlyArray<PlacedTensor> => {
  const modules = selectModules(model, method.selection)
  const prefix = modulePrefix(method)
  return [
    ...(method.prefix?.tensors(model) ?? []).map((tensor) => ({ ...tensor, name: tensor.suffix })),
    ...method.shared(modules).map((tensor) => ({ ...tensor, name: `base_model.${tensor.suffix}` })),
    ...modules.flatMap((module) =>
      method.tensors(module).map((tensor) => ({ ...tensor, name: `${prefix}${module.name}.${tensor.suffix}` }))
    ),
    ...replacedParameters(
      method,
      model,
      modules.map(({ name }) => name)
    )
  ]
}

/** Parameters that are trained in full: whole modules, and biases. */
const replacedParameters = (
  method: AdapterMethod,
  model: Adaptable,
  adapted: ReadonlyArray<string>
): ReadonlyArray<PlacedTensor> => {
  const { biases, trainedModules } = method
  for (const end of trainedModules) refuseUntrainable(model, adapted, end)
  const isTrained = (parameter: string) => {
    const [module, part] = split(parameter)
    if (trainedModules.some((end) => endsIn(module, end))) return true
    if (part !== "bias" || biases === "none") return false
    return biases === "all" || adapted.includes(module)
  }
  return [...model.parameters].flatMap(([parameter, { shape }]) => {
    if (!isTrained(parameter)) return []
    const values = () => tf.tidy(() => tf.clone(model.weights.tensor(parameter)).dataSync() as Float32Array)
    const name = `${modulePrefix(method)}${storedName(parameter, adapted)}`
    return { suffix: parameter, name, shape, initial: values, replaces: parameter }
  })
}

/** PEFT wraps an adapted layer, whose own bias is then a part of what is wrapped. */
const storedName = (parameter: string, adapted: ReadonlyArray<string>): string => {
  const [module, part] = split(parameter)
  return part === "bias" && adapted.includes(module) ? `${module}.base_layer.bias` : parameter
}

const split = (parameter: string): readonly [module: string, part: string] => {
  const dot = parameter.lastIndexOf(".")
  return [parameter.slice(0, dot), parameter.slice(dot + 1)]
}

const refuseUntrainable = (model: Adaptable, adapted: ReadonlyArray<string>, end: string): void => {
  const names = [...new Set([...model.parameters.keys()].map((parameter) => split(parameter)[0]))]
  const found = names.filter((name) => endsIn(name, end))
  const unfit = (reason: string) => new AdapterUnfit({ adapter: "modules to train", reason })
  const { embedding, output } = model.config.family.names
  if (found.length === 0) {
    const tied = endsIn(output, end) ? ": its output matrix is the embedding" : ""
    throw unfit(`the model has no module ${end}${tied}`)
  }
  const both = found.find((name) => adapted.includes(name))
  if (both !== undefined) throw unfit(`${both} is adapted, too: a module is trained in one way`)
  if (model.config.tiedEmbeddings && found.includes(embedding)) {
    throw unfit(`${embedding} is also the output matrix of this model, which PEFT would leave behind`)
  }
}

export interface MakeAdapter {
  readonly method: AdapterMethod
  readonly model: Model
  /** Of tfjs's variables. */
  readonly name: string
  readonly trainable: boolean
  /** Values of a tensor, which the adapter takes over. */
  readonly value: (tensor: PlacedTensor) => Tensor
}

let made = 0

/** An adapter on a model. Throws AdapterUnfit where the model has no place for it. */
export const makeAdapter = ({ method, model, name, trainable, value }: MakeAdapter): Adapter => {
  const placed = adapterTensors(method, model)
  const instance = `${name}#adapter${++made}`
  const [tensors, rates] = [new Map<string, Tensor>(), new Map<Variable, number>()]
  for (const tensor of placed) {
    const values = value(tensor)
    if (!trainable || tensor.trained === false) {
      tensors.set(tensor.name, tf.keep(values))
      continue
    }
    // tfjs registers variables in one process-wide table
    const variable = tf.variable(values, true, `${instance}/${tensor.name}`)
    values.dispose()
    tensors.set(tensor.name, variable)
    rates.set(variable, tensor.rate ?? 1)
  }
  const replaced = placed.flatMap(({ name: stored, replaces }) =>
    replaces === undefined ? [] : [[replaces, tensors.get(stored)!] as const]
  )
  return {
    method,
    layers: adaptedLayers(method, model, tensors),
    replaced: new Map(replaced),
    prefix: method.prefix?.made(model.config, (suffix) => tensors.get(suffix)!),
    tensors,
    stored: storedTensors(method, model, tensors),
    rates,
    dispose: () => tf.dispose([...tensors.values()])
  }
}

type Tensors = ReadonlyMap<string, Tensor>

const foundIn = (tensors: Tensors, prefix: string) => (suffix: string) => tensors.get(`${prefix}${suffix}`)!

const adaptedLayers = (method: AdapterMethod, model: Model, tensors: Tensors) =>
  new Map(
    selectModules(model, method.selection).map((module) => {
      const own = foundIn(tensors, `${modulePrefix(method)}${module.name}.`)
      return [module.name, method.layer(module, own, foundIn(tensors, "base_model."))]
    })
  )

const storedTensors = (method: AdapterMethod, model: Model, tensors: Tensors): ReadonlyMap<string, StoredTensor> => {
  const stored = new Map([...tensors].map(([name, tensor]) => [name, storedTensor(tensor)]))
  if (method.stored === undefined) return stored
  for (const module of selectModules(model, method.selection)) {
    const prefix = `${modulePrefix(method)}${module.name}.`
    for (const { suffix } of method.tensors(module)) stored.delete(`${prefix}${suffix}`)
    const made = Object.entries(method.stored(module, foundIn(tensors, prefix)))
    for (const [suffix, tensor] of made) stored.set(`${prefix}${suffix}`, tensor)
  }
  return stored
}

/** Values of a new adapter: each tensor has a random stream of its own name, and one of its module's. */
export const newValues =
  (seed: number) =>
  ({ initial, name, shape, suffix }: PlacedTensor): Tensor =>
    tf.tensor(initial(philoxStream(seed, name), philoxStream(seed, name.slice(0, -suffix.length))), [...shape])

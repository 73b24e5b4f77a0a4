import { decoderParameters, isOfExpert, type Model } from "@plumbline/models"
import type { Tensor1D, Tensor2D } from "@plumbline/runtime"
import { AdapterUnfit } from "./errors.ts"

/** A linear layer of a model. */
export interface LinearModule {
  /** Without `.weight`. */
  readonly name: string
  readonly inputs: number
  readonly outputs: number
  /** Whether it is the head that turns hidden states into logits or scores. */
  readonly isHead: boolean
  /** Its weights as they are now; under `tidy`. */
  readonly weight: () => Tensor2D
  readonly bias: () => Tensor1D | undefined
}

/** What of a model the places of an adapter follow from. */
export type Adaptable = Pick<Model, "config" | "weights"> & {
  readonly parameters: ReadonlyMap<string, { readonly shape: ReadonlyArray<number> }>
}

/** Which linear layers are adapted, as PEFT's configuration says it. */
export interface Selection {
  /** `all-linear` (all but the head), a pattern for whole names, or ends of names. */
  readonly targets: string | ReadonlyArray<string>
  readonly exclude?: string | ReadonlyArray<string> | undefined
  /** Indices of the only blocks that are adapted. */
  readonly layers?: ReadonlyArray<number> | undefined
  /** Of the experts of mixtures the only layers that are adapted, each as `layerOfExperts` names it; those of the targets when absent. */
  readonly experts?: ReadonlySet<string> | undefined
}

export const ALL_LINEAR = "all-linear"

/** Every linear layer of a model, in its order. */
export const linearModules = ({ config, parameters, weights }: Adaptable): ReadonlyArray<LinearModule> => {
  const { embedding } = config.family.names
  // quantised matrices have no tensor of their name
  const inDecoder = decoderParameters(config)
  const known = new Set(inDecoder.map(({ name }) => name))
  const heads = [...parameters].flatMap(([name, { shape }]) => (known.has(name) ? [] : { name, shape }))
  return [...inDecoder, ...heads].flatMap(({ name: parameter, shape }) => {
    const name = parameter.replace(/\.weight$/, "")
    if (name === parameter || shape.length !== 2 || name === embedding) return []
    const bias = `${name}.bias`
    return {
      name,
      outputs: shape[0]!,
      inputs: shape[1]!,
      isHead: !name.startsWith(config.family.names.layer(0).replace(/0$/, "")),
      weight: () => weights.tensor(parameter) as Tensor2D,
      bias: () => (parameters.has(bias) ? (weights.tensor(bias) as Tensor1D) : undefined)
    }
  })
}

/** A pattern of PEFT's, which must match from the first to the last character. Throws AdapterUnfit where it is none. */
export const wholePattern = (pattern: string): RegExp => {
  try {
    return new RegExp(`^(?:${pattern})$`)
  } catch {
    throw new AdapterUnfit({ adapter: "target modules", reason: `"${pattern}" is no regular expression` })
  }
}

/** The same, which an end of a name may match. */
export const endPattern = (pattern: string): RegExp => wholePattern(`(?:.*\\.)?(?:${pattern})`)

/** Throws AdapterUnfit where a pattern is of none of the modules. */
export const refuseUnmatched = (
  modules: ReadonlyArray<Pick<LinearModule, "name">>,
  patterns: ReadonlyArray<string> = []
): void => {
  const stray = patterns.find((pattern) => !modules.some(({ name }) => endPattern(pattern).test(name)))
  if (stray !== undefined) throw unfit(`no layer with an adapter is matched by the pattern "${stray}"`)
}

/** Whether a name is meant by a pattern for whole names, or by ends of names. */
export const matcher = (wanted: string | ReadonlyArray<string>): ((name: string) => boolean) => {
  if (typeof wanted === "string") {
    const pattern = wholePattern(wanted)
    return (name) => pattern.test(name)
  }
  return (name) => wanted.some((end) => endsIn(name, end))
}

/** Whether `end` is the module's name or its last parts. */
export const endsIn = (name: string, end: string): boolean => name === end || name.endsWith(`.${end}`)

/** The module that a parameter is of. */
export const moduleOf = (parameter: string): string => parameter.slice(0, parameter.lastIndexOf("."))

/** The linear layers that a selection names, where there is one. Throws AdapterUnfit where a part of it names none. */
export const selectModules = (model: Adaptable, selection: Selection | undefined): ReadonlyArray<LinearModule> => {
  if (selection === undefined) return []
  const { exclude, experts, layers, targets } = selection
  const modules = linearModules(model)
  refuseUnknown(model, modules, targets)
  const wanted = targets === ALL_LINEAR ? undefined : matcher(targets)
  const unwanted = exclude === undefined || exclude.length === 0 ? () => false : matcher(exclude)
  const selected = modules.filter((module) => {
    if (experts !== undefined && isOfExpert(module.name)) return experts.has(layerOfExperts(module.name))
    const chosen = wanted === undefined ? !module.isHead : wanted(module.name)
    return chosen && !unwanted(module.name) && isInLayers(module, layers)
  })
  if (selected.length === 0)
    throw unfit(`no linear layer of the model is ${described(targets)}; it has ${ends(modules)}`)
  return selected
}

/** A linear layer of all experts of a block: the name of one, or of a tensor of it, without the expert's number. */
export const layerOfExperts = (name: string): string => name.replace(/(\.experts\.)\d+\.([^.]+).*$/, "$1$2")

const isInLayers = ({ name }: LinearModule, layers: ReadonlyArray<number> | undefined): boolean =>
  layers === undefined || layers.some((layer) => name.split(".").includes(String(layer)))

const refuseUnknown = (model: Adaptable, modules: ReadonlyArray<LinearModule>, targets: Selection["targets"]): void => {
  if (typeof targets === "string") return
  if (targets.length === 0) throw unfit("no target module is given")
  const { names } = model.config.family
  const missing = targets.find((end) => !modules.some(({ name }) => endsIn(name, end)))
  if (missing === undefined) return
  if (endsIn(names.embedding, missing)) throw unfit(`${missing} is an embedding: train it in full instead`)
  if (endsIn(names.output, missing))
    throw unfit(`${missing} is the embedding matrix in this model, and no layer of its own`)
  throw unfit(`the model has no linear layer ${missing}; it has ${ends(modules)}`)
}

const described = (targets: Selection["targets"]) =>
  typeof targets === "string" ? `matched by "${targets}"` : `among ${targets.join(", ")}`

const ends = (modules: ReadonlyArray<LinearModule>): string =>
  [...new Set(modules.map(({ name }) => name.split(".").at(-1)!))].join(", ")

const unfit = (reason: string) => new AdapterUnfit({ adapter: "target modules", reason })

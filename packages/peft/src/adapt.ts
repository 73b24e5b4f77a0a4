import type { DecoderConfig, FolderContents, JsonObject, Model, ModelParts, Weights } from "@plumbline/models"
import type { TokenRows } from "@plumbline/data"
import { isDifferentiating, type Tensor, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import { adaptedExperts, plainExperts } from "./adapted-experts.ts"
import { adaptedWeights, replacedWeights } from "./adapted-weights.ts"
import { type Adapter, makeAdapter, newValues } from "./adapter.ts"
import { architectureOf } from "./file/check-base.ts"
import { rowDropout } from "./dropout.ts"
import type { AdapterMethod } from "./method.ts"
import { endsIn, moduleOf, refuseUnmatched, type Selection, selectModules } from "./targets.ts"

export const CONFIG_FILE = "adapter_config.json"
export const WEIGHTS_FILE = "adapter_model.safetensors"

/** A model with an adapter, and what it is made of. */
export interface Adapted<M extends Model> {
  readonly model: M
  readonly base: M
  readonly adapter: Adapter
}

export interface AdaptOptions {
  /** The base's name when absent. */
  readonly name?: string
  /** Folder of the base, for adapter_config.json. */
  readonly baseFolder?: string | undefined
  /** Further fields of adapter_config.json. */
  readonly configFields?: JsonObject
  /** Whether the adapter gives what the base gives. */
  readonly isNeutral?: boolean
}

/**
 * A model with an adapter over a base that stays as it is and whose parameters it shares. The adapter's tensors are
 * the model's only variables, and all that a folder of it holds; the base is the caller's to dispose of. Algorithms
 * need not know: it is a model of the base's kind.
 */
export const adapt = <M extends Model>(base: M, adapter: Adapter, options: AdaptOptions = {}): Adapted<M> => {
  const { isNeutral = false, name = base.name } = options
  const parameters = new Map<string, Tensor>([...base.parameters, ...adapter.replaced])
  const replaced = new Set(adapter.replaced.values())
  for (const [stored, tensor] of adapter.tensors) if (!replaced.has(tensor)) parameters.set(stored, tensor)
  const parts: ModelParts = {
    name,
    ...(adapter.prefix === undefined ? {} : { prefix: adapter.prefix }),
    parameters,
    variables: [...adapter.rates.keys()],
    weights: weightsOf(base, adapter, () => model.version.current()),
    contents: contentsOf(adapter, base, options),
    rateOf: (variable) => adapter.rates.get(variable) ?? 1,
    // a neutral one that has not been trained is the base
    copy: (copied, trainable) =>
      isNeutral && !trainable && model.version.current() === 0
        ? withoutAdapter(base, copied)
        : adapt(base, copyOf(adapter, base, copied, trainable), { ...options, name: copied, isNeutral: false }).model,
    bare: (bare) => withoutAdapter(base, bare),
    dispose: adapter.dispose
  }
  const model = base.rebuilt(parts) as M
  return { model, base, adapter }
}

/** A new adapter on a model. Throws AdapterUnfit where the model has no place for it. */
export const adaptNew = <M extends Model>(
  base: M,
  method: AdapterMethod,
  seed: number,
  options: AdaptOptions = {}
): Adapted<M> => {
  const { name = base.name } = options
  refuseUnmatched(selectModules(base, method.selection), method.patterns)
  const adapter = makeAdapter({ method, model: base, name, trainable: true, value: newValues(seed) })
  return adapt(base, adapter, { ...options, isNeutral: method.startsNeutral })
}

/** The same parameters under another name; they stay whose they are. */
const withoutAdapter = (base: Model, name: string): Model =>
  base.rebuilt({
    name,
    parameters: base.parameters,
    variables: [],
    weights: base.weights,
    version: base.version,
    dispose: () => undefined
  })

const copyOf = ({ method, tensors }: Adapter, model: Model, name: string, trainable: boolean): Adapter =>
  makeAdapter({ method, model, name, trainable, value: (tensor) => tf.clone(tensors.get(tensor.name)!) })

const weightsOf = (base: Model, { layers, method, rates, replaced }: Adapter, step: () => number): Weights => {
  const has = (name: string) => base.parameters.has(name)
  const plain = replacedWeights(base.weights, replaced, has)
  const biasOf = (name: string) => (has(`${name}.bias`) ? (plain.tensor(`${name}.bias`) as Tensor1D) : undefined)
  const baseOf = (name: string) => ({ weight: plain.tensor(`${name}.weight`) as Tensor2D, bias: biasOf(name) })
  const { dropout } = method
  // of a product of all experts nothing can be left out by token
  const drops = dropout > 0 && rates.size > 0
  // found once: where inputs are dropped, weights are made for each pass and for the tokens of each expert
  const grouped = drops ? plainExperts(plain, layers.keys()) : adaptedExperts(plain, layers, expertsOf(base))
  const adapted = { layers, base: baseOf, grouped }
  const weights = adaptedWeights(plain, adapted, undefined)
  if (dropout === 0) return weights
  const dropping = (rows: TokenRows) => adaptedWeights(plain, adapted, rowDropout(dropout, step(), rows))
  return { ...weights, forRows: (rows) => (isDifferentiating() ? dropping(rows) : weights) }
}

/** Of each of its mixtures. */
const expertsOf = ({ config }: Model): number =>
  config.mlps.reduce((most, { mixture }) => Math.max(most, mixture?.experts ?? 0), 0)

const contentsOf = (
  adapter: Adapter,
  { config, parameters }: Model,
  { baseFolder, configFields }: AdaptOptions
): FolderContents => ({
  json: {
    [CONFIG_FILE]: {
      ...adapter.method.config,
      ...adapter.method.prefix?.fields(config),
      ...selectionConfig(adapter.method, [...parameters.keys()].map(moduleOf)),
      auto_mapping: { base_model_class: architectureOf(config), parent_library: libraryOf(config) },
      task_type: TASKS.find(([ending]) => architectureOf(config).endsWith(ending))?.[1] ?? null,
      base_model_name_or_path: baseFolder ?? null,
      inference_mode: true,
      ...configFields
    }
  },
  weightsFile: WEIGHTS_FILE,
  tensors: adapter.stored
})

/** PEFT's names of tasks by the end of transformers' class. */
const TASKS = [
  ["ForCausalLM", "CAUSAL_LM"],
  ["ForSequenceClassification", "SEQ_CLS"]
] as const

/** transformers' module of the class. */
const libraryOf = ({ family: { modelType } }: DecoderConfig): string =>
  `transformers.models.${modelType}.modeling_${modelType}`

/** @param names of the model's modules */
const selectionConfig = ({ selection, trainedModules }: AdapterMethod, names: ReadonlyArray<string>): JsonObject => ({
  ...(selection === undefined ? {} : targetFields(selection)),
  // PEFT's configurations of kinds without layers have no such field unless it is needed
  ...(selection === undefined && trainedModules.length === 0
    ? {}
    : { modules_to_save: trainedModules.length === 0 ? null : trainedModules.flatMap((end) => inLetters(end, names)) })
})

/**
 * PEFT trains every module whose name ends in the letters of one to save, as `input_layernorm` does in those of `norm`: where
 * that is more than is trained here, whole names are written.
 */
const inLetters = (end: string, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const meant = [...new Set(names.filter((name) => endsIn(name, end)))]
  return names.every((name) => endsIn(name, end) || !name.endsWith(end)) ? [end] : meant
}

const targetFields = ({ exclude, layers, targets }: Selection): JsonObject => ({
  target_modules: targets,
  ...(exclude === undefined ? {} : { exclude_modules: exclude }),
  ...(layers === undefined ? {} : { layers_to_transform: layers })
})

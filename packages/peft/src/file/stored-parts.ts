import { isOfExpert, type Model } from "@plumbline/models"
import { type Tensor, tf } from "@plumbline/runtime"
import { modulePrefix } from "../adapter.ts"
import type { AdapterMethod } from "../method.ts"
import { endsIn, layerOfExperts, moduleOf } from "../targets.ts"

type Tensors = ReadonlyMap<string, Tensor>

/**
 * The method on the parts of the model that a file has tensors of, where `adapter_config.json` says that in another way than
 * targets do here: experts that transformers 5 holds in one tensor are no linear layers, so PEFT's targets pass them by and
 * its layers and exclusions do not apply to them; and its modules to save are all whose names end in these letters, so `norm`
 * is `input_layernorm`, too.
 */
export const asStored = (method: AdapterMethod, { parameters }: Model, stored: Tensors): AdapterMethod => {
  const prefix = modulePrefix(method)
  const ofExperts = [...stored.keys()].filter(isOfExpert).map((name) => layerOfExperts(name.slice(prefix.length)))
  const trained = [...parameters.keys()].filter((name) => stored.has(`${prefix}${name}`)).map(moduleOf)
  const further = trained.filter((module) =>
    method.trainedModules.some((end) => module.endsWith(end) && !endsIn(module, end))
  )
  return {
    ...method,
    ...(method.selection && { selection: { ...method.selection, experts: new Set(ofExperts) } }),
    trainedModules: [...new Set([...method.trainedModules, ...further])]
  }
}

/** bfloat16 keeps 8 bits of a value. */
const WITHIN = 2 ** -8

/**
 * Takes away the matrices of the model that PEFT writes beside an adapter on them, as it does with an adapter on the head.
 * A file that has other values in them, of a base that was trained further, keeps them: no adapter says that.
 */
export const withoutCopies = (method: AdapterMethod, { parameters, weights }: Model, stored: Tensors): Tensors => {
  const prefix = modulePrefix(method)
  const isTrained = (name: string) => method.trainedModules.some((end) => endsIn(moduleOf(name), end))
  const isCopy = (name: string, tensor: Tensor): boolean => {
    const parameter = name.slice(prefix.length).replace(/\.base_layer\.weight$/, ".weight")
    const own = parameters.get(parameter)
    if (!name.startsWith(prefix) || own?.shape.join() !== tensor.shape.join() || own.shape.length !== 2) return false
    return !isTrained(parameter) && isAlike(tensor, weights.tensor(parameter))
  }
  const copies = new Set(
    [...stored].filter(([name, tensor]) => tf.tidy(() => isCopy(name, tensor))).map(([name]) => name)
  )
  tf.dispose([...copies].map((name) => stored.get(name)!))
  return new Map([...stored].filter(([name]) => !copies.has(name)))
}

const isAlike = (a: Tensor, b: Tensor): boolean => {
  const [found, own] = [a.dataSync(), b.dataSync()]
  return found.every((value, i) => Math.abs(value - own[i]!) <= WITHIN * Math.abs(value))
}

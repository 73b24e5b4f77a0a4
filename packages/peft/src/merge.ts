import type { Model } from "@plumbline/models"
import { type Tensor, tf } from "@plumbline/runtime"
import type { Adapted } from "./adapt.ts"
import { AdapterUnfit } from "./errors.ts"

/**
 * A frozen model without an adapter that computes what the adapted one does. Weights that no adapter changes are shared
 * with the base, which stays as it is and is the caller's: going back is to use it again. Throws AdapterUnfit for a base
 * in 4 bits, and for virtual tokens.
 */
export const merged = <M extends Model>({ adapter, base, model }: Adapted<M>): M => {
  if (adapter.prefix !== undefined) {
    const reason = "virtual tokens stand before every row, and no weights say what they do: use it as an adapter"
    throw new AdapterUnfit({ adapter: "merge", reason })
  }
  const hidden = [...adapter.layers.keys()].find((name) => !base.parameters.has(`${name}.weight`))
  if (hidden !== undefined) {
    const reason = `${hidden} is in 4 bits, which have no room for it: merge into the model as it is stored`
    throw new AdapterUnfit({ adapter: "merge", reason })
  }
  const own = new Map<string, Tensor>()
  tf.tidy(() => {
    for (const [name, tensor] of adapter.replaced) own.set(name, tf.clone(tensor))
    for (const [name, layer] of adapter.layers) {
      const parameter = (part: string) => own.get(`${name}.${part}`) ?? base.parameters.get(`${name}.${part}`)
      const made = layer.merge({
        weight: base.weights.tensor(`${name}.weight`) as never,
        bias: parameter("bias") as never
      })
      own.set(`${name}.weight`, tf.clone(made.weight))
      if (made.bias !== undefined) own.set(`${name}.bias`, tf.clone(made.bias))
    }
    return [...own.values()]
  })
  for (const tensor of own.values()) tf.keep(tensor)
  const parameters = new Map([...base.parameters].map(([name, tensor]) => [name, own.get(name) ?? tensor]))
  return base.rebuilt({
    name: model.name,
    parameters,
    variables: [],
    dispose: () => tf.dispose([...own.values()])
  }) as M
}

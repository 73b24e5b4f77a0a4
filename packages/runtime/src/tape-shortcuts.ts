import { tf, type Tensor } from "./tf.ts"

/** What we use of tfjs's engine. */
interface Engine {
  clone: (x: Tensor) => Tensor
  readonly makeTensorFromTensorInfo: (x: Tensor) => Tensor
  readonly backend: { readonly incRef: (dataId: object) => void }
  readonly state: {
    readonly gradientDepth: number
    readonly kernelDepth: number
    readonly tensorInfo: WeakMap<object, { readonly backend: unknown }>
  }
}

const patched = new WeakSet<object>()

/**
 * Takes a detour out of tfjs's tape: what an operation saves for its gradient is cloned by an operation of its own, taped
 * as well; here it is one more reference to the same values. Inside another tape, where gradients of gradients may be
 * asked for, all is as it was. For backends whose tensors share values by counting references.
 */
export const shortenTape = (): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  const { clone } = engine
  engine.clone = (x) => {
    const { gradientDepth, kernelDepth, tensorInfo } = engine.state
    const plain = gradientDepth === 1 && kernelDepth > 0 && tensorInfo.get(x.dataId)?.backend === engine.backend
    if (!plain) return clone.call(engine, x)
    engine.backend.incRef(x.dataId)
    return engine.makeTensorFromTensorInfo(x)
  }
}

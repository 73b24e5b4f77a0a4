import { tf, type Tensor } from "./tf.ts"

/** What we use of tfjs's engine. */
interface Engine {
  gradients: (...args: ReadonlyArray<unknown>) => unknown
  keep: (tensor: Tensor) => Tensor
  readonly state: { activeTape: unknown }
}

const patched = new WeakSet<object>()

/**
 * Has tfjs free what it kept for a backward pass when the pass, or the forward pass before it, throws: values that the
 * tape saved are outside every tidy, and would stay for good. A step that ran out of memory can then be tried again.
 */
export const freeTapeOfFailures = (): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  const { gradients, keep } = engine
  let kept: Array<Tensor> | undefined
  engine.keep = (tensor) => {
    kept?.push(tensor)
    return keep.call(engine, tensor)
  }
  engine.gradients = (...args) => {
    if (kept !== undefined) return gradients.apply(engine, args as Array<unknown>)
    kept = []
    try {
      return gradients.apply(engine, args as Array<unknown>)
    } catch (cause) {
      tf.dispose(kept)
      engine.state.activeTape = null
      throw cause
    } finally {
      kept = undefined
    }
  }
}

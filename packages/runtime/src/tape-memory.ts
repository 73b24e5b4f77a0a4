import { tf, type Tensor } from "./tf.ts"

type Thunks = Record<string, () => Tensor>

interface TapeNode {
  readonly outputs: ReadonlyArray<Tensor>
  readonly saved: ReadonlyArray<Tensor> | undefined
  gradient?: (dys: ReadonlyArray<Tensor | null>) => Thunks
}

/** What we use of tfjs's engine. */
interface Engine {
  gradients: (f: () => Tensor, xs: ReadonlyArray<Tensor>, dy?: Tensor, allowNoGradients?: boolean) => unknown
  readonly state: { readonly gradientDepth: number; readonly activeTape: ReadonlyArray<TapeNode> | null }
}

const patched = new WeakSet<object>()

/**
 * Has tfjs free what a node of the tape saved, and the gradients of its outputs, as soon as the backward pass is past
 * it. tfjs itself keeps all of them until the pass ends, which about doubles a training step's memory.
 */
export const freeTapeWhileWalked = (): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  const original = engine.gradients.bind(engine)
  engine.gradients = (f, xs, dy, allowNoGradients) =>
    original(
      () => {
        const y = f()
        // inside another tape the nodes may be walked again, for gradients of gradients
        if (engine.state.gradientDepth === 1) freeBehind(engine.state.activeTape ?? [], dy)
        return y
      },
      xs,
      dy,
      allowNoGradients
    )
}

/** Each node's gradient function first frees what the node walked before it held. */
const freeBehind = (tape: ReadonlyArray<TapeNode>, given: Tensor | undefined): void => {
  let free = (): void => undefined
  for (const node of tape) {
    const { gradient } = node
    if (gradient === undefined) continue
    node.gradient = (asked) => {
      free()
      // tfjs makes the zeros of outputs that nothing used on the host
      const dys = asked.map((dy, i) => dy ?? (tf.fill(node.outputs[i]!.shape, 0) as Tensor))
      const passedOn = new Set<Tensor>()
      free = () => {
        tf.dispose(dys.filter((dy) => dy !== given && !passedOn.has(dy)))
        tf.dispose([...(node.saved ?? [])])
      }
      return remembering(gradient(dys), passedOn)
    }
  }
}

/** A gradient function may return the gradient it was given; that one lives on. */
const remembering = (thunks: Thunks, returned: Set<Tensor>): Thunks =>
  Object.fromEntries(
    Object.entries(thunks).map(([name, thunk]) => [
      name,
      () => {
        const gradient = thunk()
        returned.add(gradient)
        return gradient
      }
    ])
  )

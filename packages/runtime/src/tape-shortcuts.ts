import { tf, type Tensor } from "./tf.ts"

interface TapeNode {
  readonly outputs: ReadonlyArray<Tensor>
  inputs: Record<string, Tensor>
}

/** What we use of tfjs's engine. */
interface Engine {
  clone: (x: Tensor) => Tensor
  gradients: (f: () => Tensor, xs: ReadonlyArray<Tensor>, dy?: Tensor, allowNoGradients?: boolean) => unknown
  readonly makeTensorFromTensorInfo: (x: Tensor) => Tensor
  readonly backend: { readonly incRef: (dataId: object) => void }
  readonly state: {
    readonly gradientDepth: number
    readonly kernelDepth: number
    readonly activeTape: ReadonlyArray<TapeNode> | null
    readonly tensorInfo: WeakMap<object, { readonly backend: unknown }>
  }
}

const patched = new WeakSet<object>()

/**
 * Takes two detours out of tfjs's tape. What an operation saves for its gradient is cloned by an operation of its own,
 * taped as well: here it is one more reference to the same values. And for each input that no asked-for variable leads
 * to, tfjs looks at every variable: here the tape is rid of such inputs first. Inside another tape, where gradients of
 * gradients may be asked for, all is as it was. For backends whose tensors share values by counting references.
 */
export const shortenTape = (): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  const { clone, gradients } = engine
  engine.clone = (x) => {
    const { gradientDepth, kernelDepth, tensorInfo } = engine.state
    const plain = gradientDepth === 1 && kernelDepth > 0 && tensorInfo.get(x.dataId)?.backend === engine.backend
    if (!plain) return clone.call(engine, x)
    engine.backend.incRef(x.dataId)
    return engine.makeTensorFromTensorInfo(x)
  }
  engine.gradients = (f, xs, dy, allowNoGradients) => {
    const taped = () => {
      const y = f()
      if (engine.state.gradientDepth === 1) dropInputs(engine.state.activeTape ?? [], xs)
      return y
    }
    return gradients.call(engine, taped, xs, dy, allowNoGradients)
  }
}

/** Leaves each node the inputs that one of `xs` leads to. */
const dropInputs = (tape: ReadonlyArray<TapeNode>, xs: ReadonlyArray<Tensor>): void => {
  const reached = new Set(xs.map(({ id }) => id))
  for (const node of tape) {
    const inputs = Object.entries(node.inputs).filter(([, { id }]) => reached.has(id))
    node.inputs = Object.fromEntries(inputs)
    if (inputs.length > 0) for (const { id } of node.outputs) reached.add(id)
  }
}

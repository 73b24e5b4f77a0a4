import { tf, type Tensor, type Variable } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"
import { detached } from "./detached.ts"

interface KernelCall {
  readonly inputs: Readonly<Record<string, Tensor | null | undefined>>
}

/** What we use of tfjs's engine. */
interface Engine {
  runKernelFunc: (call: KernelCall) => unknown
  readonly gradients: (
    f: () => Tensor,
    xs: ReadonlyArray<Tensor>,
    dy: Tensor,
    allowNoGradients: boolean
  ) => { readonly grads: ReadonlyArray<Tensor | null | undefined> }
  readonly state: { activeTape: unknown }
}

const engineOf = () => tf.engine() as unknown as Engine

/**
 * `body(x, ...constants)`, of which the tape keeps those tensors and nothing made on the way: the backward pass runs
 * `body` again and differentiates it then. Gradients flow to `x` and to every trainable variable that `body` reads,
 * none to the constants, and are those of `body` itself, bit for bit where kernels are deterministic.
 *
 * @param body synchronous, and the same function of its arguments and of the variables at both times
 * @see Chen et al. 2016, https://arxiv.org/abs/1604.06174
 */
export const recomputed = <X extends Tensor, C extends ReadonlyArray<Tensor>, Y extends Tensor>(
  body: (x: X, ...constants: C) => Y,
  x: X,
  ...constants: C
): Y =>
  tf.tidy(() => {
    if (!tf.engine().isTapeOn()) return body(x, ...constants)
    const { value, variables } = untaped(() => body(x, ...constants))
    return customGradient([x, ...variables], (_, save) => {
      save([x, ...constants])
      return {
        // a tensor of its own on the tape, even where the body returns what it was given
        value: tf.clone(value),
        gradFunc: (dy, saved) => {
          const [again, ...kept] = saved as unknown as [X, ...C]
          return gradientsOf(() => body(again, ...(kept as unknown as C)), [again, ...variables], dy)
        }
      }
    }) as Y
  })

/** Runs `body` with the tape off, and notes the trainable variables that its kernels read. */
const untaped = <Y extends Tensor>(body: () => Y) => {
  const engine = engineOf()
  const variables = new Set<Variable>()
  const before = Object.getOwnPropertyDescriptor(engine, "runKernelFunc")
  const { runKernelFunc } = engine
  engine.runKernelFunc = (call) => {
    for (const input of Object.values(call.inputs)) {
      if (input instanceof tf.Variable && input.trainable) variables.add(input)
    }
    return runKernelFunc.call(engine, call)
  }
  try {
    const value = detached(body)
    return { value, variables: [...variables] }
  } finally {
    if (before === undefined) Reflect.deleteProperty(engine, "runKernelFunc")
    else Object.defineProperty(engine, "runKernelFunc", before)
  }
}

/** Gradients under a tape of their own; what `body` does not depend on gets zeros. */
const gradientsOf = (body: () => Tensor, xs: ReadonlyArray<Tensor>, dy: Tensor): Array<Tensor> => {
  const { gradients, state } = engineOf()
  // tfjs ends its outermost tape by clearing this, although the pass that called us still walks the one before
  const outer = state.activeTape
  try {
    const grads = tf.tidy(() => gradients.call(tf.engine(), body, xs, dy, true).grads as Array<Tensor>)
    return xs.map((x, i) => (grads[i] as Tensor | null | undefined) ?? tf.zerosLike(x))
  } finally {
    state.activeTape = outer
  }
}

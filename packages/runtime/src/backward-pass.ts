import { sameAs } from "./kernels/plain-ops.ts"
import { scoped, type ScopedEngine } from "./tape-scope.ts"
import { type Scalar, tf, type Tensor, type Variable } from "./tf.ts"

/** Makes the gradient of an input. */
interface Thunk {
  (): Tensor
  /** The sum of the gradient and what others gave this input, in whose memory it may lie where nothing shares that. */
  readonly addedTo?: (sum: Tensor) => Tensor
}

type Thunks = Readonly<Record<string, Thunk>>

/** A gradient that can be added to others of its input as it is made. */
export const addable = (make: () => Tensor, addedTo: (sum: Tensor) => Tensor): (() => Tensor) => {
  const thunk: { (): Tensor; addedTo?: (sum: Tensor) => Tensor } = () => make()
  thunk.addedTo = addedTo
  return thunk
}

/** An operation that the tape recorded. */
interface TapeNode {
  readonly kernelName: string
  readonly inputs: Readonly<Record<string, Tensor | null | undefined>>
  readonly outputs: ReadonlyArray<Tensor>
  readonly saved: ReadonlyArray<Tensor>
  readonly gradient?: (dys: ReadonlyArray<Tensor | undefined>) => Thunks
  /** Its inputs, where these are known to be those alone that the asked-for tensors lead to; see `followVariables`. */
  readonly names?: ReadonlyArray<string>
  /** Whether its gradient reads what reaches each output; all when absent. */
  readonly reads?: ReadonlyArray<boolean> | undefined
}

type Gradients = (
  f: () => Tensor,
  xs: ReadonlyArray<Tensor>,
  dy?: Tensor | null,
  allowNoGradients?: boolean
) => { readonly value: Tensor; readonly grads: ReadonlyArray<Tensor | undefined> }

/** What we use of tfjs's engine. */
interface Engine extends ScopedEngine {
  gradients: Gradients
  readonly startTape: () => void
  readonly endTape: () => void
  readonly state: ScopedEngine["state"] & { readonly gradientDepth: number; activeTape: ReadonlyArray<TapeNode> | null }
}

/** A node through which a gradient passes, and its inputs that one of the asked-for tensors leads to. */
interface Step {
  readonly node: TapeNode
  readonly names: ReadonlyArray<string>
}

/** Is given each gradient as soon as it is complete. It owns them. */
export type TakeGradient = (x: Tensor, gradient: Tensor) => void

/** For the pass that begins next. */
let nextTaker: TakeGradient | undefined

/**
 * The gradients of f by variables, each handed over as soon as it is complete, while the backward pass goes on: the whole
 * need not exist at one time. In the order of that pass, so that it depends on f; none of a variable that f does not reach.
 *
 * @param f    under the tape; one number
 * @param take is given tensors of its own; what it makes and is to last, it keeps
 * @returns    the value of f
 */
export const takeGradients = (f: () => Scalar, variables: ReadonlyArray<Variable>, take: TakeGradient): Scalar => {
  const engine = tf.engine() as unknown as Engine
  nextTaker = take
  try {
    return engine.gradients(f, variables, null, true).value as Scalar
  } finally {
    nextTaker = undefined
  }
}

const patched = new WeakSet<object>()

/**
 * Has tfjs walk its tape as we do. Its own walk looks at every variable for every input, runs each gradient in a tidy of
 * its own, and keeps all that was saved, and all gradients, until it ends, which about doubles a training step's memory:
 * ours frees what a node saved, and the gradients of its outputs, as soon as it is past. Inside another tape, where
 * gradients of gradients may be asked for, all is as it was.
 */
export const replaceBackwardPass = (): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  const { gradients } = engine
  engine.gradients = (f, xs, dy, allowNoGradients = false) => {
    if (engine.state.gradientDepth > 0) return gradients.call(engine, f, xs, dy, allowNoGradients)
    const take = nextTaker
    nextTaker = undefined
    const y = taped(engine, f)
    const tape = engine.state.activeTape ?? []
    const steps = stepsBetween(tape, xs, y)
    if (!allowNoGradients && steps.length === 0) {
      throw new Error("Cannot compute gradient of y=f(x) with respect to x: nothing leads from x to y.")
    }
    const grads = tf.tidy(() => walk(engine, steps, xs, y, dy, take) as Array<Tensor>)
    engine.state.activeTape = null
    return { value: y, grads }
  }
}

const taped = (engine: Engine, f: () => Tensor): Tensor => {
  engine.startTape()
  try {
    return tf.tidy(f)
  } finally {
    engine.endTape()
  }
}

/** The nodes between `xs` and `y`, in the order of the tape. */
const stepsBetween = (tape: ReadonlyArray<TapeNode>, xs: ReadonlyArray<Tensor>, y: Tensor): ReadonlyArray<Step> => {
  const below = new Set(xs.map(({ id }) => id))
  const candidates: Array<Step> = []
  for (const node of tape) {
    const names = node.names ?? Object.keys(node.inputs).filter((name) => isIn(below, node.inputs[name]))
    if (names.length === 0) continue
    candidates.push({ node, names })
    for (const { id } of node.outputs) below.add(id)
  }
  const above = new Set([y.id])
  const steps: Array<Step> = []
  for (const step of candidates.toReversed()) {
    if (!step.node.outputs.some(({ id }) => above.has(id))) continue
    steps.push(step)
    for (const name of step.names) above.add(step.node.inputs[name]!.id)
  }
  return steps.toReversed()
}

const isIn = (ids: ReadonlySet<number>, tensor: Tensor | null | undefined): boolean =>
  tensor != null && ids.has(tensor.id)

/** Gradients of y, by the tensor's id, each owned by its entry. */
type Slopes = Map<number, Tensor>

const walk = (
  engine: Engine,
  steps: ReadonlyArray<Step>,
  xs: ReadonlyArray<Tensor>,
  y: Tensor,
  given: Tensor | null | undefined,
  take: TakeGradient | undefined
): ReadonlyArray<Tensor | undefined> => {
  freeBesides(engine.state.activeTape ?? [], steps)
  // a copy of the caller's own, which we must not free
  const slopes: Slopes = new Map([[y.id, given == null ? tf.ones(y.shape) : tf.clone(given)]])
  const complete = take === undefined ? [] : completeAfter(steps, xs)
  for (let i = steps.length - 1; i >= 0; i--) {
    passBack(engine, steps[i]!, slopes)
    for (const x of complete[i] ?? []) {
      const slope = slopes.get(x.id)!
      slopes.delete(x.id)
      take!(x, slope)
    }
  }
  return xs.map(({ id }) => slopes.get(id))
}

/** Frees what nodes hold that no gradient passes through. */
const freeBesides = (tape: ReadonlyArray<TapeNode>, steps: ReadonlyArray<Step>): void => {
  if (steps.length === tape.length) return
  const passed = new Set(steps.map(({ node }) => node))
  for (const node of tape) if (!passed.has(node)) for (const held of node.saved) held.dispose()
}

/** Those whose gradient is complete once the walk has passed a step, by the step. */
const completeAfter = (steps: ReadonlyArray<Step>, xs: ReadonlyArray<Tensor>): ReadonlyArray<ReadonlyArray<Tensor>> => {
  const waiting = new Map(xs.map((x) => [x.id, x]))
  return steps.map(({ names, node }) =>
    names.flatMap((name) => {
      const { id } = node.inputs[name]!
      const x = waiting.get(id)
      waiting.delete(id)
      return x ?? []
    })
  )
}

/** Moves the gradients of a node's outputs to its inputs, and frees what the node held. */
const passBack = (engine: Engine, { names, node }: Step, slopes: Slopes): void => {
  const { outputs, reads } = node
  const dys: Array<Tensor | undefined> = []
  for (let i = 0; i < outputs.length; i++) {
    const { id, shape } = outputs[i]!
    const dy = slopes.get(id)
    if (dy !== undefined) slopes.delete(id)
    dys.push(dy ?? (reads?.[i] === false ? undefined : tf.fill(shape, 0)))
  }
  const added: Array<Tensor> = []
  const taken = (name: string): Tensor | undefined => {
    const { id } = node.inputs[name]!
    const sum = slopes.get(id)
    if (sum !== undefined) added.push(sum)
    slopes.delete(id)
    return sum
  }
  const results = scoped(engine, () => resultsOf(node, names, dys, taken))
  freeUnless(results, dys)
  freeUnless(results, node.saved)
  freeUnless(results, added)
  for (let i = 0; i < names.length; i++) {
    const [name, result] = [names[i]!, results[i]!]
    check(node, name, result)
    // one tensor as the gradient of two inputs is to be freed twice
    add(slopes, node.inputs[name]!.id, results.indexOf(result) < i ? sameAs(result) : result)
  }
}

const freeUnless = (results: ReadonlyArray<Tensor>, tensors: ReadonlyArray<Tensor | undefined>): void => {
  for (const tensor of tensors) if (tensor !== undefined && !results.includes(tensor)) tensor.dispose()
}

/** Gradients of a node's inputs. @param taken gives what an input has been given so far, which then is in the result */
const resultsOf = (
  node: TapeNode,
  names: ReadonlyArray<string>,
  dys: ReadonlyArray<Tensor | undefined>,
  taken: (name: string) => Tensor | undefined
): ReadonlyArray<Tensor> => {
  const { gradient, kernelName } = node
  if (gradient === undefined) {
    throw new Error(`Cannot compute gradient: gradient function not found for ${kernelName}.`)
  }
  const thunks = gradient(dys)
  return names.map((name) => {
    const thunk = thunks[name]
    const sum = thunk?.addedTo === undefined ? undefined : taken(name)
    if (sum !== undefined) return thunk!.addedTo!(sum)
    if (thunk !== undefined) return thunk()
    throw new Error(
      `Cannot backprop through input ${name} of ${kernelName}. Available gradients found: ${Object.keys(thunks)}.`
    )
  })
}

const check = ({ inputs, kernelName }: TapeNode, name: string, { dtype, shape }: Tensor): void => {
  const wanted = inputs[name]!.shape
  if (dtype === "float32" && tf.util.arraysEqual(shape, wanted)) return
  throw new Error(
    `Error in gradient for op ${kernelName}: that of input ${name} has shape [${shape}] and dtype ${dtype}, the input shape [${wanted}]; gradients are float32`
  )
}

const add = (slopes: Slopes, id: number, slope: Tensor): void => {
  const before = slopes.get(id)
  if (before === undefined) {
    slopes.set(id, slope)
    return
  }
  slopes.set(id, tf.add(before, slope))
  tf.dispose([before, slope])
}

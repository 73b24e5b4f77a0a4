import { tf, type Tensor } from "./tf.ts"

type Inputs = Readonly<Record<string, Tensor>>

/** What the tape keeps of one kind of operation. */
export interface TapeRule {
  /** Whether a gradient that is asked for reads the values of a saved input. @param asked inputs by name */
  readonly reads: (saved: string, asked: ReadonlySet<string>) => boolean
  /** The same of a saved output, by its place; all are read when absent. */
  readonly readsOutput?: (output: number, asked: ReadonlySet<string>) => boolean
  /** Whether the gradient function is told which gradients are asked for, by an attribute `asked`; see `isAsked`. */
  readonly isTold?: boolean
}

/** Whether the gradient of this input is asked for, where the tape can tell. */
export const isAsked = ({ asked }: Record<string, unknown>, input: string): boolean =>
  asked === undefined || (asked as ReadonlySet<string>).has(input)

/** What we use of tfjs's engine. */
interface Engine {
  addTapeNode: (kernel: string, inputs: Inputs, outputs: ReadonlyArray<Tensor>, ...rest: NodeRest) => void
  getTensorsForGradient: (kernel: string, inputs: Inputs, outputs: ReadonlyArray<Tensor>) => Array<Tensor>
  gradients: (f: () => Tensor, xs: ReadonlyArray<Tensor>, dy?: Tensor, allowNoGradients?: boolean) => unknown
  readonly keep: (tensor: Tensor) => Tensor
  readonly nextTensorId: () => number
  saveTensorsForBackwardMode: (tensors: ReadonlyArray<Tensor>) => Array<Tensor>
  readonly state: {
    readonly activeTape: Array<FollowedNode> | null
    nextTapeNodeId: number
    readonly gradientDepth: number
    readonly tensorInfo: WeakMap<object, unknown>
  }
}

type GradientOf = (dys: unknown, saved: Array<Tensor>, attrs: Record<string, unknown>) => unknown

type NodeRest = [gradient: GradientOf | null, saved: Array<Tensor>, attrs: Record<string, unknown>]

/** What tfjs records, for a backward pass that leaves out no gradient of an output: ours, and tfjs's where there is one output. */
interface FollowedNode {
  readonly id: number
  readonly kernelName: string
  readonly inputs: Inputs
  readonly outputs: ReadonlyArray<Tensor>
  readonly saved: Array<Tensor>
  readonly gradient: ((dys: ReadonlyArray<Tensor>) => unknown) | undefined
  /** Its inputs, which are those alone that the asked-for tensors lead to. */
  readonly names: ReadonlyArray<string>
  /** Whether its gradient reads what reaches each output; all when absent. */
  readonly reads: ReadonlyArray<boolean> | undefined
}

/** What tfjs registers, and what it does not look at. */
export type FollowedGradient = NonNullable<ReturnType<typeof tf.getGradient>> & {
  readonly reads: ReadonlyArray<boolean> | undefined
}

const patched = new WeakSet<object>()

/**
 * Has the tape hold what its backward pass will read, and nothing else. While the forward pass runs, it is followed which
 * tensors the asked-for variables lead to: an operation on others is not recorded, nor is an input that none leads to; and
 * of what an operation saves, the tape keeps only shapes where no gradient that will be asked for reads the values. So
 * frozen weights cost neither the inputs of their products nor a gradient.
 *
 * Inside another tape, where gradients of gradients may be asked for, all inputs are recorded.
 */
export const followVariables = (rules: ReadonlyMap<string, TapeRule>): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  const reach = followReached(engine)
  followed.set(engine, { ...reach, rules })
  recordReached(engine, rules, reach)
  saveWhatIsRead(engine, rules, reach)
}

/** Which of an operation's inputs a variable leads to; undefined where that is not followed. */
export interface Reach {
  readonly inputs: (inputs: Inputs) => ReadonlySet<string> | undefined
  readonly add: (tensors: ReadonlyArray<Tensor>) => void
}

/** Names in the order they came, and the same with one more. */
interface Names {
  readonly set: ReadonlySet<string>
  readonly longer: Map<string, Names>
}

const NONE: Names = { set: new Set(), longer: new Map() }

/** Operations have few kinds of inputs: each set of names is made once. */
const withName = ({ longer, set }: Names, name: string): Names => {
  const known = longer.get(name)
  if (known !== undefined) return known
  const made: Names = { set: new Set([...set, name]), longer: new Map() }
  longer.set(name, made)
  return made
}

const followed = new WeakMap<object, Reach & { readonly rules: ReadonlyMap<string, TapeRule> }>()

/** What `followVariables` follows. */
export const reachIn = (engine: object) => followed.get(engine)

const followReached = (engine: Engine): Reach => {
  let reached: Set<number> | undefined
  const { gradients } = engine
  engine.gradients = (f, xs, dy, allowNoGradients) => {
    const followed = () => {
      const outer = reached
      last = undefined
      const isInner = engine.state.gradientDepth > 1
      reached = isInner ? undefined : new Set(xs.map(({ id }) => id))
      try {
        return f()
      } finally {
        // what an inner pass computed is unknown to the rest of the outer one
        reached = isInner ? undefined : outer
        last = undefined
      }
    }
    return gradients.call(engine, followed, xs, dy, allowNoGradients)
  }
  // asked twice for each operation: what it saves, and what is recorded of it
  let [last, found]: [Inputs | undefined, ReadonlySet<string>] = [undefined, NONE.set]
  return {
    inputs: (inputs) => {
      if (reached === undefined) return undefined
      if (inputs === last) return found
      found = reachedNames(inputs, reached).set
      last = inputs
      return found
    },
    add: (tensors) => {
      last = undefined
      if (reached !== undefined) for (const { id } of tensors) reached.add(id)
    }
  }
}

const reachedNames = (inputs: Inputs, reached: ReadonlySet<number>): Names => {
  let names = NONE
  if (Array.isArray(inputs)) {
    const list = inputs as ReadonlyArray<Tensor>
    for (let i = 0; i < list.length; i++) if (reached.has(list[i]!.id)) names = withName(names, String(i))
    return names
  }
  for (const name in inputs) if (reached.has(inputs[name]!.id)) names = withName(names, name)
  return names
}

const recordReached = (engine: Engine, rules: ReadonlyMap<string, TapeRule>, reach: Reach): void => {
  const { addTapeNode } = engine
  engine.addTapeNode = (kernel, inputs, outputs, gradient, saved, attrs) => {
    const asked = reach.inputs(inputs)
    if (asked === undefined) return addTapeNode.call(engine, kernel, inputs, outputs, gradient, saved, attrs)
    if (asked.size === 0) return void tf.dispose(saved)
    reach.add(outputs)
    const recorded: Record<string, Tensor> = {}
    for (const name of asked) recorded[name] = inputs[name]!
    const told = rules.get(kernel)?.isTold === true ? { ...attrs, asked } : attrs
    const config = tf.getGradient(kernel) as FollowedGradient | undefined
    const gradientOf = (config?.gradFunc as GradientOf | undefined) ?? gradient
    engine.state.activeTape!.push({
      id: engine.state.nextTapeNodeId++,
      kernelName: kernel,
      inputs: recorded,
      outputs,
      saved,
      gradient: gradientOf == null ? undefined : (dys) => gradientOf(dys.length > 1 ? dys : dys[0], saved, told),
      names: [...asked],
      reads: config?.reads
    })
  }
}

/** What an operation is, for what the tape keeps of it. */
interface Operation {
  readonly kernel: string
  readonly inputs: Inputs
  readonly outputs: ReadonlyArray<Tensor>
}

/**
 * The tensors that an operation's gradient is handed, in tfjs's order, and whether it reads more of each than the shape: none
 * where no asked-for tensor leads to the operation.
 */
export const forEachSaved = (
  { inputs, kernel, outputs }: Operation,
  rules: ReadonlyMap<string, TapeRule>,
  asked: ReadonlySet<string>,
  visit: (tensor: Tensor, isRead: boolean) => void
): void => {
  const gradient = asked.size === 0 ? undefined : tf.getGradient(kernel)
  if (gradient == null) return
  const { inputsToSave = [], outputsToSave = [], saveAllInputs } = gradient
  const rule = rules.get(kernel)
  for (const name of saveAllInputs === true ? Object.keys(inputs) : inputsToSave) {
    visit(inputs[name]!, rule === undefined || rule.reads(name, asked))
  }
  for (let i = 0; i < outputsToSave.length; i++) {
    if (outputsToSave[i] === true && outputs[i] !== undefined) visit(outputs[i]!, rule?.readsOutput?.(i, asked) ?? true)
  }
}

const saveWhatIsRead = (engine: Engine, rules: ReadonlyMap<string, TapeRule>, reach: Reach): void => {
  const { getTensorsForGradient, saveTensorsForBackwardMode } = engine
  engine.getTensorsForGradient = (kernel, inputs, outputs) => {
    const asked = reach.inputs(inputs)
    if (asked === undefined) return getTensorsForGradient.call(engine, kernel, inputs, outputs)
    const tensors: Array<Tensor> = []
    forEachSaved({ kernel, inputs, outputs }, rules, asked, (tensor, isRead) =>
      tensors.push(isRead ? tensor : shapeOf(tensor, engine))
    )
    return tensors
  }
  engine.saveTensorsForBackwardMode = (tensors) =>
    tensors.flatMap((tensor) =>
      engine.state.tensorInfo.has(tensor.dataId)
        ? saveTensorsForBackwardMode.call(engine, [tensor])
        : [engine.keep(tensor)]
    )
}

/** A tensor without values, of which the engine knows nothing. */
export const shapeOf = ({ dtype, shape }: Tensor, engine: Pick<Engine, "nextTensorId">): Tensor =>
  new tf.Tensor(shape, dtype, {}, engine.nextTensorId())

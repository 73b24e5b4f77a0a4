import { tf, type Tensor } from "./tf.ts"

type Attributes = Record<string, unknown>

/** An operation's output once more, from what the tape keeps for its gradient. */
export type Remake = (saved: ReadonlyArray<Tensor>, attrs: Attributes) => Tensor

interface TapeNode {
  gradient?: (dys: ReadonlyArray<Tensor>) => unknown
}

type NodeParts = [
  kernel: string,
  inputs: unknown,
  outputs: ReadonlyArray<Tensor>,
  gradient: unknown,
  saved: Array<Tensor>,
  attrs: Attributes | undefined
]

/** What we use of tfjs's engine. */
interface Engine {
  addTapeNode: (...parts: NodeParts) => void
  readonly keep: (tensor: Tensor) => Tensor
  readonly nextTensorId: () => number
  saveTensorsForBackwardMode: (tensors: ReadonlyArray<Tensor>) => Array<Tensor>
  readonly state: { readonly gradientDepth: number; readonly activeTape: ReadonlyArray<TapeNode> | null }
}

const patched = new WeakSet<object>()

type StandIn = (tensor: Tensor) => Tensor | undefined

const standIns = new WeakMap<object, StandIn>()

/** What the tape keeps in place of an output that is made again; undefined for all others. */
export const standInFor = (engine: object): StandIn => standIns.get(engine) ?? (() => undefined)

/**
 * Outputs that the tape does not keep for the operations behind: where an operation has the attribute `remade`, its output
 * is made again when a gradient reads it, from the inputs that the tape keeps for its own gradient. Costs the operation
 * twice, for as many bytes as its output has. Not inside another tape.
 */
export const remakeOutputs = (remakes: Readonly<Record<string, Remake>>): void => {
  const engine = tf.engine() as unknown as Engine
  if (patched.has(engine)) return
  patched.add(engine)
  // by the values of an output, and by what stands for them in what was saved
  const made = new WeakMap<object, () => Tensor>()
  const standing = new WeakMap<Tensor, () => Tensor>()
  // most models have none
  let isUsed = false
  const standIn = (tensor: Tensor): Tensor | undefined => {
    const remake = isUsed && engine.state.gradientDepth === 1 ? made.get(tensor.dataId) : undefined
    if (remake === undefined) return undefined
    const place = new tf.Tensor(tensor.shape, tensor.dtype, {}, engine.nextTensorId())
    standing.set(place, remake)
    return engine.keep(place)
  }
  standIns.set(engine, standIn)
  const { addTapeNode, saveTensorsForBackwardMode } = engine
  engine.saveTensorsForBackwardMode = (tensors) =>
    tensors.flatMap((tensor) => standIn(tensor) ?? saveTensorsForBackwardMode.call(engine, [tensor]))
  engine.addTapeNode = (kernel, inputs, outputs, gradient, saved, attrs) => {
    const before = engine.state.activeTape?.length ?? 0
    addTapeNode.call(engine, kernel, inputs, outputs, gradient, saved, attrs)
    const remake = attrs?.["remade"] === true ? remakes[kernel] : undefined
    isUsed ||= remake !== undefined
    const node = isUsed ? engine.state.activeTape?.at(before) : undefined
    if (node === undefined) return
    const [output] = outputs
    if (saved.some((tensor) => standing.has(tensor))) fillFirst(node, saved, standing)
    if (remake !== undefined) made.set(output!.dataId, () => remake(saved, attrs!))
  }
}

/** Has a node's gradient find values where something stood for them. Whoever frees what was saved frees those. */
const fillFirst = (node: TapeNode, saved: Array<Tensor>, standing: WeakMap<Tensor, () => Tensor>): void => {
  const gradient = node.gradient!
  node.gradient = (dys) => {
    saved.forEach((tensor, i) => {
      const remake = standing.get(tensor)
      if (remake !== undefined) saved[i] = inShape(remake(), tensor.shape)
    })
    return gradient(dys)
  }
}

const inShape = (tensor: Tensor, shape: ReadonlyArray<number>): Tensor =>
  tensor.shape.join() === shape.join() ? tensor : tf.reshape(tensor, [...shape])

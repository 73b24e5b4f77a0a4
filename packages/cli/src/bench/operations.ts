import { tf } from "@plumbline/runtime"

/** What the numeric engine did during a step. */
export interface Operations {
  /** Operations the gradient tape recorded. */
  readonly taped: number
  /** Entries of the tape: those operations, and the clones of values they keep for the backward pass. */
  readonly tapeEntries: number
  /** Operations in all, those of the backward pass and the optimizer included. */
  readonly total: number
  /** Seconds the host waited for values it read. */
  readonly waited: number
}

/** The parts of TensorFlow.js's engine through which every operation, tape record and host read goes. */
interface Engine {
  runKernelFunc: (...args: Array<unknown>) => unknown
  addTapeNode: (...args: Array<unknown>) => void
  readSync: (...args: Array<unknown>) => unknown
  clone: (...args: Array<unknown>) => unknown
}

const names = ["addTapeNode", "clone", "readSync", "runKernelFunc"] as const

/** Counts while `run` runs. */
export const countOperations = (run: () => void): Operations => {
  const engine = tf.engine() as unknown as Engine
  const counted = { taped: 0, tapeEntries: 0, total: 0, waited: 0 }
  const { addTapeNode, clone, readSync, runKernelFunc } = engine
  const before = names.map((name) => [name, Object.getOwnPropertyDescriptor(engine, name)] as const)
  let cloning = 0
  engine.runKernelFunc = (...args) => {
    counted.total += 1
    return runKernelFunc.apply(engine, args)
  }
  engine.clone = (...args) => {
    cloning += 1
    const copy = clone.apply(engine, args)
    cloning -= 1
    return copy
  }
  engine.addTapeNode = (...args) => {
    counted.tapeEntries += 1
    if (cloning === 0) counted.taped += 1
    addTapeNode.apply(engine, args)
  }
  engine.readSync = (...args) => {
    const begun = performance.now()
    const values = readSync.apply(engine, args)
    counted.waited += (performance.now() - begun) / 1000
    return values
  }
  try {
    run()
  } finally {
    for (const [name, own] of before) {
      if (own === undefined) Reflect.deleteProperty(engine, name)
      else Object.defineProperty(engine, name, own)
    }
  }
  return counted
}

import { tf } from "@plumbline/runtime"

/** What the numeric engine did during a step. */
export interface Operations {
  /** Operations the gradient tape recorded. */
  readonly taped: number
  /** Entries of the tape: those operations, and the clones of values they keep for the backward pass. */
  readonly tapeEntries: number
  /** Operations in all, those of the backward pass and the optimizer included. */
  readonly total: number
}

/** The parts of TensorFlow.js's engine through which every operation and tape record goes. */
interface Engine {
  runKernelFunc: (...args: Array<unknown>) => unknown
  addTapeNode: (...args: Array<unknown>) => void
  clone: (...args: Array<unknown>) => unknown
}

/** Counts while `run` runs, which takes the longer for it. */
export const countOperations = (run: () => void): Operations => {
  const engine = tf.engine() as unknown as Engine
  const counted = { taped: 0, tapeEntries: 0, total: 0 }
  const { addTapeNode, clone, runKernelFunc } = engine
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
  try {
    run()
  } finally {
    // set and not deleted: an object that lost a property is slow from then on, and what is timed next would show it
    Object.assign(engine, { addTapeNode, clone, runKernelFunc })
  }
  return counted
}

import { tf } from "@plumbline/runtime"

/** What the numeric engine did during a step. */
export interface Operations {
  /** Operations the gradient tape recorded. */
  readonly taped: number
  /** Operations in all, those of the backward pass and the optimizer included. */
  readonly total: number
  /** Seconds the host waited for values it read. */
  readonly waited: number
  /** Most bytes of tensors alive at once, each number as its data type's, whatever the backend stores. */
  readonly peakBytes: number
}

/** The parts of TensorFlow.js's engine through which every operation, tape record and host read goes. */
interface Engine {
  runKernelFunc: (...args: Array<unknown>) => unknown
  addTapeNode: (...args: Array<unknown>) => void
  readSync: (...args: Array<unknown>) => unknown
  readonly state: { readonly numBytes: number }
}

/** Counts while `run` runs. */
export const countOperations = (run: () => void): Operations => {
  const engine = tf.engine() as unknown as Engine
  const counted = { taped: 0, total: 0, waited: 0, peakBytes: engine.state.numBytes }
  const { addTapeNode, readSync, runKernelFunc } = engine
  engine.runKernelFunc = (...args) => {
    counted.total += 1
    const result = runKernelFunc.apply(engine, args)
    counted.peakBytes = Math.max(counted.peakBytes, engine.state.numBytes)
    return result
  }
  engine.addTapeNode = (...args) => {
    counted.taped += 1
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
    Object.assign(engine, { addTapeNode, readSync, runKernelFunc })
  }
  return counted
}

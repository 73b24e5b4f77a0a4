import { tf } from "@plumbline/runtime"

/** TensorFlow.js's engine as far as every host read goes through it. */
interface Engine {
  readSync: (...args: Array<unknown>) => unknown
}

/** While `run` runs, it can ask for how many seconds the host has waited for values it read. */
export const watchReads = <A>(run: (waited: () => number) => A): A => {
  const engine = tf.engine() as unknown as Engine
  const { readSync } = engine
  let seconds = 0
  engine.readSync = (...args) => {
    const begun = performance.now()
    const values = readSync.apply(engine, args)
    seconds += (performance.now() - begun) / 1000
    return values
  }
  try {
    return run(() => seconds)
  } finally {
    engine.readSync = readSync
  }
}

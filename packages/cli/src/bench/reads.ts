import { tf } from "@plumbline/runtime"

/** TensorFlow.js's engine as far as a host read that waits at once goes through it. */
interface Engine {
  readSync: (...args: Array<unknown>) => unknown
}

type ReadLater = (...args: Array<unknown>) => () => unknown

/** A backend whose reads are queued and waited for later, where it has that. */
interface Backend {
  readLater?: ReadLater | undefined
}

/** While `run` runs, it can ask for how many seconds the host has waited for values it read. */
export const watchReads = <A>(run: (waited: () => number) => A): A => {
  const engine = tf.engine() as unknown as Engine
  const backend = tf.engine().backend as unknown as Backend
  const { readSync } = engine
  const { readLater } = backend
  let seconds = 0
  const timed = (wait: () => unknown) => {
    const begun = performance.now()
    const values = wait()
    seconds += (performance.now() - begun) / 1000
    return values
  }
  engine.readSync = (...args) => timed(() => readSync.apply(engine, args))
  if (readLater !== undefined) {
    const watched: ReadLater = (...args) => {
      const read = readLater(...args)
      return () => timed(read)
    }
    Object.defineProperty(backend, "readLater", { value: watched, configurable: true })
  }
  try {
    return run(() => seconds)
  } finally {
    engine.readSync = readSync
    // the backend's own is its class's
    if (readLater !== undefined) Reflect.deleteProperty(backend, "readLater")
  }
}

import { tf, type Tensor } from "../tf.ts"

export type HostNumbers = Float32Array | Int32Array | Uint8Array

/** What we use of a backend whose device computes while the host goes on. */
interface ReadingBackend {
  readonly readLater?: (tensors: ReadonlyArray<Tensor>) => () => ReadonlyArray<HostNumbers>
}

/** Whether the device computes while the host goes on. */
export const computesOnItsOwn = (): boolean =>
  (tf.engine().backend as unknown as ReadingBackend).readLater !== undefined

/**
 * Reads tensors behind all that is queued now; they may be disposed at once, but not be written to before they are there.
 *
 * @returns waits for them, and for nothing that is queued later; one array a tensor. To be called once.
 */
export const readLater = (tensors: ReadonlyArray<Tensor>): (() => ReadonlyArray<HostNumbers>) => {
  const { readLater } = tf.engine().backend as unknown as ReadingBackend
  if (readLater !== undefined) return readLater(tensors)
  const values = tensors.map((tensor) => tensor.dataSync() as HostNumbers)
  return () => values
}

import { tf, type Tensor } from "../tf.ts"

/** A backend that can record work: what we use of it. */
interface RecordingBackend {
  readonly record?: (body: () => void) => BackendRecording
  readonly timesMoved?: (tensors: ReadonlyArray<Tensor>) => number
}

interface BackendRecording {
  readonly write: (input: Tensor, values: Int32Array | Float32Array) => void
  readonly copyInto: (input: Tensor, offset: number, values: Tensor) => void
  /** False, and nothing done, where memory that the work reads is gone. */
  readonly replay: () => boolean
  readonly dispose: () => void
}

const backendNow = (): RecordingBackend => tf.engine().backend as unknown as RecordingBackend

/** Whether the backend can do a whole computation again at once, as CUDA graphs do. */
export const canRecord = (): boolean => backendNow().record !== undefined

/** How often the backend laid what it reads of these tensors elsewhere, all together: what was recorded before reads what is gone. */
export const timesMoved = (tensors: ReadonlyArray<Tensor>): number => backendNow().timesMoved?.(tensors) ?? 0

/** Values of an input that are on the device alone; they lie in it, taken as flat, from `offset` on. */
export interface DeviceValues<I> {
  readonly input: keyof I
  readonly offset: number
  readonly values: Tensor
}

/** A computation on tensors of fixed shapes that is done again as a whole. */
export interface Replayed<I extends Record<string, Tensor>> {
  /** Runs it on these values, by input. @returns its output, whose values last until the next run */
  readonly run: (values: Readonly<Record<keyof I, Int32Array | Float32Array>>, known?: DeviceValues<I>) => Tensor
  readonly dispose: () => void
}

/**
 * Records `body`, which must do the same for any values of its inputs and read nothing on the host. It is run once or
 * twice before, on the values that the inputs have; again where memory that it read has moved, as copies of weights do.
 *
 * @param inputs taken over, and disposed with the recording
 */
export const replayed = <I extends Record<string, Tensor>>(inputs: I, body: (inputs: I) => Tensor): Replayed<I> => {
  const record = () => recorded(() => body(inputs))
  let { output, work } = record()
  const kept = Object.entries(inputs).map(([name, tensor]) => [name, tf.keep(tensor)] as const)
  const forget = () => {
    work.dispose()
    tf.dispose(output)
  }
  return {
    run: (values, known) => {
      for (const [name, tensor] of kept) {
        work.write(tensor, values[name as keyof I])
        if (known?.input === name) work.copyInto(tensor, known.offset, known.values)
      }
      if (!work.replay()) {
        forget()
        // where nothing computes on its own, what is recorded is done, too
        ;({ output, work } = record())
      }
      return output
    },
    dispose: () => {
      forget()
      tf.dispose(kept.map(([, tensor]) => tensor))
    }
  }
}

const recorded = (body: () => Tensor): { readonly output: Tensor; readonly work: BackendRecording } => {
  tf.dispose(tf.tidy(body))
  let output: Tensor | undefined
  const work = backendNow().record!(() => {
    output = tf.keep(tf.tidy(body))
  })
  return { output: output!, work }
}

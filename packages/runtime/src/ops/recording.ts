import { tf, type Tensor } from "../tf.ts"

/** A backend that can record work: what we use of it. */
interface RecordingBackend {
  readonly record?: (body: () => void) => BackendRecording
}

interface BackendRecording {
  readonly write: (input: Tensor, values: Int32Array | Float32Array) => void
  readonly copyInto: (input: Tensor, offset: number, values: Tensor) => void
  readonly replay: () => void
  readonly dispose: () => void
}

const backendNow = (): RecordingBackend => tf.engine().backend as unknown as RecordingBackend

/** Whether the backend can do a whole computation again at once, as CUDA graphs do. */
export const canRecord = (): boolean => backendNow().record !== undefined

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
 * twice before, on the values that the inputs have.
 *
 * @param inputs taken over, and disposed with the recording
 */
export const replayed = <I extends Record<string, Tensor>>(inputs: I, body: (inputs: I) => Tensor): Replayed<I> => {
  const backend = backendNow()
  tf.dispose(tf.tidy(() => body(inputs)))
  let output: Tensor | undefined
  const recording = backend.record!(() => {
    output = tf.keep(tf.tidy(() => body(inputs)))
  })
  const kept = Object.entries(inputs).map(([name, tensor]) => [name, tf.keep(tensor)] as const)
  return {
    run: (values, known) => {
      for (const [name, tensor] of kept) {
        recording.write(tensor, values[name as keyof I])
        if (known?.input === name) recording.copyInto(tensor, known.offset, known.values)
      }
      recording.replay()
      return output!
    },
    dispose: () => {
      recording.dispose()
      tf.dispose([output!, ...kept.map(([, tensor]) => tensor)])
    }
  }
}

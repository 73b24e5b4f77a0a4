import { type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { HostValues } from "./addon.ts"
import { aten, atenInPlace, inScope } from "./aten.ts"
import type { TorchBackend } from "./backend.ts"

const [reshape, narrow] = [aten("reshape"), aten("narrow")]
const copy = atenInPlace("copy_")

/** Work recorded as a CUDA graph, or as a list of calls on the CPU, to be done again on the same tensors. */
export interface Recording {
  /** Gives an input its next values. */
  readonly write: (input: TensorInfo, values: HostValues) => void
  /** Gives part of an input, as if it were flat, the values of a tensor on the device. */
  readonly copyInto: (input: TensorInfo, offset: number, values: TensorInfo) => void
  /**
   * Queues the work, or does it; what its outputs hold is new afterwards. False, and nothing done, where memory that it reads is
   * gone, as far as that is known.
   */
  readonly replay: () => boolean
  /** Frees the recording and the memory of its temporaries. */
  readonly dispose: () => void
}

interface Recorder {
  readonly begin: () => object
  readonly end: (work: object) => void
  readonly replay: (work: object) => boolean
  readonly reset: (work: object) => void
}

const recorderOf = ({ addon, cuda }: TorchBackend): Recorder =>
  cuda === undefined
    ? { begin: addon.recordBegin, end: addon.recordEnd, replay: addon.recordReplay, reset: addon.recordReset }
    : {
        begin: cuda.addon.graphBegin,
        end: cuda.addon.graphEnd,
        replay: (work) => {
          cuda.addon.graphReplay(work)
          return true
        },
        reset: cuda.addon.graphReset
      }

/**
 * Records what `body` calls: on CUDA without doing it, on the CPU as it is done. Nothing in it may wait for the device or
 * move values between it and the host, and the tensors that it reads and returns must stay. Run the same body once before:
 * kernels are compiled then, and copies of weights made.
 *
 * @throws TorchError what libtorch or CUDA says
 */
export const record = (backend: TorchBackend, body: () => void): Recording => {
  const { addon } = backend
  const recorder = recorderOf(backend)
  const work = recorder.begin()
  try {
    backend.whileRecording(body)
  } catch (cause) {
    abandon(() => recorder.end(work))
    abandon(() => recorder.reset(work))
    throw cause
  }
  recorder.end(work)
  return {
    write: (input, values) => {
      backend.forgetValues(input)
      addon.write(backend.handle(input), values)
    },
    copyInto: (input, offset, values) => {
      backend.forgetValues(input)
      inScope(() => {
        const flat = reshape(backend.handle(input), [-1])
        copy(narrow(flat, 0, offset, util.sizeFromShape(values.shape)), backend.handle(values))
      })
    },
    replay: () => recorder.replay(work),
    dispose: () => recorder.reset(work)
  }
}

/** A recording that broke off ends with an error of its own; the first one says more. */
const abandon = (end: () => void): void => {
  try {
    end()
  } catch {
    // the cause is thrown by the caller
  }
}

import { type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { HostValues } from "./addon.ts"
import { aten, atenInPlace, inScope } from "./aten.ts"
import type { TorchBackend } from "./backend.ts"

const [reshape, narrow] = [aten("reshape"), aten("narrow")]
const copy = atenInPlace("copy_")

/** Work recorded as a CUDA graph, to be done again on the same memory. */
export interface Recording {
  /** Gives an input its next values. */
  readonly write: (input: TensorInfo, values: HostValues) => void
  /** Gives part of an input, as if it were flat, the values of a tensor on the device. */
  readonly copyInto: (input: TensorInfo, offset: number, values: TensorInfo) => void
  /** Queues the work; what its outputs hold is new afterwards. */
  readonly replay: () => void
  /** Frees the graph and the memory of its temporaries. */
  readonly dispose: () => void
}

/**
 * Records what `body` queues, without doing it. Nothing in it may wait for the device or move values between it and the
 * host, and the tensors that it reads and returns must stay. Run the same body once before: kernels are compiled then, and
 * copies of weights made.
 *
 * @throws TorchError what CUDA says; or Error where the backend computes on the CPU
 */
export const record = (backend: TorchBackend, body: () => void): Recording => {
  if (backend.cuda === undefined) throw new Error("graphs are recorded on CUDA only")
  const { addon } = backend.cuda
  const graph = addon.graphBegin()
  try {
    backend.whileRecording(body)
  } catch (cause) {
    abandon(() => addon.graphEnd(graph))
    abandon(() => addon.graphReset(graph))
    throw cause
  }
  addon.graphEnd(graph)
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
    replay: () => addon.graphReplay(graph),
    dispose: () => addon.graphReset(graph)
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

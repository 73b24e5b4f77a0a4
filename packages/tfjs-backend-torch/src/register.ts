import { findBackend, findBackendFactory, registerBackend, registerKernel, removeBackend } from "@tensorflow/tfjs-core"
import { TorchUnavailable } from "./addon.ts"
import { TorchBackend, type TorchBackendOptions } from "./backend.ts"
import type { TorchDevice } from "./tensor-backend.ts"
import { STORAGE_TYPES } from "./scalar-type.ts"
import { BACKEND, kernelConfig, type Kernels } from "./kernel.ts"
import { binaryKernels } from "./kernels/binary.ts"
import { convKernels } from "./kernels/conv.ts"
import { creationKernels } from "./kernels/creation.ts"
import { hostKernels } from "./kernels/host.ts"
import { imageKernels } from "./kernels/image.ts"
import { indexingKernels } from "./kernels/indexing.ts"
import { matmulKernels } from "./kernels/matmul.ts"
import { morphologyKernels } from "./kernels/morphology.ts"
import { normalisationKernels } from "./kernels/normalisation.ts"
import { poolKernels } from "./kernels/pool.ts"
import { reductionKernels } from "./kernels/reductions.ts"
import { shapeKernels } from "./kernels/shape.ts"
import { sortingKernels } from "./kernels/sorting.ts"
import { spectralKernels } from "./kernels/spectral.ts"
import { unaryKernels } from "./kernels/unary.ts"
import { warpKernels } from "./kernels/warp.ts"

/** Every kernel of tfjs-core that this backend has. */
export const kernels: Kernels = {
  ...binaryKernels,
  ...convKernels,
  ...creationKernels,
  ...hostKernels,
  ...imageKernels,
  ...indexingKernels,
  ...matmulKernels,
  ...morphologyKernels,
  ...normalisationKernels,
  ...poolKernels,
  ...reductionKernels,
  ...shapeKernels,
  ...sortingKernels,
  ...spectralKernels,
  ...unaryKernels,
  ...warpKernels
}

export interface TorchOptions extends Omit<TorchBackendOptions, "device"> {
  /** "cuda" is the first CUDA device. */
  readonly device: TorchDevice | "cuda"
  /** Kernels beside tfjs-core's, by the names they are to have; one of tfjs-core's own name replaces it. */
  readonly kernels?: Kernels
}

let registered: string | undefined

/**
 * Makes the backend "torch" known to tfjs, on one device; `setBackend("torch")` then starts it.
 *
 * @throws TorchUnavailable where no addon is built, the device is absent or an option has none of its values
 */
export const registerTorchBackend = ({
  batchInvariant = false,
  deterministic = false,
  device,
  kernels: more = {},
  storage = "float32"
}: TorchOptions): void => {
  if (!/^(cpu|cuda(:\d+)?)$/.test(device))
    throw new TorchUnavailable(`no device is named "${device}": "cpu", "cuda" or "cuda:1"`)
  if (!Object.hasOwn(STORAGE_TYPES, storage))
    throw new TorchUnavailable(`nothing is stored as "${storage}": ${Object.keys(STORAGE_TYPES).join(", ")}`)
  const place = device === "cuda" ? "cuda:0" : device
  const start = () => new TorchBackend({ device: place, storage, batchInvariant, deterministic })
  const name = `${place}/${storage}/${batchInvariant}/${deterministic}`
  if (registered === name && findBackendFactory(BACKEND) != null) return
  const first = start()
  if (findBackend(BACKEND) != null) removeBackend(BACKEND)
  if (registered === undefined) {
    const all = { ...kernels, ...more }
    for (const [name, kernel] of Object.entries(all)) registerKernel(kernelConfig(name, kernel))
  }
  registerBackend(BACKEND, () => (first.numDataIds() === 0 ? first : start()), 3)
  registered = name
}

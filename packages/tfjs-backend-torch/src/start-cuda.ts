import { type Addon, type CudaAddon, loadAddon, TorchUnavailable } from "./addon.ts"
import type { Storage } from "./scalar-type.ts"

/** @throws TorchUnavailable where the addon or the machine has no such device */
export const startCuda = (addon: Addon, index: number) => {
  if (addon.cudaStart === undefined) {
    throw new TorchUnavailable(
      `the torch addon was built for the CPU only (torch ${addon.torchVersion}); with a torch that has CUDA, run: npm run setup:torch`
    )
  }
  const complete = addon as Addon & CudaAddon
  try {
    return { ...complete.cudaStart(index), addon: complete }
  } catch (cause) {
    throw new TorchUnavailable(`CUDA device ${index} cannot be used: ${(cause as Error).message}`)
  }
}

/** Whether an addon is built, has CUDA, and can use the first device. */
export const hasCuda = (): boolean => {
  try {
    startCuda(loadAddon(), 0)
    return true
  } catch (cause) {
    if (cause instanceof TorchUnavailable) return false
    throw cause
  }
}

/**
 * Whether libtorch multiplies without splitting the common axis.
 *
 * @throws TorchUnavailable elsewhere than on CUDA in bfloat16, or where this libtorch does not let itself be told
 */
export const multiplyInvariantly = (
  on: boolean,
  cuda: { readonly addon: CudaAddon } | undefined,
  storage: Storage
): void => {
  if (cuda === undefined || storage !== "bfloat16")
    throw new TorchUnavailable("batch-invariant kernels are those of CUDA in bfloat16")
  try {
    cuda.addon.cudaSplitK(!on)
  } catch (cause) {
    throw new TorchUnavailable((cause as Error).message)
  }
}

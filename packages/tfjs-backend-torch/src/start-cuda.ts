import { type Addon, type CudaAddon, TorchUnavailable } from "./addon.ts"

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

export {
  type Addon,
  addonPath,
  type CallStatistics,
  type CudaMemory,
  isTorchError,
  type Membership,
  type TorchError,
  TorchUnavailable
} from "./addon.ts"
export { TorchBackend, type TorchBackendOptions } from "./backend.ts"
export { BatchInvarianceUnavailable } from "./batch-invariance.ts"
export * as fusedKernels from "./fused/kernels.ts"
export { groupsOnDevice } from "./fused/grouped-products.ts"
export { type Kernel, KernelScope, registerTorchKernel, unregisterTorchKernel } from "./kernel.ts"
export { missingKernels } from "./missing-kernels.ts"
export type { Recording } from "./recording.ts"
export { hasCuda } from "./start-cuda.ts"
export { registerTorchBackend, type TorchOptions } from "./register.ts"
export type { TorchDevice } from "./tensor-backend.ts"

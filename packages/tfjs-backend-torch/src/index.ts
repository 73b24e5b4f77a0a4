export { type Addon, addonPath, type CudaMemory, isTorchError, type TorchError, TorchUnavailable } from "./addon.ts"
export { TorchBackend, type TorchDevice } from "./backend.ts"
export { registerTorchBackend, type TorchOptions } from "./register.ts"

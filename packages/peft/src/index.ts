export { AdapterInvalid, AdapterUnfit } from "./errors.ts"
export type { AdapterMethod, AdapterTensor, BaseLinear, LinearAdapter } from "./method.ts"
export { adapt, type Adapted, adaptNew, type AdaptOptions } from "./adapt.ts"
export type { Adapter } from "./adapter.ts"
export { ALL_LINEAR, type LinearModule, type Selection } from "./targets.ts"
export { bitFit } from "./methods/bit-fit.ts"
export { ia3, type Ia3Options } from "./methods/ia3.ts"
export { lora, type LoraOptions } from "./methods/lora.ts"
export type { LoraInit } from "./methods/lora-start.ts"
export { prefixTuning } from "./methods/prefix-tuning.ts"
export { promptTuning } from "./methods/prompt-tuning.ts"
export type { VirtualTokenInit, VirtualTokenOptions } from "./methods/virtual-tokens.ts"
export { vera, type VeraOptions } from "./methods/vera.ts"
export { adapterHead, headFields } from "./file/adapter-head.ts"
export { isAdapterFolder, readMethod } from "./file/adapter-config.ts"
export { baseFolderOf } from "./file/check-base.ts"
export { type AdapterError, fitting, loadAdapter, type LoadAdapterOptions } from "./file/load-adapter.ts"
export { mergedFields } from "./file/merged-adapters.ts"
export { merged } from "./merge.ts"
export { adapterChoice, adapterFields, type AdapterOptions, isAdapted } from "./adapter-options.ts"
export {
  adaptedBy,
  type AdaptedError,
  adaptedForUse,
  adaptedPolicy,
  bareReference,
  movableReference
} from "./adapted-policy.ts"
export { type AdapterSize, adapterSize } from "./adapter-size.ts"

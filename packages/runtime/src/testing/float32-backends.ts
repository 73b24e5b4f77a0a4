import { addonPath } from "@plumbline/tfjs-backend-torch"
import { ModelRuntime } from "../model-runtime.ts"

/** The backends on which models, objectives and runs are held to recorded float32 numbers. */
export const float32Backends = [
  { name: "wasm", layer: ModelRuntime.layerWasm, isThere: true },
  { name: "torch", layer: ModelRuntime.layerTorch({ device: "cpu" }), isThere: addonPath() !== undefined }
] as const

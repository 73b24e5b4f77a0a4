import { addonPath, hasCuda } from "@plumbline/tfjs-backend-torch"
import { ModelRuntime } from "../model-runtime.ts"

/**
 * The backends on which models, objectives and runs are held to recorded float32 numbers. `splitGap` is how far a step's
 * numbers may move with the split of its batch: libraries add up in an order that depends on the number of rows, on some
 * processors, and devices, more than on others.
 */
export const float32Backends = [
  { name: "wasm", layer: ModelRuntime.layerWasm, isThere: true, splitGap: 1e-6 },
  {
    name: "torch",
    layer: ModelRuntime.layerTorch({ device: "cpu" }),
    isThere: addonPath() !== undefined,
    splitGap: 4e-6
  },
  { name: "torch on CUDA", layer: ModelRuntime.layerTorch({ device: "cuda" }), isThere: hasCuda(), splitGap: 4e-6 }
] as const

const precision = "bfloat16"

/** Those that store activations and the weights that products read in 16 bits. */
export const bfloat16Backends = [
  { name: "torch", layer: ModelRuntime.layerTorch({ device: "cpu", precision }), isThere: addonPath() !== undefined },
  { name: "torch on CUDA", layer: ModelRuntime.layerTorch({ device: "cuda", precision }), isThere: hasCuda() }
] as const

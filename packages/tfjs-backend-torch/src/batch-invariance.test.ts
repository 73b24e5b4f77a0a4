import { describe, expect, it } from "vitest"
import { addonPath, TorchUnavailable } from "./addon.ts"
import { TorchBackend } from "./backend.ts"
import { registerTorchBackend } from "./register.ts"

describe.skipIf(addonPath() === undefined)("batch invariance", () => {
  it.for(["float32", "bfloat16"] as const)("is refused on the CPU in %s, not left out", (storage) => {
    expect(() => new TorchBackend({ device: "cpu", storage, batchInvariant: true })).toThrow(TorchUnavailable)
    expect(() => registerTorchBackend({ device: "cpu", storage, batchInvariant: true })).toThrow("CUDA in bfloat16")
  })
})

import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Exit } from "effect"
import { describe } from "vitest"

type Layer = typeof ModelRuntime.layerWasm

const starts = async (layer: Layer): Promise<boolean> =>
  Exit.isSuccess(await Effect.runPromiseExit(Effect.provide(ModelRuntime, layer)))

const torch = ModelRuntime.layerTorch({ device: "cpu" })
const torchBfloat16 = ModelRuntime.layerTorch({ device: "cpu", precision: "bfloat16" })
const hasTorch = await starts(torch)

/** Runs a suite on every backend that computes in float32; where there is no torch, that part skips, visibly. */
export const onEveryBackend = (name: string, suite: (layer: Layer) => void): void => {
  describe(`${name}, on wasm`, () => suite(ModelRuntime.layerWasm))
  describe.skipIf(!hasTorch)(`${name}, on torch`, () => suite(torch))
}

/** The same on torch that stores activations and weights in bfloat16. */
export const inBfloat16 = (name: string, suite: (layer: Layer) => void): void => {
  describe.skipIf(!hasTorch)(`${name}, on torch in bfloat16`, () => suite(torchBfloat16))
}

import type { ModelRuntime } from "@plumbline/runtime"
import { bfloat16Backends, float32Backends } from "@plumbline/runtime/testing"
import { describe } from "vitest"

type Layer = typeof ModelRuntime.layerWasm

/** Runs a suite on every backend that computes in float32; one that is not there skips, visibly. */
export const onEveryBackend = (name: string, suite: (layer: Layer) => void): void => {
  for (const { isThere, layer, name: backend } of float32Backends) {
    describe.skipIf(!isThere)(`${name}, on ${backend}`, () => suite(layer))
  }
}

/** The same on torch that stores activations and weights in bfloat16. */
export const inBfloat16 = (name: string, suite: (layer: Layer) => void): void => {
  for (const { isThere, layer, name: backend } of bfloat16Backends) {
    describe.skipIf(!isThere)(`${name}, on ${backend} in bfloat16`, () => suite(layer))
  }
}

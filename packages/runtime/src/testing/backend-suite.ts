import { Effect, type Layer } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { type BackendUnavailable, ModelRuntime } from "../model-runtime.ts"
import { addProductSuite } from "./add-product-suite.ts"
import { attentionSuite } from "./attention-suite.ts"
import { blockSuite } from "./block-suite.ts"
import { layerSuite } from "./layer-suite.ts"
import { logProbSuite } from "./log-prob-suite.ts"
import { optimizerSuite } from "./optimizer-suite.ts"
import { pagedAttentionSuite } from "./paged-attention-suite.ts"
import { samplingSuite } from "./sampling-suite.ts"
import { rankingSuite } from "./ranking-suite.ts"
import { randomSuite } from "./random-suite.ts"
import { recomputedSuite } from "./recomputed-suite.ts"
import { routingSuite } from "./routing-suite.ts"
import { tfjsSuite } from "./tfjs-suite.ts"

/** What every backend of the runtime does, however it does it. Call it at the top of a test file. */
export const backendSuite = (name: string, layer: Layer.Layer<ModelRuntime, BackendUnavailable>): void => {
  describe(`backend ${name}`, () => {
    beforeAll(() => Effect.runPromise(Effect.provide(ModelRuntime, layer)))

    it("starts, says what it is and reports its memory", async () => {
      const runtime = await Effect.runPromise(Effect.provide(ModelRuntime, layer))
      expect(runtime.backend).toBe(name)
      expect(runtime.description).not.toBe("")
      expect(runtime.memory().tensors).toBe(0)
    })

    attentionSuite()
    layerSuite()
    blockSuite()
    addProductSuite()
    logProbSuite()
    optimizerSuite()
    pagedAttentionSuite()
    samplingSuite()
    rankingSuite()
    randomSuite()
    routingSuite()
    recomputedSuite()
    tfjsSuite()
  })
}

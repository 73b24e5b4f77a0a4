import { addonPath } from "@plumbline/tfjs-backend-torch"
import { describe } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { backendSuite } from "../testing/backend-suite.ts"

describe.skipIf(addonPath() === undefined)("with an addon built by npm run setup:torch", () => {
  backendSuite("torch", ModelRuntime.layerTorch({ device: "cpu" }))
})

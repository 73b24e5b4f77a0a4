import { hasCuda } from "@plumbline/tfjs-backend-torch"
import { describe } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { backendSuite } from "../testing/backend-suite.ts"

describe.skipIf(!hasCuda())("with a CUDA device", () => {
  backendSuite("torch", ModelRuntime.layerTorch({ device: "cuda" }))
})

import { existsSync } from "node:fs"
import { describe } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { backendSuite } from "../testing/backend-suite.ts"
import { TENSORFLOW_RECORD } from "./tensorflow.ts"

// npm run setup:tensorflow makes it; without it the suite is skipped
describe.skipIf(!existsSync(TENSORFLOW_RECORD))("after npm run setup:tensorflow", () => {
  backendSuite("tensorflow", ModelRuntime.layerTensorflow)
})

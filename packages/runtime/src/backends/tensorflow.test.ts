import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { backendSuite } from "../testing/backend-suite.ts"
import { registerCompiled, TENSORFLOW_RECORD } from "./tensorflow.ts"

it("says in one line what does not load, and how to set it up again", () => {
  const folder = mkdtempSync(join(tmpdir(), "tensorflow-"))
  const record = join(folder, "binding.json")
  const gone = JSON.stringify({ binding: "gone.node", package: join(folder, "gone"), version: "2.21.0" })
  const advice = /^what setup compiled does not load \([^\n]+\); run: npm run setup:tensorflow$/
  try {
    for (const text of ["{", gone]) {
      writeFileSync(record, text)
      expect(() => registerCompiled(record)).toThrow(advice)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

// npm run setup:tensorflow makes it; without it the suite is skipped
describe.skipIf(!existsSync(TENSORFLOW_RECORD))("after npm run setup:tensorflow", () => {
  backendSuite("tensorflow", ModelRuntime.layerTensorflow)
})

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { backendSuite } from "../testing/backend-suite.ts"
import { registerCompiled, TENSORFLOW_RECORD, tensorflowFailure } from "./tensorflow.ts"

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

it("tells want of memory from what else TensorFlow refuses", () => {
  // as TensorFlow 2.21.0 says it, through tfjs-node 4.22.0
  const where = "on /job:localhost/replica:0/task:0/device:CPU:0 by allocator mklcpu"
  const full = new Error(
    `Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[32256,8192] and type float ${where}`
  )
  full.stack = `${full.message}\n    at Object.kernelFunc (tfjs-node/dist/kernels/BatchMatMul.js:39:24)`
  // 32256 · 8192 · 4 bytes
  expect(tensorflowFailure(full)).toMatchObject({
    _tag: "OutOfMemory",
    message: "out of memory in BatchMatMul (float[32256,8192]): 1008.00 MiB asked for"
  })
  expect(tensorflowFailure(new Error("Invalid TF_Status: 8\nMessage: no room"))?.bytesAsked).toBeNull()
  expect(tensorflowFailure(new Error("Invalid TF_Status: 3\nMessage: shape[2] and type float"))).toBeUndefined()
})

// npm run setup:tensorflow makes it; without it the suite is skipped
describe.skipIf(!existsSync(TENSORFLOW_RECORD))("after npm run setup:tensorflow", () => {
  backendSuite("tensorflow", ModelRuntime.layerTensorflow)
})

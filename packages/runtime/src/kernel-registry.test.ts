import { expect, it } from "vitest"
import { kernelOf } from "./kernel-registry.ts"
import { tf } from "./tf.ts"

it("finds what tfjs finds, as it comes and goes", () => {
  const config = { kernelName: "Ours", backendName: "somewhere", kernelFunc: () => [] }
  for (let i = 0; i < 2; i++) {
    expect(kernelOf("Ours", "somewhere")).toBeUndefined()
    tf.registerKernel(config)
    expect(kernelOf("Ours", "somewhere")).toBe(config)
    expect([kernelOf("Ours", "elsewhere"), kernelOf("Theirs", "somewhere")]).toEqual([undefined, undefined])
    tf.unregisterKernel("Ours", "somewhere")
  }
})

import { Effect } from "effect"
import { expect, it, vi } from "vitest"
import { BackendUnavailable, ModelRuntime } from "./model-runtime.ts"

const native = vi.hoisted(() => ({ broken: true }))

vi.mock("./kernels/wasm/native.ts", async (original) => {
  const real = await original<{ readonly loadNative: () => unknown }>()
  return {
    ...real,
    loadNative: () => {
      if (native.broken) throw new Error("invalid simd opcode")
      return real.loadNative()
    }
  }
})

const start = Effect.provide(ModelRuntime, ModelRuntime.layerWasm)

it("fails with the reason where the backend cannot start, starts once it can, and prints nothing", async () => {
  const printed = (["log", "warn", "error", "info"] as const).map((method) => vi.spyOn(console, method))
  const failure = await Effect.runPromise(Effect.flip(start))
  expect(failure).toBeInstanceOf(BackendUnavailable)
  expect(failure.message).toBe("backend wasm cannot be used here: invalid simd opcode")
  native.broken = false
  const runtime = await Effect.runPromise(start)
  const again = await Effect.runPromise(start)
  expect([runtime.backend, again.backend]).toEqual(["wasm", "wasm"])
  expect(runtime.memory()).toEqual({ tensors: 0, bytes: 0, reservedBytes: expect.any(Number) })
  expect(printed.flatMap((spy) => spy.mock.calls)).toEqual([])
})

import { Cause, Effect } from "effect"
import { describe, expect, it } from "vitest"
import { torchFailure } from "./backends/torch.ts"
import { computing } from "./computing.ts"
import { DeviceLost, OutOfMemory } from "./device-failure.ts"
import { ModelRuntime } from "./model-runtime.ts"

/** An error as the addon throws it. */
const thrown = (fields: object) =>
  Object.assign(new Error("aten::mm: something (arguments Float[2, 3])"), {
    name: "TorchError",
    operator: "aten::mm",
    shapes: "Float[2, 3]",
    bytesAsked: null,
    bytesFree: null,
    ...fields
  })

const runtime = ModelRuntime.of({
  backend: "torch",
  precision: "float32",
  description: "",
  memory: () => ({ tensors: 0, bytes: 0, reservedBytes: undefined }),
  failureOf: torchFailure
})

const outcome = (body: () => never) =>
  Effect.runPromiseExit(Effect.provideService(computing(Effect.sync(body)), ModelRuntime, runtime))

const raise = (cause: Error) => () => {
  throw cause
}

describe("computing", () => {
  it("fails with what an operation asked for and what there was", async () => {
    const cause = thrown({ kind: "out-of-memory", bytesAsked: 3 * 2 ** 29, bytesFree: 1000 })
    const failure = await Effect.runPromise(
      Effect.flip(Effect.provideService(computing(Effect.sync(raise(cause))), ModelRuntime, runtime))
    )
    expect(failure).toBeInstanceOf(OutOfMemory)
    expect(failure).toMatchObject({ operator: "aten::mm", bytesAsked: 3 * 2 ** 29, bytesFree: 1000 })
    expect(failure.message).toBe("out of memory in aten::mm (Float[2, 3]): 1.50 GiB asked for, 1000 bytes free")
  })

  it("says only what is known, and no more shapes than fit a screen", () => {
    const unknown = { operator: "aten::cat", bytesAsked: null, bytesFree: null }
    expect(new OutOfMemory({ ...unknown, shapes: "" }).message).toBe("out of memory in aten::cat")
    expect(new OutOfMemory({ ...unknown, bytesFree: 2048, shapes: "" }).message).toBe(
      "out of memory in aten::cat: 2.00 KiB free"
    )
    expect(new OutOfMemory({ ...unknown, shapes: "Float[1], ".repeat(1000) }).message.length).toBeLessThan(300)
  })

  it("fails where the host has no room for an array", async () => {
    for (const length of [2 ** 52, 1e14]) {
      const exit = await outcome(() => {
        throw new Float32Array(length)
      })
      const failure = Cause.findErrorOption((exit as { cause: Cause.Cause<unknown> }).cause)
      expect(failure).toMatchObject({ value: expect.any(OutOfMemory) })
    }
  })

  it("fails where the device is gone", async () => {
    const exit = await outcome(raise(thrown({ kind: "device" })))
    const failure = Cause.findErrorOption((exit as { cause: Cause.Cause<unknown> }).cause)
    expect(failure).toMatchObject({ value: expect.any(DeviceLost) })
    expect((failure as unknown as { value: Error }).value.message).toBe(
      "the device failed in aten::mm: something (arguments Float[2, 3])"
    )
  })

  it.each([thrown({ kind: "operator" }), thrown({ kind: "argument" }), new Error("a mistake")])(
    "leaves mistakes of ours defects: %s",
    async (cause) => {
      const exit = await outcome(raise(cause))
      expect(Cause.findDefect((exit as { cause: Cause.Cause<unknown> }).cause)).toMatchObject({ success: cause })
    }
  )
})

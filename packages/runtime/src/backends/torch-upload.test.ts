import { hasCuda } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { tf } from "../tf.ts"
import { torchBackend } from "./torch.ts"

describe.skipIf(!hasCuda())("a single number on CUDA", () => {
  beforeAll(() =>
    Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerTorch({ device: "cuda" }))))
  )

  it("comes to the device without waiting for what that has still to do", () => {
    const backend = torchBackend()
    const { addon } = backend.cuda!
    const moved = (value: number) => {
      const number = tf.scalar(value)
      backend.handle(number)
      return number
    }
    // memory of the host that the device reads is made once, and that may wait
    moved(1).dispose()
    const matrix = tf.ones([4096, 4096])
    tf.dispose(Array.from({ length: 40 }, () => tf.matMul(matrix, matrix)))
    const queued = addon.eventRecord()
    const number = moved(-2.5)
    const wasThere = addon.eventDone(queued)
    expect([...number.dataSync()]).toEqual([-2.5])
    expect(wasThere).toBe(false)
    tf.dispose([matrix, number])
  })
})

import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "./model-runtime.ts"
import { float32Backends } from "./testing/backends.ts"
import { gatedActivation } from "./ops/activation.ts"
import { linear } from "./ops/linear.ts"
import { recomputed } from "./ops/recomputed.ts"
import { leavesNothing, noise } from "./testing/tensors.ts"
import { tf, type Tensor, type Tensor2D } from "./tf.ts"

interface Engine {
  readonly state: {
    readonly activeTape: ReadonlyArray<{ readonly kernelName: string; readonly saved: ReadonlyArray<Tensor> }>
    readonly tensorInfo: WeakMap<object, unknown>
  }
}

/** Shapes of what the operation keeps the values of. */
const keptBy = (kernel: string): ReadonlyArray<ReadonlyArray<number>> => {
  const { activeTape, tensorInfo } = (tf.engine() as unknown as Engine).state
  const { saved } = activeTape.findLast(({ kernelName }) => kernelName === kernel)!
  return saved.filter(({ dataId }) => tensorInfo.has(dataId)).map(({ shape }) => shape)
}

describe.for(float32Backends.filter(({ isThere }) => isThere))("outputs that are made again, on $name", ({ layer }) => {
  beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, layer))))

  const inputs = () => [
    noise<Tensor2D>([5, 4], "gate"),
    noise<Tensor2D>([5, 4], "up"),
    noise<Tensor2D>([3, 4], "weight"),
    noise<Tensor2D>([2, 10], "of two rows")
  ]

  /** Read by a product as it is, and by another in another shape. */
  const f = (remade: boolean) => (gate: Tensor2D, up: Tensor2D, weight: Tensor2D, other: Tensor2D) => {
    const gated = gatedActivation(gate, up, "silu", remade)
    return tf.add(
      tf.sum(tf.square(linear(gated, weight))),
      tf.sum(tf.square(linear(tf.reshape(gated, [2, 10]), other)))
    )
  }

  const gradients = (of: (...tensors: ReadonlyArray<never>) => Tensor) =>
    tf
      .grads(of as never as (...tensors: Array<Tensor>) => Tensor)(inputs().slice(0, of.length))
      .map((gradient) => [...gradient.dataSync()])

  it("give the same gradients, bit for bit, and nothing is left", () => {
    leavesNothing(() => {
      expect(gradients(f(true))).toEqual(gradients(f(false)))
    })
  })

  it("are not kept", () => {
    leavesNothing(() => {
      const kept = (remade: boolean) => {
        let found: ReadonlyArray<ReadonlyArray<number>> = []
        gradients((gate: Tensor2D, up: Tensor2D, weight: Tensor2D) => {
          const y = linear(gatedActivation(gate, up, "silu", remade), weight)
          found = keptBy("PlumblineLinear")
          return tf.sum(y)
        })
        return found
      }
      expect([kept(false), kept(true)]).toEqual([
        [
          [5, 4],
          [3, 4]
        ],
        [[3, 4]]
      ])
    })
  })

  it("may lie in what is recomputed itself, and where gradients of gradients are asked for", () => {
    leavesNothing(() => {
      const [gate, up, weight] = inputs() as [Tensor2D, Tensor2D, Tensor2D]
      const body = (remade: boolean) => (x: Tensor) =>
        tf.sum(tf.square(linear(gatedActivation(x as Tensor2D, up, "silu", remade), weight)))
      const slope = (remade: boolean) => [
        ...tf
          .grad((x) => recomputed(body(remade), x))(gate)
          .dataSync()
      ]
      expect(slope(true)).toEqual(slope(false))
      const trained = (remade: boolean) => (w: Tensor) =>
        tf.sum(tf.pow(linear(gatedActivation(gate, up, "silu", remade), w as Tensor2D), 3))
      const curve = (remade: boolean) => tf.grad((w) => tf.sum(tf.square(tf.grad(trained(remade))(w))))(weight)
      expect([...curve(true).dataSync()]).toEqual([...curve(false).dataSync()])
    })
  })
})

import { hasCuda } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { gatedActivation, type GateFunction } from "../ops/activation.ts"
import { fusesGatedMlp, gatedMlp } from "../ops/gated-mlp.ts"
import { linear, linears } from "../ops/linear.ts"
import { distance, gradientsOf, leavesNothing, noise, type Op, wave } from "../testing/tensors.ts"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import { batchInvariance } from "./torch.ts"

const settings = { device: "cuda", precision: "bfloat16", batchInvariant: "auto" } as const

const composed =
  (activation: GateFunction): Op =>
  (x: Tensor2D, gate: Tensor2D, up: Tensor2D, down: Tensor2D) => {
    const [gates, ups] = linears(x, [
      [gate, undefined],
      [up, undefined]
    ])
    return linear(gatedActivation(gates!, ups!, activation), down)
  }

/** Tokens, width, width of the MLP: whole tiles; odd ends of all that may have them; fewer tokens than a tile; many tiles. */
const shapes: ReadonlyArray<readonly [number, number, number]> = [
  [256, 128, 512],
  [331, 72, 1792],
  [1, 8, 256],
  [5003, 136, 768]
]

const LARGE = [16384, 2048, 8192] as const

describe.skipIf(!hasCuda())("a gated MLP in kernels of its own, on CUDA", () => {
  let isThere = false

  beforeAll(async () => {
    await Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerTorch(settings)))
    await tf.setBackend("torch")
    isThere = fusesGatedMlp(LARGE)
  })

  it.for(["silu", "gelu", "gelu_tanh"] as const)("is what its layers are, with %s", (activation, { skip }) => {
    skip(!isThere, "this device or CUDA has no such kernels")
    for (const [tokens, width, mlpWidth] of shapes) {
      leavesNothing(() => {
        const scaled = (shape: [number, number], name: string) => tf.mul(noise(shape, name), 2 / Math.sqrt(shape[1]))
        const inputs = [
          noise([tokens, width], "x"),
          scaled([mlpWidth, width], "gate"),
          scaled([mlpWidth, width], "up"),
          scaled([width, mlpWidth], "down")
        ].map((tensor) => tf.variable(tensor as Tensor))
        const fused: Op = (x: Tensor2D, gate: Tensor2D, up: Tensor2D, down: Tensor2D) =>
          gatedMlp(x, { gate, up, down }, activation)
        const valuesOf = (op: Op) => {
          const y = op(...(inputs as unknown as ReadonlyArray<never>))
          return [y, ...gradientsOf(op, inputs, wave(y.shape, 0.8))].map((tensor) => tensor.dataSync())
        }
        const [wanted, seen] = [valuesOf(composed(activation)), valuesOf(fused)]
        seen.forEach((values, i) => expect(distance(values, wanted[i]!)).toBeLessThan(1e-2))
        tf.dispose(inputs)
      })
    }
  })

  it("gives a few tokens without gradients what its layers give, to the bit", () => {
    for (const tokens of [1, 2, 3, 4]) {
      for (const [width, mlpWidth] of [
        [64, 24],
        [72, 5000],
        [8200, 136]
      ] as const) {
        expect(fusesGatedMlp([tokens, width, mlpWidth])).toBe(true)
        leavesNothing(() => {
          const x = noise([tokens, width], "x") as Tensor2D
          const [gate, up] = [noise([mlpWidth, width], "gate"), noise([mlpWidth, width], "up")] as [Tensor2D, Tensor2D]
          const down = noise([width, mlpWidth], "down") as Tensor2D
          for (const activation of ["silu", "gelu", "gelu_tanh"] as const) {
            const seen = gatedMlp(x, { gate, up, down }, activation).dataSync()
            expect(seen).toEqual(
              composed(activation)(...([x, gate, up, down] as unknown as ReadonlyArray<never>)).dataSync()
            )
          }
        })
      }
    }
  })

  it("gives each gradient that is asked for alone as it gives them all", ({ skip }) => {
    skip(!isThere, "this device or CUDA has no such kernels")
    const [tokens, width, mlpWidth] = [300, 64, 512]
    leavesNothing(() => {
      const inputs = [
        noise([tokens, width], "x"),
        noise([mlpWidth, width], "gate"),
        noise([mlpWidth, width], "up"),
        noise([width, mlpWidth], "down")
      ].map((tensor) => tf.variable(tensor as Tensor))
      const fused = (x: Tensor2D, gate: Tensor2D, up: Tensor2D, down: Tensor2D) =>
        gatedMlp(x, { gate, up, down }, "silu")
      const dy = wave([tokens, width], 0.8)
      const all = gradientsOf(fused, inputs, dy)
      inputs.forEach((_, i) => {
        const one: Op = (input: Tensor2D) =>
          fused(...(inputs.map((each, j) => (i === j ? input : each)) as unknown as Parameters<typeof fused>))
        const [gradient] = gradientsOf(one, [inputs[i]!], dy)
        expect(distance(gradient!.dataSync(), all[i]!.dataSync())).toBeLessThan(1e-6)
      })
      tf.dispose(inputs)
    })
  })

  it("lets NaN through, and is 0 far below", ({ skip }) => {
    skip(!isThere, "this device or CUDA has no such kernels")
    leavesNothing(() => {
      const [tokens, mlpWidth] = [300, 512]
      const x = tf.tidy(
        () =>
          tf.concat([
            tf.tensor2d(
              Array.from({ length: 8 }, () => Number.NaN),
              [1, 8]
            ),
            tf.ones([tokens - 1, 8])
          ]) as Tensor2D
      )
      const [gate, up] = [tf.mul(tf.ones([mlpWidth, 8]), -1e4), tf.ones([mlpWidth, 8])] as [Tensor2D, Tensor2D]
      const y = gatedMlp(x, { gate, up, down: tf.ones([8, mlpWidth]) as Tensor2D }, "silu").dataSync()
      expect(y[0]).toBeNaN()
      expect(Math.abs(y[8]!)).toBeLessThan(1e-6)
    })
  })

  it("is taken for much work in shapes that its kernels have", ({ skip }) => {
    skip(!isThere, "this device or CUDA has no such kernels")
    expect(fusesGatedMlp([64, 2048, 8192])).toBe(false)
    expect(fusesGatedMlp([0, 2048, 8192])).toBe(false)
    expect(fusesGatedMlp([16384, 2048, 8192 + 128])).toBe(false)
    expect(fusesGatedMlp([16384, 2044, 8192])).toBe(false)
  })

  it("is not there where a token is to have the same bits beside others", ({ skip }) => {
    skip(!isThere, "this device or CUDA has no such kernels")
    const { turn } = batchInvariance(settings)!
    const missing = turn(true)
    skip(missing !== undefined, missing)
    expect(fusesGatedMlp(LARGE)).toBe(false)
    turn(false)
    expect(fusesGatedMlp(LARGE)).toBe(true)
  })
})
